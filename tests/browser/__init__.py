"""The console in a real browser, over a real server with real executions."""
