"""Running flows without effects: cases, stubs and simulated time."""
