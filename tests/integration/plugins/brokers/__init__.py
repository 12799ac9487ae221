"""Tests of connectors with real brokers."""
