"""Running one step: its settings, its attempts and its entry in the journal."""
