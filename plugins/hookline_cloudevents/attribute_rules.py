"""The rules for the attributes of a CloudEvent (version 1.0 of the specification)."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from hookline.api import Problem, did_you_mean, pointer_to

VERSION: Final = "1.0"
REQUIRED: Final = ("specversion", "id", "source", "type")
OPTIONAL: Final = ("subject", "time", "datacontenttype", "dataschema")
DATA: Final = ("data", "data_base64")

_NAME: Final = re.compile(r"[a-z0-9]+")
#: Control characters and invalid characters, which no text of an event may contain.
_NO_TEXT: Final = re.compile("[\0-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
_NO_URI: Final = re.compile(r'[\s<>"{}|\\^`]|%(?![0-9A-Fa-f]{2})')
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE: Final = re.compile(rf'{_WORD}/{_WORD}(\s*+;\s*+{_WORD}=({_WORD}|"([^"\\]|\\.)*+"))*+\s*+;?\s*+')
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_INTEGER: Final = 2**31
_LONGEST_NAME: Final = 1000
LONGEST: Final = 65_536
"""The most characters of an attribute. A service that forwards events only has to accept those of up to 64 KB."""

MOST_PROBLEMS: Final = 100
"""The most problems of a request that are listed. A megabyte could have a hundred thousand of them."""


def problems(event: Mapping[str, Any], at: str = "") -> list[Problem]:
    """Return the first problems of an event's attributes, each with its JSON pointer; `at` is the pointer of the event.

    An attribute that is null counts as missing.
    """
    found: list[Problem] = []
    for name in REQUIRED:
        if event.get(name) is None:
            found.append(Problem(f"the event has no {name}", f"{at}/{name}", "missing", "every event needs one"))
    for name, value in event.items():
        if name in DATA or value is None:
            continue
        if len(found) >= MOST_PROBLEMS:
            break
        message = _wrong(name, value)
        if message is not None:
            remedy = ""
            if not _is_name(name):
                remedy = did_you_mean(
                    name, (*REQUIRED, *OPTIONAL, "data"), "names of extensions consist of a-z and 0-9"
                )
            found.append(Problem(message, f"{at}{pointer_to([name])}", "invalid", remedy))
    if event.get("data") is not None and event.get("data_base64") is not None:
        found.append(Problem("the event has both data and data_base64", f"{at}/data_base64", "invalid", "remove one"))
    return found


def _is_name(text: str) -> bool:
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def _wrong(name: str, value: Any) -> str | None:
    if not _is_name(name):
        return f"an event has no attribute named {name[:60]!r}"
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{name[:60]} has {len(value):,} characters, but at most {LONGEST:,} are accepted"
    if name not in (*REQUIRED, *OPTIONAL):
        return _wrong_extension(name, value)
    if not isinstance(value, str):
        return f"{name} must be a text, not {_kind(value)}"
    if not value:
        return f"{name} is empty"
    if _NO_TEXT.search(value):
        return f"{name} contains a control character"
    match name:
        case "specversion" if value != VERSION:
            return f"the event has version {value[:20]!r}, but only {VERSION} is supported"
        case "source" if _NO_URI.search(value):
            return f"source is not a URI reference: {value[:60]!r}"
        case "dataschema" if _NO_URI.search(value) or not _SCHEME.match(value):
            return f"dataschema is not a URI: {value[:60]!r}"
        case "datacontenttype" if not _MEDIA_TYPE.fullmatch(value):
            return f"datacontenttype is not a media type: {value[:60]!r}"
        case "time" if not _is_time(value):
            return f"time is not in RFC 3339 format, such as 2026-01-31T08:00:00Z: {value[:60]!r}"
        case _:
            return None


def _wrong_extension(name: str, value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -_INTEGER <= value < _INTEGER else f"the number {name[:60]} doesn't fit into 32 bits"
    if not isinstance(value, str):
        return f"the extension {name[:60]} must be a text, an integer, true or false, not {_kind(value)}"
    return f"{name[:60]} contains a control character" if _NO_TEXT.search(value) else None


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "true or false" if isinstance(value, bool) else "a number"


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        # A leap second is a valid time.
        datetime.fromisoformat(re.sub(r":60(?=[.Zz+-])", ":59", text).upper())
    except ValueError:
        return False
    return True


def is_json(media_type: str | None) -> bool:
    """Return true if data of this media type is JSON; data without a media type is."""
    if media_type is None:
        return True
    plain = media_type.partition(";")[0].strip().lower()
    return plain in ("application/json", "text/json") or plain.endswith("+json")


def is_text(media_type: str) -> bool:
    """Return true if data of this media type is text rather than a file; JSON is excluded before."""
    plain = media_type.partition(";")[0].strip().lower()
    return (
        plain.startswith("text/")
        or plain.endswith("+xml")
        or plain in ("application/xml", "application/x-www-form-urlencoded")
    )
