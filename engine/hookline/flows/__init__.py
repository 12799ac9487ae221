"""The flow language: reading, compiling and checking flows."""
