"""Schemes of no provider in particular: MACs, tokens and Standard Webhooks."""
