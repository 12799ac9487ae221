"""The action `email.send`."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypedDict

from pydantic import Field

from hookline.api import Attachment, Context, Duration, JsonValue, Reach, StepError
from hookline_email.addresses import Mailbox, mailbox, mailboxes
from hookline_email.compose import File, Mail, check_headers, compose
from hookline_email.connector import EmailCredential, email

_IN_A_THREAD: Final = 256 * 1024
"""The size of files in bytes above which the mail is composed in a thread."""


class RejectedRecipient(TypedDict):
    """A recipient that the server rejected."""

    address: str
    code: int
    message: str


class Sent(TypedDict):
    """The result of sending a mail."""

    message_id: str
    accepted: list[str]
    rejected: list[RejectedRecipient]
    response: str
    """The server's response when it accepted the mail."""


@email.action(idempotent=False)
async def send(
    ctx: Context[EmailCredential],
    subject: Annotated[str, Field(description="The subject.")],
    to: Annotated[
        str | list[str] | None,
        Reach("recipient"),
        Field(description="The recipient: `ada@example.com` or `Ada <ada@example.com>`; several as a list."),
    ] = None,
    text: Annotated[str | None, Field(description="The text.")] = None,
    html: Annotated[
        str | None, Field(description="The text as HTML; if `text` is given too, mail programs choose between them.")
    ] = None,
    cc: Annotated[str | list[str] | None, Reach("recipient"), Field(description="The recipients of a copy.")] = None,
    bcc: Annotated[
        str | list[str] | None,
        Reach("recipient"),
        Field(description="The recipients of a copy whom the others don't see."),
    ] = None,
    reply_to: Annotated[
        str | list[str] | None, Reach("recipient"), Field(description="The address for answers.")
    ] = None,
    from_: Annotated[
        str | None,
        Reach("recipient"),
        Field(description="The sender; by default the credential's `sender`, or else its SMTP user."),
    ] = None,
    attachments: Annotated[
        str | dict[str, JsonValue] | list[str | dict[str, JsonValue]] | None,
        Reach("attachment"),
        Field(
            description="Files: attachments of the message, by name or from an expression (`$.attachments`), and "
            'new ones from a text: `{"filename": "orders.csv", "content": "$.body", "type": "text/csv"}`.'
        ),
    ] = None,
    headers: Annotated[
        dict[str, str] | None, Reach("request_header"), Field(description="Further headers, such as `In-Reply-To`.")
    ] = None,
    partial: Annotated[
        bool, Field(description="Send the mail to the other recipients if the server rejects some.")
    ] = False,
    max_size: Annotated[
        int, Field(gt=0, le=100_000_000, description="The maximum size of all files together in bytes.")
    ] = 20_000_000,
    timeout: Annotated[Duration, Field(description="The maximum time for each response of the server.")] = timedelta(
        seconds=30
    ),
) -> Sent:
    """Send a mail.

    The result lists the recipients that the server accepted. If it rejects some, nothing is sent and the step fails
    with `email.rejected`, unless `partial` is true. A response of 4xx can be retried, one of 5xx is final.

    A mail server doesn't recognize repeated mails: if its response is lost, the retry of the step sends a second copy.
    It has the same Message-ID, made from the step's idempotency key, so that mailboxes and people can recognize it.
    With `"delivery": "at_most_once"` no mail is sent twice, and the step fails with `outcome_unknown` if it isn't known
    whether the mail was sent.
    """
    from hookline_email import smtp

    credential = ctx.credential
    host, port = credential.smtp()
    said = from_ or credential.sender or credential.smtp_username
    if said is None:
        raise StepError("the mail has no sender; set `from`, or the credential's `sender`", code="email.address")
    sender = mailbox(said, "from" if from_ else "the credential's sender")
    groups = {name: mailboxes(given, name) for name, given in (("to", to), ("cc", cc), ("bcc", bcc))}
    recipients: dict[str, Mailbox] = {one.address: one for group in groups.values() for one in group}
    if not recipients:
        raise StepError("the mail has no recipient; set `to`", code="email.address")
    if text is None and html is None and attachments is None:
        raise StepError("the mail is empty; set `text`, `html` or `attachments`", code="email.body")
    check_headers(subject, headers or {})
    files = await _files(ctx, attachments, max_size)
    shown = (sender, *groups["to"], *groups["cc"])
    utf8 = not all(one.address.isascii() for one in (*shown, *recipients.values()))
    mail = Mail(
        message_id=f"<{hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()[:40]}@{sender.domain}>",
        date=datetime.now(UTC),
        sender=sender,
        to=groups["to"],
        cc=groups["cc"],
        reply_to=mailboxes(reply_to, "reply_to"),
        subject=subject,
        text=text,
        html=html,
        headers=headers or {},
        files=files,
    )
    if sum(len(file.content) for file in files) > _IN_A_THREAD:
        content = await asyncio.to_thread(compose, mail, utf8=utf8)
    else:
        content = compose(mail, utf8=utf8)
    seconds = timeout.total_seconds()
    async with smtp.connection(ctx.resources, credential, seconds) as client:
        response, rejected = await smtp.deliver(
            client,
            sender.address,
            list(recipients),
            content,
            partial=partial,
            utf8=utf8,
            timeout=seconds,
            where=f"{host}:{port}",
        )
    not_taken = {one.address for one in rejected}
    return {
        "message_id": mail.message_id,
        "accepted": [address for address in recipients if address not in not_taken],
        "rejected": [{"address": one.address, "code": one.code, "message": one.message} for one in rejected],
        "response": response,
    }


async def _files(ctx: Context[Any], given: str | dict[str, JsonValue] | list[Any] | None, max_size: int) -> list[File]:
    """Return the files, read into memory; their size is checked before any of them is read."""
    chosen: list[Attachment | File] = []
    for one in given if isinstance(given, list) else [] if given is None else [given]:
        if isinstance(one, dict) and "content" in one:
            chosen.append(_of_text(one))
        else:
            # Only the message's own attachments: an id in a message must not open a file of another execution.
            chosen += _attachments(ctx, one)
    size = sum(one.size if isinstance(one, Attachment) else len(one.content) for one in chosen)
    if size > max_size:
        raise StepError(
            f"the files have {size} bytes together, but may have {max_size} (max_size); send a link instead",
            code="email.too_large",
        )
    return [one if isinstance(one, File) else await _read(ctx, one) for one in chosen]


def _of_text(given: dict[str, JsonValue]) -> File:
    unknown = given.keys() - {"filename", "content", "type"}
    content, filename, kind = given["content"], given.get("filename"), given.get("type", "text/plain")
    if unknown or not isinstance(content, str) or not isinstance(filename, str) or not isinstance(kind, str):
        raise StepError(
            "a new file needs a `filename` and a `content` that is text, and may have a `type`"
            + (f"; {sorted(unknown)[0]!r} is none of them" if unknown else ""),
            code="email.attachment",
        )
    return File(_name(filename), kind, content.encode())


def _attachments(ctx: Context[Any], wanted: Any) -> list[Attachment]:
    found = ctx.message.attachments_like(wanted)
    if not found:
        named = ", ".join(sorted({repr(one.name) for one in ctx.message.attachments})) or "none"
        what = repr(wanted) if isinstance(wanted, str) else "the value of `attachments`"
        raise StepError(f"{what} is not an attachment of the message; it has {named}", code="email.attachment")
    return found


async def _read(ctx: Context[Any], attachment: Attachment) -> File:
    content = b"".join([chunk async for chunk in ctx.blobs.open(attachment.id)])
    inline = attachment.name.removeprefix("cid:") if attachment.name.startswith("cid:") else None
    return File(_name(attachment.filename or attachment.name), attachment.type, content, inline)


def _name(filename: str) -> str:
    """Return a file's name without folders, and without characters that could end its header."""
    plain = "".join(character for character in filename if character.isprintable())
    return plain.replace("\\", "/").rpartition("/")[2] or "file"
