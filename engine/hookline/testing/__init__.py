"""Tools for tests of plugins, flows and backends."""
