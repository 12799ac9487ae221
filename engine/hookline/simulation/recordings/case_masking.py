"""Recordings without secrets: a case file is kept with the flows, where everybody can read it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from hookline.secrets.masking import MASK, HiddenValues, is_secret_name

#: With such a URL, anybody may call the waiting step.
_RESUME_URL: Final = re.compile(r"https?://(?:(?!https?://)[^\s\"'<>])*/resume/[^\s\"'<>?#]+")
_MASKED_RESUME_URL: Final = f"https://hookline.test/resume/{MASK}"
#: A shorter text would mask ordinary words.
_SHORTEST: Final = 8


def mask_secrets(value: Any, also: Iterable[str] = ()) -> Any:
    """Mask fields with secret names in a JSON value, and their texts wherever they occur.

    `also`: more texts to mask.
    """
    hidden = HiddenValues(text for text in (*_secret_texts(value), *also) if len(text) >= _SHORTEST)
    return _masked(value, hidden)


def public_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without those that are secret or masked."""
    return {name: value for name, value in headers.items() if not is_secret_name(name) and value.strip("*")}


def mask_resume_urls(text: str) -> str:
    """Replace each resume URL by the same text."""
    return _RESUME_URL.sub(_MASKED_RESUME_URL, text)


def _secret_texts(value: Any, *, named: bool = False) -> Iterator[str]:
    """The texts of members with the names of secrets; `named`: the value is that of such a member, or is in its
    list."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _secret_texts(item, named=is_secret_name(key))
    elif isinstance(value, list):
        for item in value:
            yield from _secret_texts(item, named=named)
    elif named and isinstance(value, str):
        # `Bearer abc`: the word before the secret is an ordinary one.
        yield from (value, value.rpartition(" ")[2])


def _masked(value: Any, hidden: HiddenValues, *, named: bool = False) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item, hidden, named=is_secret_name(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, hidden, named=named) for item in value]
    if not isinstance(value, str):
        return value
    return MASK if named else hidden.mask_text(mask_resume_urls(value))
