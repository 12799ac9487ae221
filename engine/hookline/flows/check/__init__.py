"""The rules by which `hookline check` finds errors and warnings."""
