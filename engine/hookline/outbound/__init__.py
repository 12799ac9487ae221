"""Outgoing HTTP requests, and the guard that decides which addresses they may reach."""
