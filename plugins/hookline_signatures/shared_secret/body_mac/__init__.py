"""Providers whose signature is a MAC of the body, and of nothing else."""
