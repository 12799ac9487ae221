"""Connections to databases: addresses, pools, streaming and failures."""
