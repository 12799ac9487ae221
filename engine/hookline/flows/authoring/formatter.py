"""The canonical form of a flow's file: in which order its keys stand, and how they are laid out.

Only the order of keys that the flow language gives their meaning is set; what the author names (`with`, `vars`,
`schema`) stays as it was written, since a `map` gives its keys in that order.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

from pydantic import BaseModel

from hookline.flows.blocks.step_tree import map_documents
from hookline.flows.documents.version import SILENT
from hookline.kernel.json import encode
from hookline.model.flow import BLOCKS, ActionStep, CaseDocument, FlowDocument, RetryDocument, TriggerDocument

WIDTH: Final = 120
"""Columns that a line may have; one long text may have more."""
_INDENT: Final = 2


def _keys(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


_FIRST: Final = ("$schema", "id", "title", "state", "trigger")
_LAST: Final = ("steps", "on_error")
_FLOW: Final = (*_FIRST, *(key for key in _keys(FlowDocument) if key not in (*_FIRST, *_LAST)))
#: The keys under which steps stand, of all blocks: they go last, so that a block's settings stand before its steps.
_STEPS: Final = ("switch", "parallel", "try", "catch", "finally", "steps")


def format_flow(document: Mapping[str, Any]) -> str:
    """The text of a flow's file in canonical form; reading it gives the same value, but for the order of its keys."""
    members = [_member(key, value, 0) for key, value in ordered(document).items()]
    return "{\n" + ",\n".join(" " * _INDENT + member for member in members) + "\n}\n"


def format_value(value: Any, indent: int) -> str:
    """A JSON value laid out likewise, its keys in the order that they have; `indent` spaces stand before it."""
    return _text(value, indent, indent, 1)


def ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its keys, and those of its steps, in canonical order; unknown ones behind the known."""
    flow = _sorted(document, _FLOW, _LAST)
    flow["trigger"] = _object(flow.get("trigger"), _keys(TriggerDocument))
    for key in _LAST:
        flow[key] = map_documents(flow.get(key), f"/{key}", _step)
    return {key: value for key, value in flow.items() if key in document}


def _sorted(value: Mapping[str, Any], first: Iterable[str], last: Iterable[str] = ()) -> dict[str, Any]:
    last = tuple(last)
    known = [key for key in first if key in value and key not in last]
    behind = [key for key in last if key in value]
    others = [key for key in value if key not in known and key not in behind]
    return {key: value[key] for key in (*known, *others, *behind)}


def _object(value: Any, keys: Iterable[str]) -> Any:
    return _sorted(value, keys) if isinstance(value, dict) else value


def _step(step: dict[str, Any], _: str) -> dict[str, Any]:
    """A step whose inner steps are in canonical order already."""
    kind = next((kind for kind in BLOCKS if kind in step), None)
    if kind is None:
        step = _sorted(step, ("id", "use", "when", *_keys(ActionStep)))
        if "retry" in step:
            step["retry"] = _object(step["retry"], _keys(RetryDocument))
        return step
    step = _sorted(step, ("id", kind, "when", *_keys(BLOCKS[kind])), _STEPS)
    if kind == "switch" and isinstance(step["switch"], list):
        step["switch"] = [
            _sorted(case, _keys(CaseDocument), ("steps",)) if isinstance(case, dict) else case
            for case in step["switch"]
        ]
    return step


def _member(key: str, value: Any, indent: int) -> str:
    """A member of the document itself: its steps stand one below the other, however short they are."""
    name = f"{_inline(key)}: "
    inner = indent + _INDENT
    if key in _LAST and isinstance(value, list) and value:
        return name + _expanded(value, inner, inner + len(name))
    return name + _text(value, inner, inner + len(name), 1)


def _inline(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_inline(key)}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return encode(value).decode()


def _text(value: Any, indent: int, used: int, after: int) -> str:
    """A value on a line that is indented so far, `used` columns of it taken, and with `after` columns behind it."""
    line = _inline(value)
    if not value or not isinstance(value, dict | list) or used + len(line) + after <= WIDTH:
        return line
    return _expanded(value, indent, used)


def _expanded(value: Any, indent: int, used: int) -> str:
    """An object or a list over several lines.

    Where only the last member of an object needs them, it opens on the object's own line: `{"id": "a", "with": {`.
    """
    inner = indent + _INDENT
    if isinstance(value, dict):
        *head, (last, content) = value.items()
        if content and isinstance(content, dict | list) and not any(isinstance(item, dict | list) for _, item in head):
            opening = "{" + "".join(f"{_inline(key)}: {_inline(item)}, " for key, item in head) + f"{_inline(last)}: "
            if used + len(opening) + 1 <= WIDTH:
                return opening + _expanded(content, indent, used + len(opening)) + "}"
        names = [f"{_inline(key)}: " for key in value]
        lines = [
            name + _text(item, inner, inner + len(name), 1) for name, item in zip(names, value.values(), strict=True)
        ]
        brackets = "{}"
    else:
        lines = [_text(item, inner, inner, 1) for item in value]
        brackets = "[]"
    pad = " " * inner
    return f"{brackets[0]}\n" + ",\n".join(pad + line for line in lines) + f"\n{' ' * indent}{brackets[1]}"


def write_flow(file: Path, document: Mapping[str, Any], current: Mapping[str, Any] | None) -> None:
    """Write a document to a flow's file, in canonical form, in the place of `current`: whole, or not at all.

    What makes no version (the title) stays as `current` has it. Raises OSError.
    """
    if current is not None:
        silent = {key: value for key, value in current.items() if key in SILENT}
        document = {**{key: value for key, value in document.items() if key not in SILENT}, **silent}
    # A link stays one.
    target = file.resolve()
    mode = target.stat().st_mode if target.exists() else None
    with NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=".", suffix=".tmp", delete=False) as new:
        try:
            new.write(format_flow(document))
            new.flush()
            os.fsync(new.fileno())
            made = Path(new.name)
            made.chmod(0o644 if mode is None else mode & 0o7777)
            made.replace(target)
        except BaseException:
            Path(new.name).unlink()
            raise
