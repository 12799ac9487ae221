"""Plugins: finding and loading them, the registry of what they register, and checks of their state.

A *plugin* is an installed Python package with an entry point in the group `hookline`. A plugin registers *connectors*,
each of which has the actions and triggers of one service, and other parts: triggers without a connector, mappers,
schemes, backends, blob stores and template filters. A *component* is anything that a flow can `use`, whichever plugin
it comes from: an action, a trigger or a block of the engine itself.
"""
