"""Test suites that plugins and backends subclass."""
