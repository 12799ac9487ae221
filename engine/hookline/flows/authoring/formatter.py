"""The canonical form of a flow's file: the order of its keys, and the layout.

Only the keys of the flow language are sorted. Keys that the author chooses (in `with`, `vars` and `schema`) keep their
order, because the objects that a `map` gives have it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from hookline.flows.blocks.step_walkers import map_documents
from hookline.flows.documents.version import SILENT
from hookline.kernel.json import encode
from hookline.model.flow import BLOCKS, ActionStep, CaseDocument, FlowDocument, RetryDocument, TriggerDocument

WIDTH: Final = 120
"""The columns of a line. Only a line with a single long text may be longer."""
_INDENT: Final = 2


def _keys(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


_FIRST: Final = ("$schema", "id", "title", "state", "trigger")
_LAST: Final = ("steps", "on_error")
_FLOW: Final = (*_FIRST, *(key for key in _keys(FlowDocument) if key not in (*_FIRST, *_LAST)))
#: The keys of all blocks that contain steps. They come last, so that a block's settings are before its steps.
_STEPS: Final = ("switch", "parallel", "try", "catch", "finally", "steps")


def format_flow(document: Mapping[str, Any]) -> str:
    """The text of a flow's file in canonical form. Only the order of keys and the layout change."""
    members = [_member(key, value, 0) for key, value in ordered(document).items()]
    return "{\n" + ",\n".join(" " * _INDENT + member for member in members) + "\n}\n"


def format_value(value: Any, indent: int) -> str:
    """The text of a JSON value in the same layout, indented by `indent` spaces. The order of keys is kept."""
    return _text(value, indent, indent, 1)


def ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its keys, and those of its steps, in canonical order; unknown keys come after known ones."""
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
    """A step with its keys in canonical order. Its inner steps already are."""
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
    """A member of the document itself. Lists of steps always have one step per line, even if they are short."""
    name = f"{_inline(key)}: "
    inner = indent + _INDENT
    if key in _LAST and isinstance(value, list) and value:
        return name + _expanded(value, inner, inner + len(name))
    return name + _text(value, inner, inner + len(name), 1)


def _inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_inline(key)}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return encode(value).decode()


def _text(value: Any, indent: int, used: int, after: int) -> str:
    """A value on an indented line of which `used` columns are taken, with `after` more columns after the value."""
    line = _inline(value)
    if not value or not isinstance(value, dict | list) or used + len(line) + after <= WIDTH:
        return line
    return _expanded(value, indent, used)


def _expanded(value: Any, indent: int, used: int) -> str:
    """An object or a list on several lines.

    If only the last member of an object needs several lines, it begins on the first: `{"id": "a", "with": {`.
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


def with_silent_keys(document: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """A document whose keys that don't change the version, such as the title, have the values of another."""
    silent = {key: value for key, value in current.items() if key in SILENT}
    return {**{key: value for key, value in document.items() if key not in SILENT}, **silent}
