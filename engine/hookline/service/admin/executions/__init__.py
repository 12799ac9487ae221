"""The admin API's routes about executions, what is done with them, and the requests that started none."""
