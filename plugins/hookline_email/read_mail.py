"""Reading a mail, however malformed it is: the readable parts are returned, and the others are named."""

import email
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import Compat32
from email.utils import getaddresses, parsedate_to_datetime
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

from hookline.api import JsonValue, known_charset

T = TypeVar("T")


class _Lenient(Compat32):
    """A policy for headers with raw letters beyond ASCII, which are nearly always UTF-8, and otherwise Western.

    Only the beginning of a long header is read, because the standard library takes quadratic time for some.
    """

    def header_fetch_parse(self, name: str, value: str) -> str:
        raw = _beginning(name, value).encode("utf-8", "surrogateescape")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("cp1252", "replace")


MAX_TEXT: Final = 1_000_000
"""The most characters of text in the body; longer texts become files."""
MAX_HEADER: Final = 64 * 1024
"""The most characters that are read of a header, and of all headers with one kind of addresses."""
MAX_PARAMETERS: Final = 20
"""The most parameters that are read of a header `Content-…`. Each part has such headers, which are read several times.
"""
_MAX_HEADERS: Final = 1000
_MAX_PARTS: Final = 5000
_MAX_LINE_ENDS: Final = 1_000_000
"""The most line-end characters; a line has one or two. Freeing many short lines blocks the interpreter."""
_MANY_LINES: Final = 1024 * 1024
"""The bytes that are read of a mail with more lines."""
_MAX_ENCODED: Final = 1000
"""The most marks `=?` of encoded words in a header; a word often has two."""
_MAX_FILES: Final = 1000
_CHARSET: Final = "utf-8"
#: The exceptions of the standard library for malformed mails.
_BROKEN: Final = (MessageError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Part:
    """A file in a mail."""

    name: str
    """The name in the HTML (`cid:…`), or `attachment`."""
    filename: str | None
    type: str
    content: bytes


@dataclass(slots=True)
class Read:
    """The contents of a mail."""

    headers: dict[str, str] = field(default_factory=dict)
    """The headers by lower-case name; repeated ones are joined by `, `."""
    body: dict[str, JsonValue] = field(default_factory=dict)
    files: list[Part] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_mail(raw: bytes) -> Read:
    """Read a mail from its bytes, or only from those of its headers. It accepts any bytes."""
    read = Read()
    if raw.count(b"\n") + raw.count(b"\r") > _MAX_LINE_ENDS:
        read.problems.append(f"it has more than {_MAX_LINE_ENDS // 2} lines; it is cut off after {_MANY_LINES} bytes")
        raw = raw[:_MANY_LINES]
    message = _tried(read, "the mail can't be parsed", None, lambda: _taken_apart(raw)) or _tried(
        read,
        "its headers can't be separated",
        Message(),
        lambda: BytesHeaderParser(policy=_Lenient()).parsebytes(raw),
    )
    no_headers: list[tuple[str, Any]] = []
    values: dict[str, list[str]] = {}
    if len(message) > _MAX_HEADERS:
        read.problems.append(f"it has more than {_MAX_HEADERS} headers; the others are left out")
    for name, value in _tried(
        read, "its headers can't be read", no_headers, lambda: list(islice(_items(message), _MAX_HEADERS))
    ):
        text = _tried(read, f"the header {name[:60]} can't be read", "", partial(_decoded, value))
        lower = name.lower()
        values.setdefault(lower, []).append(text)
    read.headers = {name: ", ".join(several) for name, several in values.items()}
    texts: dict[str, list[str]] = {"plain": [], "html": []}
    no_parts: list[Message] = []
    parts = _tried(read, "its parts can't be separated", no_parts, lambda: list(_leaves(message)))
    if any(_beginning(*item) != item[1] for each in (message, *parts) for item in each.raw_items()):
        read.problems.append(
            f"a header has more than {MAX_HEADER} characters or {MAX_PARAMETERS} parameters; it is cut off"
        )
    for part in parts:
        if len(read.files) == _MAX_FILES:
            read.problems.append(f"it has more than {_MAX_FILES} files; the others are left out")
            break
        _tried(read, "one of its parts can't be read", None, partial(_take, part, texts, read))
    read.body = {
        "message_id": read.headers.get("message-id", "").strip() or None,
        "subject": _SPACE.sub(" ", _first(message, "subject")).strip(),
        "from": (_mailboxes(message, "from") or [None])[0],
        "to": _mailboxes(message, "to"),
        "cc": _mailboxes(message, "cc"),
        "reply_to": _mailboxes(message, "reply-to"),
        "date": _date(message),
        "in_reply_to": read.headers.get("in-reply-to", "").strip() or None,
        "text": "\n".join(texts["plain"]) if texts["plain"] else None,
        "html": "\n".join(texts["html"]) if texts["html"] else None,
    }
    return read


def _taken_apart(raw: bytes) -> Message:
    """Parse the mail with its parts. Raises MessageError for too many, because each takes a kilobyte of memory."""
    left = iter(range(_MAX_PARTS))

    def part(policy: Any = None) -> Message:
        if next(left, None) is None:
            raise MessageError(f"it has more than {_MAX_PARTS} parts")
        return Message(policy)

    return email.message_from_bytes(raw, part, policy=_Lenient())


def _beginning(name: str, value: str) -> str:
    """Return the part of a header that is read."""
    if name.lower().startswith("content-"):
        value = ";".join(value.split(";", MAX_PARAMETERS + 1)[: MAX_PARAMETERS + 1])
    return value[:MAX_HEADER]


def _items(message: Message) -> Iterator[tuple[str, Any]]:
    for name, value in message.raw_items():
        yield name, message.policy.header_fetch_parse(name, value)


def _tried(read: Read, problem: str, otherwise: T, work: Callable[[], T]) -> T:
    try:
        return work()
    except _BROKEN as error:
        read.problems.append(f"{problem} ({type(error).__name__})")
        return otherwise


def _leaves(message: Message) -> Iterator[Message]:
    """Yield the parts with content. A mail inside the mail is one part, which isn't parsed."""
    left = [message]
    while left:
        part = left.pop()
        # The content of a text would be decoded, also by codecs that take quadratic time.
        inner = part.get_payload() if part.is_multipart() else None
        if part.get_content_maintype() == "multipart" and isinstance(inner, list):
            left += [each for each in reversed(inner) if isinstance(each, Message)]
        else:
            yield part


def _take(part: Message, texts: dict[str, list[str]], read: Read) -> None:
    kind = part.get_content_type()
    disposition = (part.get_content_disposition() or "").lower()
    filename = _filename(part)
    main, _, sub = kind.partition("/")
    content = _content(part)
    if main == "text" and sub in texts and disposition != "attachment" and filename is None:
        text = _text(content, part)
        if len(text) <= MAX_TEXT:
            if text:
                texts[sub].append(text)
            return
        read.problems.append(f"its {kind} is longer than {MAX_TEXT} characters; it becomes a file")
    if not content and filename is None and disposition != "attachment":
        return
    cid = _tried(read, "a part's Content-ID can't be read", "", lambda: _decoded(part.get("content-id", "")))
    inline = cid.strip().strip("<>")
    named = f"cid:{inline}" if inline and disposition != "attachment" else "attachment"
    read.files.append(Part(named, filename, kind, content))


def _content(part: Message) -> bytes:
    inner = part.get_payload() if part.is_multipart() else None
    if isinstance(inner, list):
        return b"".join(each.as_bytes() for each in inner if isinstance(each, Message))
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _text(content: bytes, part: Message) -> str:
    charset = _CHARSET
    try:
        charset = known_charset(part.get_content_charset() or _CHARSET) or _CHARSET
        text = content.decode(charset)
    except (*_BROKEN, UnicodeError):
        # Its charset is wrong: it is decoded as UTF-8 if possible, otherwise byte by byte, so that nothing is lost.
        try:
            text = content.decode(_CHARSET)
        except UnicodeDecodeError:
            text = content.decode("cp1252", "replace")
    return _clean(text.replace("\r\n", "\n"))


def _clean(text: str) -> str:
    """Remove characters that JSON or a database can't represent."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _decoded(value: Any) -> str:
    """Decode the encoded words of a header. With too many of them, it stays as it is: each copies those before it."""
    if str(value).count("=?") > _MAX_ENCODED:
        return _clean(str(value).replace("\r", "").replace("\n", ""))
    parts: list[str] = []
    for piece, charset in decode_header(str(value)):
        if isinstance(piece, str):
            parts.append(piece)
            continue
        try:
            parts.append(piece.decode(known_charset(charset or "ascii") or _CHARSET))
        except (LookupError, UnicodeError):
            try:
                parts.append(piece.decode(_CHARSET))
            except UnicodeDecodeError:
                parts.append(piece.decode("cp1252", "replace"))
    return _clean("".join(parts).replace("\r", "").replace("\n", ""))


def _first(message: Message, name: str) -> str:
    try:
        return _decoded(message.get(name, ""))
    except _BROKEN:
        return ""


def _mailboxes(message: Message, name: str) -> list[JsonValue]:
    """Return the addresses of a header. They are separated before names are decoded, which may contain commas."""
    try:
        # In the raw form of a header, with its encoded words.
        values = ", ".join(str(value) for value in message.get_all(name, []))
        found = getaddresses([values[:MAX_HEADER]])
    except _BROKEN:
        return []
    return [
        {"name": _name(shown) or None, "address": _clean(address.strip())}
        for shown, address in found
        if address.strip() or shown.strip()
    ]


def _name(shown: str) -> str:
    try:
        return _SPACE.sub(" ", _decoded(shown)).strip()
    except _BROKEN:
        return _clean(shown)


def _date(message: Message) -> JsonValue:
    try:
        at = parsedate_to_datetime(str(message.get("date", "")))
        # Without a zone (-0000) it is UTC.
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (*_BROKEN, OverflowError):
        return None
    return _rfc3339(at)


def _rfc3339(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _filename(part: Message) -> str | None:
    try:
        name = part.get_filename()
    except _BROKEN:
        return None
    if not name:
        return None
    try:
        name = _decoded(name)
    except _BROKEN:
        name = _clean(name)
    plain = "".join(character for character in name if character.isprintable())
    return plain.replace("\\", "/").rpartition("/")[2] or None
