"""Keeping what is stored small and current: retention, the disk budget, sweeping and key rotation."""
