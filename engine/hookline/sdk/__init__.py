"""The definitions that plugins use through `hookline.api`: connectors, actions, triggers, schemes and mappers."""
