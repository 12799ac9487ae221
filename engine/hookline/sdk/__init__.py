"""The definitions that plugins use through `hookline.api`: actions, connectors, triggers, schemes and mappers."""
