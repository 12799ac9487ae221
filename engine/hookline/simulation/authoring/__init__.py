"""Checking and trying documents and expressions that somebody is still writing, in processes with limits on time and
memory."""
