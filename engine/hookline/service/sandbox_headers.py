"""The headers that keep the content of messages from acting as a page of this server in a browser.

Responses of flows and those of the admin API may have the same host, for which a browser may have an operator's cookie.
In the sandbox, a document has an origin of its own: its scripts run, but their requests to the API have no cookie, and
they can't read the responses.
"""

from typing import Final

POLICY: Final = "sandbox allow-forms allow-scripts allow-popups"
"""The `Content-Security-Policy`. With `allow-same-origin`, the sandbox would have no effect."""
NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
POLICY_HEADER: Final = b"content-security-policy"
SANDBOX: Final = (NOSNIFF, (POLICY_HEADER, POLICY.encode()))
"""For every response under `/hook`, and elsewhere for responses without a policy of their own."""
