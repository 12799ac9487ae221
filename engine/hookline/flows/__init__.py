"""What is known of flows: reading, compiling, checking and watching them."""
