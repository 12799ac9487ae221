"""Many nodes on one PostgreSQL: leases, taking over from dead nodes, and the things that each node has to notice."""
