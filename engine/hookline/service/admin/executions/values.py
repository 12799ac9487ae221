"""The admin API's routes for the values of an execution: its message, and the inputs and outputs of its steps."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.errors import ExecutionNotFound, ValueNotFound
from hookline.kernel.json import OFF_THE_LOOP, decode, encode
from hookline.kernel.pointers_and_patches import parts_of
from hookline.model.execution import StepRecord
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import Parameter, read_number, read_query
from hookline.service.admin.responses import json_response
from hookline.service.views.excerpts import Cut, excerpt
from hookline.storage.store import Store

_T = TypeVar("_T")
_MOST: Final = 10**9
_RECORDS: Final = 200


class ValuesView(msgspec.Struct, frozen=True):
    """A value of an execution, or as much of it as can be shown."""

    value: msgspec.Raw
    """Any JSON value."""
    cuts: list[Cut]
    """The texts, lists and objects in it of which only a part is shown; empty if it is whole."""


def _number(name: str, meaning: str) -> Parameter:
    schema = {"type": "integer", "minimum": 0, "maximum": _MOST, "default": 0}
    return Parameter(name, meaning, schema, partial(read_number, least=0, most=_MOST))


_PLACE: Final = (
    Parameter("step", "The path of a step; without it, the values are those of the message."),
    _number("attempt", "The attempt at the step, from 1; 0 is the latest."),
    Parameter(
        "pointer",
        "A JSON pointer into `input` and `output` of the step, or `body`, `headers` and `attachments` of the message.",
        {"type": "string", "default": "", "pattern": r"^(/[\s\S]*)?$"},
    ),
)
_VALUES: Final = (
    *_PLACE,
    _number("offset", "The number of characters or values that are left out at the beginning."),
)


def add_values(api: Blueprint, engine: Engine) -> None:

    @api.get("/executions/<execution_id>/values")
    @operation(ValuesView, query=_VALUES, errors=(ValueNotFound,))
    async def get_values(execution_id: str) -> Response:
        """Get the message of an execution, or the input and the output of a step.

        Of large values, only the beginning of each text, list and object is shown; `cuts` says what is left out, which
        `pointer` and `offset` get.
        """
        given = read_query(_VALUES)
        return json_response(await read_part(execution_id, given, partial(_shown, offset=given["offset"])))

    @api.get("/executions/<execution_id>/values/download")
    @operation(Any, query=_PLACE, errors=(ValueNotFound,))
    async def download_value(execution_id: str) -> Response:
        """Download the whole value: the message of an execution, the input and the output of a step, or a part of
        these."""
        data = await read_part(execution_id, read_query(_PLACE), lambda value, _: encode(value))
        headers = {"Content-Disposition": 'attachment; filename="value.json"'}
        return Response(data, 200, headers, content_type="application/json")

    async def read_part(execution_id: str, given: dict[str, Any], show: Callable[[Any, str], _T]) -> _T:
        parts = await _parts(engine.store, execution_id, given["step"], given["attempt"])

        def read() -> _T:
            return show(_value(parts, given["pointer"]), given["pointer"])

        return await asyncio.to_thread(read) if sum(map(len, parts.values())) > OFF_THE_LOOP else read()


async def _parts(store: Store, execution_id: str, step: str | None, attempt: int) -> dict[str, bytes]:
    """The JSON of the parts of the message, or of a step. Raises ExecutionNotFound and ValueNotFound."""
    if step is not None:
        record = await _record(store, execution_id, step, attempt)
        return {"input": record.input or b"null", "output": record.output or b"null"}
    envelope = await store.envelope(execution_id)
    if envelope is None:
        raise ExecutionNotFound(f"there is no execution {execution_id!r}")
    message = envelope.message
    body = envelope.body_json if envelope.body_json is not None else encode(message.body)
    return {"body": body, "headers": encode(message.headers), "attachments": encode(list(message.attachments))}


async def _record(store: Store, execution_id: str, path: str, attempt: int) -> StepRecord:
    """The last entry of an attempt at a step."""
    if await store.execution(execution_id) is None:
        raise ExecutionNotFound(f"there is no execution {execution_id!r}")
    found: StepRecord | None = None
    after = 0
    while records := await store.journal(execution_id, after, _RECORDS):
        after = records[-1].seq
        for record in records:
            if record.path == path and attempt in (0, record.attempt):
                found = record
    if found is None:
        which = f"attempt {attempt} of " if attempt else ""
        raise ValueNotFound(f"the execution has no {which}step {path!r}")
    return found


def _shown(value: Any, pointer: str, offset: int) -> ValuesView:
    found = excerpt(value, pointer, offset)
    return ValuesView(msgspec.Raw(encode(found.value)), found.cuts)


def _value(parts: dict[str, bytes], pointer: str) -> Any:
    value: Any = {name: decode(data, exact=True) for name, data in parts.items()}
    for part in parts_of(pointer):
        try:
            value = value[int(part)] if isinstance(value, list) and part.isascii() and part.isdigit() else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueNotFound(f"there is no value at {pointer!r}") from None
    return value
