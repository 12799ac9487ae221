"""A document that is cut after a step, so that a run ends there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import msgspec

from hookline.flows.blocks import step_type_of
from hookline.flows.blocks.step_walkers import walk_documents
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.compiler.redaction import steps_redacted
from hookline.flows.compiler.step_ids import assign_step_ids
from hookline.flows.documents.read import read
from hookline.kernel.errors import FlowInvalid, Problem
from hookline.kernel.json import decode, encode
from hookline.kernel.pointers_and_patches import parts_of, value_at
from hookline.simulation.authoring.jobs import GivenDocument
from hookline.simulation.cases import names_step
from hookline.simulation.step_paths import step_paths

_TRY: Final = ("try", "catch", "finally")


def parse_document(source: bytes) -> dict[str, Any]:
    """Return the document in a text, with its numbers as they are written.

    Raises FlowInvalid if it isn't an object or repeats a key.
    """
    document = read(source)
    if document.problems:
        raise FlowInvalid(document.problems)
    if not isinstance(document.value, dict):
        raise FlowInvalid([Problem("a flow is an object", code="wrong_type", remedy="write { … }")])
    return document.value


def exact_document(source: bytes) -> dict[str, Any]:
    """Return the document in a text, with fractions as decimal numbers. Raises FlowInvalid as `parse_document` does."""
    parse_document(source)
    found: dict[str, Any] = decode(source, exact=True)
    return found


def step_at(document: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """Return the step at a JSON pointer of a document. Raises FlowInvalid if there is none."""
    for name in ("steps", "on_error"):
        for at, step in walk_documents(document.get(name), f"/{name}"):
            if at == pointer:
                return dict(step)
    problem = Problem(f"the document has no step at {pointer!r}", "", "unknown_step", "give the JSON pointer of a step")
    raise FlowInvalid([problem], "the request is not valid")


def cut_after(document: GivenDocument, pointer: str) -> GivenDocument:
    """Return the document up to and including a step. Raises FlowInvalid."""
    whole = exact_document(document.source)
    return msgspec.structs.replace(document, source=encode(replace_rest(whole, pointer, step_at(whole, pointer))))


def replace_rest(document: Mapping[str, Any], pointer: str, last: Any) -> dict[str, Any]:
    """Return the document up to the step at `pointer`, with `last` in place of that step.

    The `catch`, `finally` and `on_error` that follow it are left out, too, and what the flow redacts of the results of
    steps that are left out.
    """
    root = parts_of(pointer)[0]
    begun = {name: part for name, part in document.items() if name != "on_error" or root == "on_error"}
    begun[root] = _cut(document[root], f"/{root}", pointer, last)
    if isinstance(redacted := document.get("redact"), list):
        steps = assign_step_ids(begun)[0].pointers
        begun["redact"] = [path for path in redacted if steps_redacted(str(path)) <= steps.keys()]
    return begun


@contextmanager
def lines_in(source: bytes) -> Iterator[None]:
    """Give the problems of the beginning of a document their lines in the whole document."""
    try:
        yield
    except FlowInvalid as error:
        problems = [replace(problem, line=None, column=None) for problem in error.problems]
        raise FlowInvalid(read(source).place(problems)) from error


def _cut(steps: list[Any], at: str, pointer: str, last: Any) -> list[Any]:
    """Return the steps at `at`, cut after the step at `pointer`, which is one of them or inside one of them."""
    index = int(parts_of(pointer.removeprefix(at))[0])
    here = f"{at}/{index}"
    if here == pointer:
        return [*steps[:index], last]
    block = steps[index]
    below = next(one for one, _ in step_type_of(block).lists(block) if pointer.startswith(f"{here}{one}/"))
    inner = _cut(value_at(block, below), here + below, pointer, last)
    left_out = _TRY[_TRY.index(parts_of(below)[0]) + 1 :] if "try" in block else ()
    kept = {name: one for name, one in block.items() if name not in left_out}
    if left_out:
        # A `try` must have one of its handlers.
        kept["finally"] = []
    return [*steps[:index], _replaced(kept, parts_of(below), inner)]


def _replaced(value: Any, parts: list[str], by: Any) -> Any:
    if not parts:
        return by
    part, rest = parts[0], parts[1:]
    if isinstance(value, list):
        return [_replaced(one, rest, by) if index == int(part) else one for index, one in enumerate(value)]
    return {**value, part: _replaced(value[part], rest, by)}


def keep_known_stubs(given: bytes, flow: CompiledFlow) -> bytes:
    """Return a case without the stubs and answers of steps that the beginning of a flow doesn't have."""
    case = decode(given, exact=True)
    places = step_paths(flow)
    for part in ("stubs", "answers"):
        if isinstance(case.get(part), dict):
            case[part] = {name: one for name, one in case[part].items() if names_step(name, places)}
    return encode(case)
