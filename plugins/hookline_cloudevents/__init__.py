"""CloudEvents, received and sent."""
