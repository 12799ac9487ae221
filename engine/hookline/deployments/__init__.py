"""The switch of a server to new versions of its flows, and the migration of waiting executions to them."""
