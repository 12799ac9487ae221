"""What happens while the engine runs: accepting, queueing, running, waiting."""
