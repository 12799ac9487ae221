"""The settings of actions and triggers: their schema, their versions, and the options that a service offers."""
