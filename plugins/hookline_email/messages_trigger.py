"""The trigger `email.messages`."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from hookline.api import Attachment, JsonValue, PollContext, PollItem, PollResult, Reach, ResetsCursor
from hookline_email.connector import EmailCredential, email
from hookline_email.read_mail import Part, Read, read_mail

if TYPE_CHECKING:
    from hookline_email.imap import About, Folder, Session

_WINDOW: Final = 50_000
"""The number of ids in one search, which limits the size of the server's response."""
_WINDOWS: Final = 20
_TOTAL: Final = 100_000_000
"""The maximum number of bytes that one poll reads."""
_RECENT: Final = 300
"""The number of mails that are recognized if the server gives them new ids."""
_IN_A_THREAD: Final = 64 * 1024


class MoveTo(BaseModel):
    """A move of a mail to another folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    move_to: str = Field(min_length=1, description="The folder to which mails are moved; it must exist.")


@dataclass(frozen=True, slots=True)
class _Place:
    """The position in a mailbox up to which mails have been read: the cursor."""

    account: str
    uidvalidity: int
    uid: int
    """Mails with ids up to this one have been read."""
    newest: str | None = None
    """The latest time at which a mail that was read had been received; RFC 3339."""
    recent: tuple[str, ...] = ()
    """Digests of the last mails that started executions."""
    pending: tuple[int, ...] = ()
    """Ids of the mails of the last poll, which are changed as `after` says once their messages are accepted."""
    again: tuple[int, str | None] | None = None
    """After the server gave all mails new ids: the highest id that may have started an execution already, and the time
    from which mails may not have done so.
    """

    @classmethod
    def of(cls, cursor: Any) -> "_Place | None":
        if cursor is None:
            return None
        again = cursor["again"]
        return cls(
            cursor["account"],
            cursor["uidvalidity"],
            cursor["uid"],
            cursor["newest"],
            tuple(cursor["recent"]),
            tuple(cursor["pending"]),
            None if again is None else (again[0], again[1]),
        )

    def cursor(self) -> dict[str, JsonValue]:
        return {
            "account": self.account,
            "uidvalidity": self.uidvalidity,
            "uid": self.uid,
            "newest": self.newest,
            "recent": list(self.recent),
            "pending": list(self.pending),
            "again": None if self.again is None else list(self.again),
        }

    def seen(self, about: "About", digest: str) -> "_Place":
        """Return the position after one more mail."""
        at = _text(about.received_at)
        newest = at if self.newest is None else max(self.newest, at)
        return replace(self, newest=newest, recent=(*self.recent, digest)[-_RECENT:])


@email.poll(every="1m")
async def messages(
    ctx: PollContext[EmailCredential],
    cursor: Any,
    folder: Annotated[
        str, Reach("mailbox"), ResetsCursor(), Field(min_length=1, description="The folder to poll.")
    ] = "INBOX",
    unseen: Annotated[bool, Field(description="Only take mails that are marked as unread.")] = False,
    since: Annotated[
        date | None, Field(description="The first day of receipt from which mails are taken; by default all mails.")
    ] = None,
    after: Annotated[
        Literal["leave", "mark_seen", "delete"] | MoveTo,
        Reach("mailbox"),
        Field(
            description='The change of a mail after its message is accepted: `{"move_to": "Done"}` moves it to '
            "another folder."
        ),
    ] = "leave",
    max_messages: Annotated[
        int, Field(ge=1, le=500, description="The number of mails that are read at once; the others follow.")
    ] = 50,
    max_size: Annotated[
        int,
        Field(
            ge=1000, le=100_000_000, description="The size of a mail in bytes above which only its headers are read."
        ),
    ] = 25_000_000,
) -> PollResult:
    """Starts an execution for each new mail in a folder.

    The message's body is `subject`, `from` and each of `to`, `cc` and `reply_to` (`name`, `address`), `date`,
    `received_at`, `text`, `html`, `message_id`, `in_reply_to`, `folder`, `uid`, `size`, `flags`, `complete` and
    `problems`. Its headers are those of the mail, and its attachments are the mail's files: pictures in the HTML under
    the name used there (`cid:…`), all others as `attachment`. Mails stay unread.

    Of a malformed mail, the message has the readable parts, and `problems` names the others. Of a mail larger than
    `max_size`, it has only the headers, and `complete` is false.
    """
    from hookline_email.imap import session

    place = _Place.of(cursor)
    account = ctx.credential.imap_username or ""
    async with session(ctx.resources, ctx.credential) as box:
        opened = await box.open(folder, readonly=place is None or not place.pending)
        if place is None:
            place = await _first(box, opened, account, ctx.baseline, max_size)
        elif (place.account, place.uidvalidity) != (account, opened.uidvalidity):
            # The ids mean other mails now. Mails that were already accepted are recognized by their time and content.
            ctx.log.warning("a mailbox has new ids; mails are recognized by their time", folder=folder)
            place = replace(
                place,
                account=account,
                uidvalidity=opened.uidvalidity,
                uid=0,
                pending=(),
                again=(opened.uidnext - 1, place.newest),
            )
        elif place.pending:
            await _settle(box, place.pending, after)
            place = replace(place, pending=())
        return await _look(ctx, box, opened, place, folder, unseen, since, after, max_messages, max_size)


async def _first(box: "Session", opened: "Folder", account: str, baseline: bool, max_size: int) -> _Place:
    if not baseline or not opened.count:
        return _Place(account, opened.uidvalidity, opened.uidnext - 1 if baseline else 0)
    place = _Place(account, opened.uidvalidity, opened.uidnext - 1)
    uid = await box.newest()
    if uid is None:
        return place
    about = (await box.about([uid])).get(uid)
    raw = await box.read(uid, whole=about is not None and about.size <= max_size)
    return place if about is None or raw is None else place.seen(about, _digest(raw))


async def _settle(box: "Session", uids: Sequence[int], after: str | MoveTo) -> None:
    if isinstance(after, MoveTo):
        await box.move(uids, after.move_to)
    elif after == "mark_seen":
        await box.mark_seen(uids)
    elif after == "delete":
        await box.delete(uids)


async def _look(
    ctx: PollContext[EmailCredential],
    box: "Session",
    opened: "Folder",
    place: _Place,
    folder: str,
    unseen: bool,
    since: date | None,
    after: str | MoveTo,
    max_messages: int,
    max_size: int,
) -> PollResult:
    top = opened.uidnext - 1
    found: list[int] = []
    upto = place.uid
    for _ in range(_WINDOWS):
        if upto >= top or found:
            break
        first, upto = upto + 1, min(upto + _WINDOW, top)
        found = await box.search(first, upto, unseen=unseen, since=since)
    if len(found) > max_messages:
        found = found[:max_messages]
        upto = found[-1]
    abouts = await box.about(found) if found else {}
    items: list[PollItem] = []
    given: list[int] = []
    total = 0
    for uid in found:
        about = abouts.get(uid)
        if about is None:
            continue
        again = place.again if place.again is not None and uid <= place.again[0] else None
        if again is not None and again[1] is not None and _text(about.received_at) < again[1]:
            continue
        whole = about.size <= max_size
        if total and whole and total + about.size > _TOTAL:
            upto = uid - 1
            break
        raw = await box.read(uid, whole=whole)
        if raw is None:
            continue
        total += len(raw)
        digest = _digest(raw)
        if again is not None and digest in place.recent:
            continue
        items.append(await _item(ctx, raw, uid, about, place, folder, whole))
        given.append(uid)
        place = place.seen(about, digest)
    place = replace(place, uid=upto, pending=() if after == "leave" else tuple(given))
    if place.again is not None and upto >= place.again[0]:
        place = replace(place, again=None)
    return PollResult(items, place.cursor(), more=upto < top or bool(place.pending))


async def _item(
    ctx: PollContext[EmailCredential], raw: bytes, uid: int, about: "About", place: _Place, folder: str, whole: bool
) -> PollItem:
    if not raw:
        whole = False
    read: Read = await asyncio.to_thread(read_mail, raw) if len(raw) > _IN_A_THREAD else read_mail(raw)
    files = [await _kept(ctx, part) for part in read.files] if whole else []
    body: dict[str, JsonValue] = {
        **read.body,
        "received_at": _text(about.received_at),
        "folder": folder,
        "uid": uid,
        "size": about.size,
        # The flag \Recent is left out, because nearly all mails have it.
        "flags": [flag for flag in about.flags if flag != "\\Recent"],
        "complete": whole,
        "problems": [*read.problems, *([] if raw else ["the server doesn't return its content"])],
    }
    return PollItem(f"{place.account}/{folder}/{place.uidvalidity}/{uid}", body, read.headers, tuple(files))


async def _kept(ctx: PollContext[EmailCredential], part: Part) -> Attachment:
    writer = await ctx.blobs.create()
    try:
        await writer.write(part.content)
        blob = await writer.commit()
    finally:
        await writer.abort()
    return Attachment(
        id=blob.id, name=part.name, filename=part.filename, type=part.type, size=blob.size, sha256=blob.sha256
    )


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:20]


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
