"""Plugins: finding and loading them, the registry of what they register, and checks of their state.

docs/README.md explains *plugin*, *connector* and *component*.
"""
