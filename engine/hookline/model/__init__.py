"""The frozen data of Hookline: messages, executions, flows and what they wait for."""
