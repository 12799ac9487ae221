"""Converting the bytes of bodies to values, without I/O."""
