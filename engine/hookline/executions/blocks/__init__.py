"""Running the blocks of the flow language, one file for each."""
