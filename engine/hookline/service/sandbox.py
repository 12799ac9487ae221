"""The headers that keep what a browser shows of a message from acting as a page of this server.

Responses of flows and the pages of the admin API may have one host, and a browser has the operator's cookie for both.
In the sandbox, a document has an origin of its own: its scripts run, and their requests to the API have no cookie, nor
can they read an answer.
"""

from typing import Final

POLICY: Final = "sandbox allow-forms allow-scripts allow-popups"
"""The `Content-Security-Policy`. With `allow-same-origin`, it would not keep anything apart."""
NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
POLICY_HEADER: Final = b"content-security-policy"
SANDBOX: Final = (NOSNIFF, (POLICY_HEADER, POLICY.encode()))
"""For every response under `/hook`, and for all that has no policy of its own elsewhere."""
