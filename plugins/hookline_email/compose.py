"""Composing a mail from the settings of a step."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from hookline.api import StepError
from hookline_email.addresses import Mailbox

#: Seven bits, so a server needs no extension.
_POLICY: Final = SMTP.clone(cte_type="7bit")
_NAME: Final = re.compile(r"[!-9;-~]{1,76}")
_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")
#: Headers that have their own setting, or that only the mail system writes.
_OWN: Final = frozenset(
    {"from", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "mime-version", "sender"}
    | {"return-path", "received", "dkim-signature"}
)


@dataclass(frozen=True, slots=True)
class File:
    """A file of a mail."""

    filename: str
    type: str
    content: bytes
    inline: str | None = None
    """The id by which the HTML refers to it (`cid:…`)."""


@dataclass(frozen=True, slots=True)
class Mail:
    """An email to send."""

    message_id: str
    date: datetime
    sender: Mailbox
    to: Sequence[Mailbox]
    subject: str
    cc: Sequence[Mailbox] = ()
    reply_to: Sequence[Mailbox] = ()
    text: str | None = None
    html: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[File] = ()


def check_headers(subject: str, headers: Mapping[str, str]) -> None:
    """Reject headers that could add another one, or repeat one. Raises StepError (`email.header`)."""
    _check_value("the subject", subject)
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise StepError(f"{name[:100]!r} is not the name of a header", code="email.header")
        lower = name.lower()
        if lower in _OWN or lower.startswith(("content-", "resent-")):
            raise StepError(f"the header {name!r} can't be set here: it comes from other settings", code="email.header")
        _check_value(f"the header {name!r}", value)


def _check_value(what: str, value: str) -> None:
    # Each character that some reader takes as the end of a line is rejected, not only line feeds.
    if not all(character.isprintable() or character in "\u00a0\u202f\u200d\ufeff\u00ad\u200b" for character in value):
        raise StepError(f"{what} contains a line break or another control character; remove it", code="email.header")


def compose(mail: Mail, *, utf8: bool = False) -> bytes:
    """Return the mail's bytes. `utf8`: its addresses need a server with SMTPUTF8."""
    message = EmailMessage(_POLICY.clone(utf8=utf8))
    message["From"] = mail.sender.header
    for name, mailboxes in (("To", mail.to), ("Cc", mail.cc), ("Reply-To", mail.reply_to)):
        if mailboxes:
            message[name] = [mailbox.header for mailbox in mailboxes]
    message["Subject"] = mail.subject
    message["Date"] = mail.date
    message["Message-ID"] = mail.message_id
    for name, value in mail.headers.items():
        message[name] = value
    if mail.text is not None or mail.html is None:
        message.set_content(_body(mail.text or ""))
    if mail.html is not None and mail.text is not None:
        message.add_alternative(_body(mail.html), subtype="html")
    elif mail.html is not None:
        message.set_content(_body(mail.html), subtype="html")
    for file in mail.files:
        _attach(message, file)
    return message.as_bytes()


def _body(text: str) -> str:
    if "\0" in text:
        raise StepError("the text contains a NUL, which mail doesn't allow; remove it", code="email.body")
    return text


def _attach(message: EmailMessage, file: File) -> None:
    kind = file.type.partition(";")[0].strip()
    # A mail in a mail, and content with parts, would have to be parsed to be encoded, so they are sent as plain files.
    if not _TYPE.fullmatch(kind) or kind.lower().startswith(("message/", "multipart/")):
        kind = "application/octet-stream"
    main, _, sub = kind.partition("/")
    message.add_attachment(
        file.content,
        maintype=main,
        subtype=sub,
        filename=file.filename,
        disposition="inline" if file.inline else "attachment",
        cid=f"<{file.inline}>" if file.inline else None,
    )
