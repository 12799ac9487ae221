"""A server with a long history: its rows, what its pages cost in a browser, and what open consoles cost it."""
