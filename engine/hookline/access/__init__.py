"""Who may use the admin API: tokens, callers, failed sign-ins, and the audit entries of what they change."""
