"""The contract of stores for what operators do and see: deployments, access, the audit and rejected requests."""
