"""Access to the admin API: tokens, sessions, callers, failed sign-ins, and the audit entries of changes."""
