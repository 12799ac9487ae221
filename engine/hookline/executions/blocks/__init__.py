"""The blocks of the flow language while an execution runs, one file for each."""
