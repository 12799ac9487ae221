"""The elements that blocks and triggers are compiled from: expressions, settings, names, keys and verification."""
