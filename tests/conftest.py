"""What holds for all tests: none fails because the machine is busy."""

from hypothesis import settings

from hookline_sqlstore.databases import pending

settings.register_profile("hookline", deadline=None)
settings.load_profile("hookline")

# An engine whose clock stands still would wait for ever to try again. What the limits do has tests of its own, and
# servers in processes of their own have the limits of production.
pending.LIMIT = pending.LONG_LIMIT = 600.0  # type: ignore[misc]  # they are final elsewhere
