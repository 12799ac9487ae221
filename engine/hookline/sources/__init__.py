"""The sources that start executions on their own: schedules, polls, brokers and subscriptions."""
