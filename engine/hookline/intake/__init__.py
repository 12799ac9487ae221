"""Accepting messages and callbacks, within limits; the check of bodies against schemas."""
