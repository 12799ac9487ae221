"""The command line. `main` knows the commands' names; each is imported when it is called."""
