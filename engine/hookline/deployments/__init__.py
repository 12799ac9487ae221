"""Switching a server to new versions of its flows, and moving waiting executions to them."""
