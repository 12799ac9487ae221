"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Sends mail by SMTP, and starts flows with the mail that arrives in a folder of an IMAP server. The account needs an app
password; providers that only allow OAuth 2 are not supported yet. Certificates are verified, also with an authority of
your own, and servers in the internal network must be listed in HOOKLINE_EGRESS_ALLOW.
"""

ERRORS: Final[Mapping[str, str]] = {
    "email.<code>": "The SMTP server answered with this code. Codes from 400 to 499 can be retried.",
    "email.address": "An address is invalid or missing.",
    "email.attachment": "`attachments` matches none of the message's attachments, or a new file is incomplete.",
    "email.body": "There is nothing to send, or something that mail doesn't allow.",
    "email.credential": "The credential has no SMTP server, or no IMAP server.",
    "email.disconnected": "The server ended the connection. It can be retried. If it happened after the mail was "
    "sent, it isn't known if the server accepted it.",
    "email.folder": "The folder doesn't exist or can't be opened.",
    "email.header": "A header can't be set, or contains a line break.",
    "email.imap": "The IMAP server rejected a command; the message has its answer.",
    "email.login": "The IMAP server doesn't accept the user name and password.",
    "email.not_supported": "The server lacks a feature that is needed: STARTTLS, a way to log in, or such an address.",
    "email.rejected": "The server rejects recipients, so nothing was sent; the message names them. It can be retried "
    "if all of them were rejected temporarily.",
    "email.timeout": "The server didn't answer in time. It can be retried.",
    "email.tls": "The server's certificate isn't trusted, or TLS failed. It can be retried.",
    "email.too_large": "The files together are larger than `max_size`.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "support-mail",
    "title": "Answer each mail to support at once",
    "trigger": {
        "use": "email.messages",
        "with": {"folder": "Support", "after": {"move_to": "Support/Answered"}},
        "credential": "support",
    },
    "steps": [
        {"id": "human", "use": "filter", "with": {"keep": "{{ headers['auto-submitted'] | default('no') == 'no' }}"}},
        {
            "id": "answer",
            "use": "email.send",
            "with": {
                "to": "$.body.from.address",
                "subject": "Re: {{ body.subject }}",
                "text": "Thank you: we have your message, and answer it within a day.",
                "headers": {"In-Reply-To": "{{ body.message_id | default('') }}", "Auto-Submitted": "auto-replied"},
            },
            "credential": "support",
            "delivery": "at_most_once",
        },
    ],
}
