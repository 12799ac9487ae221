"""Many nodes on one PostgreSQL: leases, taking over from dead nodes, and what each node has to notice."""
