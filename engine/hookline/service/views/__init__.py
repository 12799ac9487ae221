"""The records that the admin API and the command line show."""
