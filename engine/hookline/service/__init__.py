"""The HTTP service: hooks, resume URLs, the OAuth callback and the admin API."""
