"""Reading a flow's JSON file, and describing what is wrong with its form."""
