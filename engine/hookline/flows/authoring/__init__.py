"""Tools for authors: the editor's schema, formatting, comparing and upgrading flows."""
