"""The operations of operators on executions: replay, explain and bulk operations."""
