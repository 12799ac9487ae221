"""The run of one step: its settings, its attempts, its calls and its journal entries."""
