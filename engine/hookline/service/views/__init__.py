"""The JSON of executions, components and plugins, which the admin API, the command line and the docs show."""
