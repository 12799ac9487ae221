"""Rules about texts in a flow's document: those that look like expressions, mappers that aren't listed, and passwords.

They read the document, in which `{"literal": …}` says that a text is meant as it is.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from hookline.flows.blocks.step_walkers import walk_documents
from hookline.flows.elements.expressions import RESERVED, language
from hookline.kernel.errors import Problem
from hookline.kernel.pointers_and_patches import adding, escape, replacing

_NAMES: Final = r"(?:body|headers|attachments|steps|trigger|vars|item|execution|error)"
_PATH: Final = rf"{_NAMES}(?:\.\w+|\[\w+\])*"
#: Spellings of expressions that are none, each with its path as a group.
_SPELLINGS: Final = (
    re.compile(rf"\$\{{\s*({_PATH})\s*\}}"),
    re.compile(rf"(?<![{{$\w])#?\{{\s*({_PATH})\s*\}}(?!\}})"),
    re.compile(rf"(?<![$\w])\$\.?({_PATH})(?!\w)"),
)


def text_problems(document: Any, mappers: Collection[str]) -> Iterator[Problem]:
    """Yield the problems of the texts in a document. `mappers`: the names of the installed mappers."""
    if not isinstance(document, dict):
        return
    listed = document.get("mappers")
    enabled = {*RESERVED, *(each for each in listed if isinstance(each, str))} if isinstance(listed, list) else RESERVED
    named = frozenset({*RESERVED, *mappers})
    for pointer, value in _settings(document, named):
        yield from _mapper(pointer, value, named, enabled)
        if isinstance(value, str):
            yield from _spelling(pointer, value)
            yield from _password(pointer, value)
    for pointer, value in _values("/vars", document.get("vars"), named):
        if isinstance(value, str):
            yield from _password(pointer, value)


def _settings(document: Mapping[str, Any], languages: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield each value in the settings of the trigger and of the steps, with its pointer."""
    trigger = document.get("trigger")
    if isinstance(trigger, dict):
        yield from _values("/trigger/with", trigger.get("with"), languages)
    for key in ("steps", "on_error"):
        for pointer, step in walk_documents(document.get(key), f"/{key}"):
            yield from _values(f"{pointer}/with", step.get("with"), languages)


def _values(pointer: str, value: Any, languages: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield a value and the values in it, except those in an object that names a language or says `literal`."""
    if isinstance(value, dict):
        if "literal" in value and len(value) == 1:
            return
        yield pointer, value
        if not _language_of(value, languages):
            for key, item in value.items():
                yield from _values(f"{pointer}/{escape(key)}", item, languages)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _values(f"{pointer}/{index}", item, languages)
    else:
        yield pointer, value


def _language_of(value: Mapping[str, Any], names: Collection[str]) -> str | None:
    """The mapper that an object names, as the compiler reads it."""
    keys = [key for key in value if key != "default"]
    return keys[0] if len(keys) == 1 and keys[0] in names and isinstance(value[keys[0]], str) else None


def _mapper(pointer: str, value: Any, mappers: Collection[str], enabled: Collection[str]) -> Iterator[Problem]:
    name = _language_of(value, mappers) if isinstance(value, dict) else None
    if name is not None and name not in enabled:
        yield Problem(
            f"this is an object with the key {name!r}, and no {name} expression: the flow doesn't list that mapper",
            pointer,
            "mapper_not_listed",
            f'add "mappers": ["{name}"] to the flow, or write {{"literal": …}} if you mean the object',
            "warning",
            fix=adding("/mappers/-", name),
        )


def _spelling(pointer: str, text: str) -> Iterator[Problem]:
    if language(text) is not None or not any(found.search(text) for found in _SPELLINGS):
        return
    written = _as_expression(text)
    yield Problem(
        "this is plain text, although it looks like an expression",
        pointer,
        "plain_text",
        f'write "{written if len(written) <= 200 else written[:200] + "…"}", or {{"literal": …}} if you mean the text',
        "warning",
        fix=replacing(pointer, written),
    )


def _as_expression(text: str) -> str:
    """Return a text that looks like expressions of other languages with those of this one."""
    for spelling in _SPELLINGS:
        text = spelling.sub(r"{{ \1 }}", text)
    return text


def _password(pointer: str, text: str) -> Iterator[Problem]:
    if "://" not in text or "{{" in text:
        return
    try:
        password = urlsplit(text).password
    except ValueError:
        return
    if password:
        yield Problem(
            "this URL contains a password, which is visible in the flow, in its versions and in views",
            pointer,
            "secret_in_flow",
            "put the password into a credential, or the URL into a var that an environment variable sets",
            "warning",
        )
