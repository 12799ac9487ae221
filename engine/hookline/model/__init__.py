"""Frozen data and legal state changes. No I/O, no event loop."""
