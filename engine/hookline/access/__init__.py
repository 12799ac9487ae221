"""Access to the admin API: tokens, callers, failed sign-ins, and the audit entries of changes."""
