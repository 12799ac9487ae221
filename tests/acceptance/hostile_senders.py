"""Hostile requests with signatures, events and tables in files, and hostile mails."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from hookline.api import SignedRequest
from tests.acceptance.hostile import BIG, HEAD, MB, Hostile, flow_of, json_texts, numbered, once, until
from tests.unit.plugins.signatures.scheme_cases import CASES, Unreachable, case

MAILBOX: Final = "mailbox"
"""The credential of the mailbox."""
_READ: Final = 4_100_000
"""Just below the largest body that a scheme reads itself."""


def sender_flows(url: str) -> Iterator[dict[str, Any]]:
    """The flows that the requests go to. `url`: a server that is told when a mail was handled."""
    for name, (scheme, _, settings) in CASES.items():
        verify = {"scheme": scheme, "credential": name_of(name), **settings}
        yield flow_of(name_of(name), [], verify=verify)
    yield {**flow_of("events", []), "trigger": {"use": "cloudevents", "with": _EVENTS}}
    for ending in ("csv", "json"):
        found = {"key": "$.body", "file": f"table.{ending}", "default": 0, "ignore_case": True}
        yield flow_of(f"look-up-{ending}", [{"use": "lookup", "with": found}])
    told = {"use": "http.request", "with": {"method": "POST", "url": url, "json": 1}}
    trigger = {"use": "email.messages", "with": {"existing": True, "every": "1s"}, "credential": MAILBOX}
    yield {**flow_of("mail", [told]), "trigger": trigger}


def credentials(mailbox: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The name, the type and the values of each credential that the flows name."""
    for name, (scheme, values, _) in CASES.items():
        yield name_of(name), scheme, values
    yield MAILBOX, "email", mailbox


def name_of(name: str) -> str:
    """The name of the flow, and of its credential, for a scheme's case."""
    return "".join(letter if letter.isalnum() else "-" for letter in name).replace("--", "-")


def signed(name: str, url: str, body: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    """A body as a scheme's sender sends it, and the headers with the signature."""
    scheme, credential, settings = case(name)
    sent = SignedRequest("POST", url, (), datetime.now(UTC), Unreachable())  # type: ignore[arg-type]  # it asks nobody
    with suppress(ValueError):  # such a body the provider never sends: others may
        body = scheme.complete(sent, body, credential, settings)
    with suppress(ValueError):
        return body, list(scheme.sign(sent, body, credential, settings))
    return body, []


def sender_requests() -> Iterator[Hostile]:
    """All requests."""
    yield from _of_signatures()
    for size in (MB, BIG):
        yield from _of_signed_bodies(size)
        yield from _of_events(size)
        yield from _of_tables(size)
        yield from _of_mails(size)
    yield from _of_event_heads()


# --- Signatures ------------------------------------------------------------------------------------------------------

#: Texts of a signature header.
_SIGNATURES: Final[Mapping[str, Callable[[int], str]]] = {
    "one letter": lambda size: "a" * size,
    "dots": lambda size: "a." * (size // 2),
    "fields": lambda size: "t=1,v1=a," * (size // 9),
    "equals signs": lambda size: "=" * size,
    "spaces": lambda size: "a" + " " * size + "a",
    "quotes": lambda size: '"' + '\\"' * (size // 2),
    "digits": lambda size: "9" * size,
    "base64": lambda size: b64encode(b'{"a":1}' * (size // 10)).decode(),
    "a token of a deep head": lambda size: b64encode(b"[" * (size * 3 // 4)).decode() + ".e30.a",
}
_ONCE: Final = 190
"""Almost as many headers as a request may have."""
#: The schemes that read the body: what it says counts for them, and is read once the signature holds.
_READERS: Final = (
    "linear",
    "mailgun",
    "microsoft-graph",
    "zoom",
    "sns, pinned",
    "twilio",
    "discord",
    "slack",
    "square",
)


def _header_names(name: str) -> list[str]:
    return [header for header, _ in signed(name, "https://hooks.example/", b"{}")[1]] or ["authorization"]


def _of_signatures() -> Iterator[Hostile]:
    for name in CASES:
        names = _header_names(name)
        for family, make in _SIGNATURES.items():
            headers = tuple((header, make(HEAD // len(names))) for header in names)
            quick = (name, family) == ("standard-webhooks", "fields")
            yield Hostile(f"a signature of {family}", name_of(name), lambda: b"{}", headers=headers, quick=quick)
        each = tuple((header, "v1,a t=1 " * 30) for header in names for _ in range(_ONCE // len(names)))
        yield Hostile("repeated signatures", name_of(name), lambda: b"{}", headers=each)


def _of_signed_bodies(size: int) -> Iterator[Hostile]:
    # A body that was changed on its way: all of it is read before the signature is judged.
    changed = once(lambda: json.dumps("x" * size))
    for name in CASES:
        headers = tuple(signed(name, "https://hooks.example/", b"{}")[1])
        yield Hostile("a changed body", name_of(name), changed, headers=headers)
    size = min(size, _READ)
    bodies: dict[str, Callable[[], str]] = {
        "many keys": lambda: "{" + numbered(size, '"k{n}":1') + "}",
        "equal keys": lambda: "{" + until(size, '"key":1') + "}",
        "notifications": lambda: f'{{"value":[{until(size, chr(123) + chr(125))}]}}',
        **{
            f"{family} in a key": lambda family=family: f'{{"payload":{json_texts(size)[family]()}}}'
            for family in ("wide lists", "digits", "deep", "escapes")
        },
    }
    for family, make in bodies.items():
        made = once(make)
        for name in _READERS:
            yield Hostile(family, name_of(name), made, signed_by=name)
    for family, part in {"many fields": "k{n}=1", "equal fields": "a=1"}.items():
        made = once(lambda part=part: numbered(size, part, "&"))
        for name in ("twilio", "slack"):
            yield Hostile(family, name_of(name), made, "application/x-www-form-urlencoded", signed_by=name)


# --- CloudEvents -----------------------------------------------------------------------------------------------------

_EVENTS: Final = {
    "verify": "none",
    "types": ["com.example.*"],
    "respond": "finished",
    "respond_timeout": "5m",
}
_EVENT: Final = '"specversion":"1.0","id":"{n}","source":"/a","type":"com.example.a"'
_STRUCTURED: Final = "application/cloudevents+json"
_BATCH: Final = "application/cloudevents-batch+json"


def _of_events(size: int) -> Iterator[Hostile]:
    one = _EVENT.format(n=1)
    events: dict[str, Callable[[], str]] = {
        "many extensions": lambda: f"{{{one},{numbered(size, chr(34) + 'k{n}' + chr(34) + ':1')}}}",
        "wrong extensions": lambda: f"{{{one},{numbered(size, chr(34) + 'K{n}' + chr(34) + ':[]')}}}",
        "near-names of attributes": lambda: (
            f"{{{one},{numbered(size, chr(34) + 'datacontenttyp{n}' + chr(34) + ':[]')}}}"
        ),
        "a long id": lambda: f'{{"specversion":"1.0","id":"{"x" * size}","source":"/a","type":"com.example.a"}}',
        "a long source": lambda: (
            f'{{"specversion":"1.0","id":"1","source":"{"a:" * (size // 2)}","type":"com.example.a"}}'
        ),
        "a long type": lambda: (
            f'{{"specversion":"1.0","id":"1","source":"/a","type":"com.example.{"a." * (size // 2)}"}}'
        ),
        "a long time": lambda: f'{{{one},"time":"2026-01-01T00:00:00.{"0" * size}Z"}}',
        "a long media type": lambda: f'{{{one},"datacontenttype":"a/b{";a=b" * (size // 4)}","data_base64":"YQ=="}}',
        "a quoted media type": lambda: (
            f'{{{one},"datacontenttype":{json.dumps("a/b;a=" + chr(34) + chr(92) * (size // 2))}}}'
        ),
        "a file": lambda: f'{{{one},"data_base64":"{"QUFB" * (size // 4)}"}}',
        "near-base64": lambda: f'{{{one},"data_base64":"{"QUF=" * (size // 4)}"}}',
        "JSON as base64": lambda: (
            f'{{{one},"datacontenttype":"application/json","data_base64":'
            f'"{b64encode(("[" + until(size * 3 // 4, "[]") + "]").encode()).decode()}"}}'
        ),
        **{
            f"data: {family}": lambda family=family: f'{{{one},"data":{json_texts(size)[family]()}}}'
            for family in ("wide", "digits", "many keys", "equal hashes", "a long text")
        },
    }
    for family, make in events.items():
        yield Hostile(f"an event with {family}", "events", once(make), _STRUCTURED, quick=family == "wrong extensions")
    batches: dict[str, Callable[[], str]] = {
        "many events": lambda: f"[{numbered(size, '{{' + _EVENT + '}}')}]",
        "a thousand events": lambda: f"[{numbered(990 * (size // 1000), _padded(size // 1000))}]",
        "a thousand events that start nothing": lambda: (
            f"[{numbered(990 * (size // 1000), _padded(size // 1000).replace('com.example', 'org.example'))}]"
        ),
        "events with many problems": lambda: f"[{until(size, '{' + numbered(size // 1000, _WRONG) + '}')}]",
        "no events": lambda: f"[{until(size, '[]')}]",
    }
    for family, make in batches.items():
        yield Hostile(f"a batch: {family}", "events", once(make), _BATCH)


_WRONG: Final = '"K{n}":[]'


def _padded(size: int) -> str:
    """The form of an event of so many bytes."""
    return "{{" + _EVENT + ',"data":"' + "x" * (size - 100) + '"}}'


def _of_event_heads() -> Iterator[Hostile]:
    event = (("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/a"), ("ce-type", "com.example.a"))
    heads: dict[str, tuple[tuple[str, str], ...]] = {
        "a repeated attribute": (*event, *((("ce-a", "x" * 300),) * _ONCE)),
        "many attributes": (*event, *((f"ce-a{number}", "x") for number in range(_ONCE))),
        "wrong attributes": (*event, *((f"ce-datacontent-type{number}", "x") for number in range(_ONCE))),
        "a quoted attribute": (*event, ("ce-a", '"' + '\\"' * (HEAD // 2) + '"')),
        "percent signs in an attribute": (*event, ("ce-a", "%41" * (HEAD // 3))),
        "a long time": (*event, ("ce-time", "2026-01-01T00:00:00." + "0" * HEAD + "Z")),
        "a long source": (*event[:2], ("ce-source", "a:" * (HEAD // 2)), event[3]),
    }
    for family, headers in heads.items():
        yield Hostile(f"an event with {family} in its head", "events", lambda: b'"x"', headers=headers)


# --- Tables in files -------------------------------------------------------------------------------------------------


def _of_tables(size: int) -> Iterator[Hostile]:
    tables: dict[str, dict[str, Callable[[], str]]] = {
        "csv": {
            "rows": lambda: "a,b\n" + numbered(size, "{n},1", "\n"),
            "equal keys": lambda: "a,b\n" + until(size, "1,2", "\n"),
            "columns": lambda: numbered(size, "c{n}"),
            "equal columns": lambda: until(size, "c"),
            "columns and short rows": lambda: numbered(size // 2, "c{n}") + "\n" + "1\n" * (size // 4),
            "doubled quotes": lambda: 'a\n"' + '""' * (size // 2) + '"',
            "a long value": lambda: "a\n" + "x" * size,
            "empty rows": lambda: "a,b" + "\n" * size,
        },
        "json": {
            "many keys": lambda: "{" + numbered(size, '"k{n}":1') + "}",
            "equal keys": lambda: "{" + until(size, '"key":1') + "}",
            "letters that grow": lambda: "{" + numbered(size, '"\u0130{n}":1') + "}",
            "rows": lambda: "[" + numbered(size, '{{"a":{n}}}') + "]",
            "rows that are none": lambda: f"[{until(size, '1')}]",
            "equal hashes": lambda: f'[{{"a":1}},{json_texts(size)["equal hashes"]()[1:]}',
            "digits": lambda: f"[{until(size, '{' + chr(34) + 'a' + chr(34) + ':' + '9' * 4290 + '}')}]",
            "a long text": lambda: f'{{"a":"{"x" * size}"}}',
        },
    }
    for ending, families in tables.items():
        for family, make in families.items():
            yield Hostile(
                f"a table of {family}",
                f"look-up-{ending}",
                lambda: b'["k10000001", "K10000009"]',
                table=once(make),
                quick=(ending, family, size) == ("csv", "rows", BIG),
            )


# --- Mail ------------------------------------------------------------------------------------------------------------

_END: Final = "\r\n"


def _of_mails(size: int) -> Iterator[Hostile]:
    text = "content-type: text/plain; charset=utf-8" + _END
    mixed = "content-type: multipart/mixed; boundary=b" + 2 * _END
    lines = "x" * 70 + _END
    mails: dict[str, Callable[[], str]] = {
        "headers": lambda: numbered(size, "a{n}: b", _END) + 2 * _END + "x",
        "one header again": lambda: until(size, "a: b", _END) + 2 * _END + "x",
        "a long header": lambda: f"subject: {'b' * size}{2 * _END}x",
        "a folded header": lambda: f"subject: {until(size, 'b', _END + ' ')}{2 * _END}x",
        "encoded words": lambda: f"subject: {until(size, '=?utf-8?q?a?=', ' ')}{2 * _END}x",
        "addresses": lambda: f"to: {until(size, 'a@b.example', ', ')}{2 * _END}x",
        "recipients": lambda: numbered(size, "to: {n}@b.example", _END) + 2 * _END + "x",
        "brackets": lambda: f"to: {'(' * size}{2 * _END}x",
        "open addresses": lambda: f"to: {'<,' * (size // 2)}{2 * _END}x",
        "quotes": lambda: "to: " + '"\\' * (size // 2) + 2 * _END + "x",
        "parameters": lambda: f"content-type: text/plain{numbered(size, '; k{n}=v', '')}{2 * _END}x",
        "continued parameters": lambda: f"content-type: text/plain{numbered(size, '; k*{n}=v', '')}{2 * _END}x",
        "a long date": lambda: f"date: {'1 ' * (size // 2)}{2 * _END}x",
        "parts": lambda: mixed + until(size, f"--b{2 * _END}x", _END),
        "deep parts": lambda: "".join(
            f"content-type: multipart/mixed; boundary=b{level}{2 * _END}--b{level}{_END}" for level in range(size // 70)
        ),
        "near-boundaries": lambda: mixed + f"--b{2 * _END}" + until(size, "--c", _END),
        "files": lambda: mixed + until(size, f"--b{_END}content-disposition: attachment; filename=a{2 * _END}x", _END),
        "a text": lambda: text + _END + lines * (size // len(lines)),
        "texts": lambda: mixed + until(size, f"--b{_END}{text}{_END}{lines * (900_000 // len(lines))}", _END),
        "a text in base64": lambda: f"{text}content-transfer-encoding: base64{2 * _END}" + "QUFB" * (size // 4),
        "a text of escapes": lambda: (
            f"{text}content-transfer-encoding: quoted-printable{2 * _END}" + "=41" * (size // 3)
        ),
        "a text in uuencode": lambda: (
            f"{text}content-transfer-encoding: x-uuencode{2 * _END}begin 644 a{_END}" + until(size, "!", _END)
        ),
        "a text in another charset": lambda: (
            f"content-type: text/plain; charset=utf-7{2 * _END}" + "+AGE-" * (size // 5)
        ),
        "a page": lambda: f"content-type: text/html{2 * _END}" + "<a>" * (size // 3),
        "a mail in it": lambda: f"content-type: message/rfc822{2 * _END}subject: a{2 * _END}" + lines * (size // 72),
    }
    for family, make in mails.items():
        yield Hostile(
            f"a mail with {family}",
            "mail",
            once(lambda make=make: f"from: a@b.example{_END}{make()}{_END}"),  # type: ignore[misc]  # bound at once
            is_mail=True,
        )
