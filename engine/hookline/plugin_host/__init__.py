"""The host of plugins, which calls their functions, contains their errors and gives them facades of the engine."""
