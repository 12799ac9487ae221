"""The flow language: reading, compiling, checking, formatting and explaining flows."""
