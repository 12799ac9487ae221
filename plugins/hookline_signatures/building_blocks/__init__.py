"""The parts of which schemes are made."""
