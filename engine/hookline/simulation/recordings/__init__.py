"""Cases and backtests made from recorded executions."""
