"""`email.send`, and the trigger `email.messages`: mail by SMTP and IMAP."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_email import credential_check, messages_trigger, send  # noqa: F401 - they add to the connector
from hookline_email.connector import email


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """Return the connector for mail."""
    return [email]
