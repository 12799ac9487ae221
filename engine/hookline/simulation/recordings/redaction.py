"""What a recording must not carry into a case file, which is kept with the flows for everybody to read."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_MASK: Final = "***"
_SECRET: Final = re.compile(
    r"authorization|cookie|signature|secret|passw(or)?d|passphrase|token|api[-_]?key|private[-_]?key|hmac"
    r"|(^|[-_])sig(n|ned)?($|[-_])",
    re.IGNORECASE,
)
#: Whoever has such an address may call the step that waits.
_RESUME: Final = re.compile(r"https?://[^\s\"'<>]*/resume/[^\s\"'<>?#]+")
_ADDRESS: Final = f"https://hookline.test/resume/{_MASK}"
#: A shorter one would mask ordinary words.
_SHORTEST: Final = 8


def is_secret(name: str) -> bool:
    """Whether a header or a field of this name holds what only its owner may know."""
    return _SECRET.search(name) is not None


def redacted(value: Any, also: Iterable[str] = ()) -> Any:
    """JSON without secrets: fields that are named like one are masked, and their texts wherever else they stand.

    `also`: more of such texts.
    """
    texts = (*_secrets(value), *also)
    found = sorted({text for text in texts if len(text) >= _SHORTEST}, key=len, reverse=True)
    return _masked(value, re.compile("|".join(map(re.escape, found))) if found else None)


def open_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that anybody may read."""
    return {name: value for name, value in headers.items() if not is_secret(name) and value.strip("*")}


def without_addresses(text: str) -> str:
    """A text in which each address of a step that waits is the same."""
    return _RESUME.sub(_ADDRESS, text)


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if is_secret(key) and isinstance(item, str):
                # `Bearer abc`: the word before it stands in many places.
                yield from (item, item.rpartition(" ")[2])
            else:
                yield from _secrets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item)


def _masked(value: Any, secrets: "re.Pattern[str] | None") -> Any:
    if isinstance(value, dict):
        return {
            key: _MASK if is_secret(key) and isinstance(item, str) else _masked(item, secrets)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item, secrets) for item in value]
    if isinstance(value, str):
        text = without_addresses(value)
        return text if secrets is None else secrets.sub(_MASK, text)
    return value
