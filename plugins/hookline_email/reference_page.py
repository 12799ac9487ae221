"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Sends mail by SMTP, and starts flows with the mail that comes to a folder of an IMAP server. The account needs a
password for programs; a provider that lets nobody in but by OAuth 2 isn't reached yet. Certificates are verified,
against an authority of your own as well, and servers inside the network have to be named in HOOKLINE_EGRESS_ALLOW.
"""

ERRORS: Final[Mapping[str, str]] = {
    "email.<code>": "The SMTP server answered with that code: those from 400 to 499 can be tried again.",
    "email.address": "An address can't be read, or there is none.",
    "email.attachment": "`attachments` names none of the message's files, or a new file lacks something.",
    "email.body": "There is nothing to send, or something that mail can't carry.",
    "email.credential": "The credential has no SMTP server, or no IMAP server.",
    "email.disconnected": "The server broke the connection off; it can be tried again. Where that was after the mail "
    "had been sent, it isn't known whether it was taken.",
    "email.folder": "There is no such folder, or it can't be opened.",
    "email.header": "A header isn't one that can be set, or holds a line break.",
    "email.imap": "The IMAP server rejected something; the message has its words.",
    "email.login": "The IMAP server doesn't take the user and the password.",
    "email.not_supported": "The server can't do what it would have to: STARTTLS, a login, or such an address.",
    "email.rejected": "The server rejects recipients, so nothing was sent; the message names them. It can be tried "
    "again where all of them were rejected for now.",
    "email.timeout": "The server didn't answer in time; it can be tried again.",
    "email.tls": "The server's certificate isn't trusted, or TLS failed; it can be tried again.",
    "email.too_large": "The files are larger than `max_size`.",
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
