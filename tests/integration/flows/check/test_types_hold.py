"""What is known of values before a flow runs holds when it runs: random flows on a real engine, on bodies that fit."""

import asyncio
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.engine_harness import Harness

from hookline.discovery.plugin_loader import load_plugins
from hookline.flows.check.type_analysis import FlowAnalysis, analyse_flow
from hookline.flows.compiler.compile import compile_flow
from hookline.flows.types.path_lookup import PathFound, PathMissing
from hookline.flows.types.shape import ListOf, OneOf, Record, Scalar, Shape, StreamOf
from hookline.kernel.errors import FlowInvalid
from hookline.kernel.json import encode
from hookline.model.execution import State

REGISTRY = load_plugins()
KEYS = "abcd"
_KINDS: dict[str, type | tuple[type, ...]] = {"text": str, "number": (int, float), "boolean": bool, "null": type(None)}


def fits(shape: Shape, value: Any) -> bool:
    """Whether a value is of a shape."""
    match shape:
        case Scalar(kind):
            return isinstance(value, _KINDS[kind]) and isinstance(value, bool) == (kind == "boolean")
        case ListOf(item):
            return isinstance(value, list) and all(fits(item, one) for one in value)
        case StreamOf():
            return False
        case Record(fields, closed):
            return (
                isinstance(value, dict)
                and all(name in value for name, field in fields.items() if field.required)
                and all(name in fields or not closed for name in value)
                and all(fits(fields[name].shape, one) for name, one in value.items() if name in fields)
            )
        case OneOf(options):
            return any(fits(option, value) for option in options)
        case _:
            return True


class Draw:
    """Random flows, and bodies that satisfy their schemas."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.steps = 0

    def schema(self, depth: int = 3) -> dict[str, Any]:
        kind = self.random.choice(["string", "integer", "object", "object", "array"] if depth else ["string", "null"])
        if depth == 3 or kind == "object":
            names = self.random.sample(KEYS, self.random.randint(1, 3))
            return {
                "type": "object",
                "properties": {name: self.schema(depth - 1) for name in names},
                "required": [name for name in names if self.random.random() < 0.8],
                **({"additionalProperties": False} if self.random.random() < 0.7 else {}),
            }
        return {"type": kind, "items": self.schema(depth - 1)} if kind == "array" else {"type": kind}

    def value(self, schema: dict[str, Any]) -> Any:
        match schema["type"]:
            case "object":
                return {
                    name: self.value(inner)
                    for name, inner in schema["properties"].items()
                    if name in schema["required"] or self.random.random() < 0.5
                }
            case "array":
                return [self.value(schema["items"]) for _ in range(self.random.randint(0, 2))]
            case kind:
                return {"string": "x", "integer": 7, "null": None}[kind]

    def path(self, names: tuple[str, ...]) -> str:
        start = self.random.choice(["body", "body", "trigger.body", *names])
        return ".".join([start, *(self.random.choice(KEYS) for _ in range(self.random.randint(0, 2)))])

    def template(self, names: tuple[str, ...], depth: int = 2) -> Any:
        kinds = ["path", "path", "jinja", "object", "list", "default", "constant"] if depth else ["path", "constant"]
        kind = self.random.choice(kinds)
        match kind:
            case "path":
                return f"$.{self.path(names)}"
            case "jinja":
                return f"{{{{ {self.path(names)} }}}}"
            case "object":
                return {key: self.template(names, depth - 1) for key in self.random.sample(KEYS, 2)}
            case "list":
                return [self.template(names, depth - 1)]
            case "constant":
                return self.random.choice([1, "x", {"a": {"b": 1}}, {"a": [1], "c": None}])
            case _:
                return {"jsonpath": f"$.{self.path(names)}", "default": self.random.choice([None, 1, {"a": 1}])}

    def step(self, names: tuple[str, ...], depth: int = 2) -> dict[str, Any]:
        self.steps += 1
        step_id = f"s{self.steps}"
        when = f"{{{{ trigger.body == {self.random.randint(0, 1)} or {self.random.choice(['true', 'false'])} }}}}"
        match self.random.choice(["map", "switch", "foreach", "parallel", "try"] if depth else ["map"]):
            case "switch":
                cases: list[Any] = [{"when": when, "steps": self.some(names, depth - 1)}]
                if self.random.random() < 0.7:
                    cases.append({"otherwise": True, "steps": self.some(names, depth - 1)})
                return {"id": step_id, "switch": cases, "match": self.random.choice(["first", "all"])}
            case "foreach":
                inner = self.some((*names, "item"), depth - 1)
                items = self.random.choice([self.template(names), [self.template(names), self.template(names)]])
                return {"id": step_id, "foreach": items, "steps": inner}
            case "parallel":
                return {"id": step_id, "parallel": {key: self.some(names, depth - 1) for key in "ab"}}
            case "try":
                caught = self.some(names, depth - 1)
                return {"id": step_id, "try": self.some(names, depth - 1), "catch": caught}
            case _:
                left_out = {"when": when} if self.random.random() < 0.2 else {}
                return {"id": step_id, "use": "map", "with": {"body": self.template(names)}, **left_out}

    def some(self, names: tuple[str, ...], depth: int) -> list[dict[str, Any]]:
        return [self.step(names, depth) for _ in range(self.random.randint(1, 2))]


def known(flow_id: str, steps: list[Any], schema: Any) -> FlowAnalysis | None:
    """What is known of a flow; None where it doesn't compile."""
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    document = {"id": flow_id, "trigger": trigger, "schema": schema, "steps": steps}
    try:
        return analyse_flow(compile_flow(encode(document), REGISTRY))
    except FlowInvalid:
        return None


def reads(walked: FlowAnalysis) -> list[PathFound | PathMissing]:
    """What each expression without a default reads."""
    return [scope.find(one.path) for each, scope in walked.expressions for one in each.references if not one.optional]


def is_list(shape: Shape) -> bool:
    return all(isinstance(one, ListOf) for one in (shape.options if isinstance(shape, OneOf) else (shape,)))


def sure(walked: FlowAnalysis) -> bool:
    """Whether nothing that it reads can be missing, and nothing it goes through is no list."""
    from hookline.flows.blocks.foreach import CompiledForeach
    from hookline.flows.types.type_scope import shape_of

    loops = [(visit.compiled, visit.scope) for visit in walked.visits if isinstance(visit.compiled, CompiledForeach)]
    return all(isinstance(found, PathFound) and found.certain for found in reads(walked)) and all(
        is_list(shape_of(step.items, scope)) for step, scope in loops
    )


LAST = {"id": "last", "use": "map", "with": {"body": "$.body"}}


def drawn(random: Random, flow_id: str) -> tuple[list[Any], Any, Any]:
    """A flow's steps of which is known that they run, its schema, and a body."""
    draw = Draw(random)
    schema = draw.schema()
    steps: list[Any] = []
    for _ in range(16):
        names = tuple(f"steps.{step['id']}.body" for step in steps)
        step = draw.step(names)
        walked = known(flow_id, [*steps, step], schema)
        if walked is not None and sure(walked):
            steps.append(step)
        if len(steps) == 5:
            break
    return [*steps, LAST], schema, draw.value(schema)


def lost(random: Random, flow_id: str, steps: list[Any], schema: Any) -> dict[str, Any] | None:
    """A step that reads what can't be there."""
    draw = Draw(random)
    names = tuple(f"steps.{step['id']}.body" for step in steps)
    for _ in range(20):
        step = {"id": "wrong", "use": "map", "with": {"body": f"$.{draw.path(names)}"}}
        walked = known(flow_id, [*steps, step], schema)
        if walked is not None and any(isinstance(found, PathMissing) for found in reads(walked)):
            return step
    return None


@pytest.mark.long  # it looks for flows of which enough is known, and runs them on an engine
@settings(max_examples=2)
@given(st.integers(0, 2**32))
def test_what_is_known_before_a_flow_runs_holds_when_it_runs(seed: int) -> None:
    random = Random(seed)
    flows = {f"f{number}": drawn(random, f"f{number}") for number in range(8)}
    wrong = {flow_id: lost(random, flow_id, steps, schema) for flow_id, (steps, schema, _) in flows.items()}

    async def run(folder: Path) -> None:
        harness = Harness(folder)
        for flow_id, (steps, schema, _) in flows.items():
            harness.flow(flow_id, steps, schema=schema)
            if (step := wrong[flow_id]) is not None:
                harness.flow(f"{flow_id}-wrong", [*steps, step], schema=schema)
        async with harness.engine() as engine:
            for flow_id, (steps, schema, body) in flows.items():
                done = await harness.until(engine, await harness.send(engine, flow_id, body))
                assert done.state is State.SUCCEEDED, (steps, schema, body, done.error)
                walked = known(flow_id, steps, schema)
                assert walked is not None
                behind = next(visit.behind for visit in walked.visits if visit.compiled.id == "last")
                output = (await harness.journal(engine, done.id))["last"].output
                assert behind is not None
                assert output is not None
                gave = msgspec.json.decode(output).get("body")
                assert fits(behind.message.body, gave), (steps, schema, body, behind.message.body, gave)
                if (step := wrong[flow_id]) is None:
                    continue
                failed = await harness.until(engine, await harness.send(engine, f"{flow_id}-wrong", body))
                assert failed.error is not None, (steps, step, schema, body)
                assert failed.error.code == "expression.missing", (steps, step, schema, body, failed.error)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))
