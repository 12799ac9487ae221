"""Reading bodies: one module for each kind, all bounded, all turning bad input into Malformed or TooLarge."""
