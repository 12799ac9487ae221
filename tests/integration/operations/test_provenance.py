"""A value is followed back through the flow to what came in."""

from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act

from hookline.engine import Engine
from hookline.kernel.errors import ExecutionNotFound, ProvenanceUnknown
from hookline.model.access import SYSTEM
from hookline.operations.replay import Edit
from hookline.operations.value_provenance import Explained, provenance_of


async def ask(engine: Engine, execution_id: str, field: str) -> Explained:
    return await provenance_of(engine.store, engine.catalog, execution_id, field)


async def ran(harness: Harness, engine: Engine, steps: list[dict[str, Any]], body: Any, **more: Any) -> str:
    harness.flow("f", steps, **more)
    await engine.version_switch.refresh()
    id_ = await harness.send(engine, "f", body)
    await harness.until(engine, id_)
    return id_


def leaves(origin: Explained) -> list[tuple[str, Any]]:
    """What it comes from in the end."""
    if not origin.reads:
        return [(origin.field, origin.value)]
    return [leaf for read in origin.reads for leaf in leaves(read)]


def mapped(step_id: str, body: Any) -> dict[str, Any]:
    return {"id": step_id, "use": "map", "with": {"body": body}}


@pytest.mark.parametrize(
    ("field", "comes_from"),
    [
        ("steps.one.body.n", [("trigger.body.n", 2)]),
        ("steps.one.body.list[1]", [("trigger.body.m", 3)]),
        ("steps.one.body.constant.deep", [("steps.one.body.constant.deep", True)]),
        ("steps.one.body.text", [("trigger.body.n", 2), ("trigger.body.m", 3)]),
        ("steps.one.body.whole.m", [("trigger.body.m", 3)]),
        ("steps.called.body.n", [("steps.called.body.n", 2)]),
        ("body.from_called", [("steps.called.body.n", 2)]),
        ("body.passed", [("steps.called.body.list[0]", "x")]),
        ("body.limit", [("vars.limit", 9)]),
        ("trigger.body.m", [("trigger.body.m", 3)]),
    ],
)
async def test_a_field_comes_from_what_its_expressions_read(
    harness: Harness, field: str, comes_from: list[tuple[str, Any]]
) -> None:
    steps = [
        mapped(
            "one",
            {
                "n": "$.body.n",
                "list": ["x", "$.body.m"],
                "constant": {"deep": True},
                "text": "{{ body.n }} and {{ trigger.body.m }}",
                "whole": "$.body",
            },
        ),
        act("called"),
        {"id": "pass", "use": "filter", "with": {"keep": True}},
        mapped(
            "last",
            {"from_called": "$.steps.called.body.n", "passed": "$.body.list[0]", "limit": "$.vars.limit"},
        ),
    ]
    async with harness.engine() as engine:
        id_ = await ran(harness, engine, steps, {"n": 2, "m": 3}, vars={"limit": 9})
        assert leaves(await ask(engine, id_, field)) == comes_from


@pytest.mark.parametrize(
    ("field", "comes_from"),
    [
        ("body.chosen.a", [("trigger.body.x", 1)]),
        ("body.caught.c", [("trigger.body.x", 1)]),
        ("body.both.left", [("trigger.body.x", 1)]),
        ("body.both.right", [("steps.r.body", "right")]),
        ("body.each[1].sku", [("trigger.body.lines[2].sku", "c")]),
        ("lines[2]/one.body.sku", [("trigger.body.lines[2].sku", "c")]),
        ("lines[2]/one.body.at", [("index", 2)]),
    ],
)
async def test_it_is_followed_through_blocks(harness: Harness, field: str, comes_from: list[tuple[str, Any]]) -> None:
    async def fail(_: Any) -> Any:
        raise ValueError("no")

    async def right(_: Any) -> Any:
        return "right"

    harness.probe.does.update({"t": fail, "r": right})
    start = mapped("start", "$.trigger.body")
    steps = [
        {"id": "sw", "switch": [{"when": True, "steps": [mapped("a", {"a": "$.body.x"})]}]},
        mapped("chosen", "$.body"),
        start,
        {"id": "safe", "try": [act("t")], "catch": [mapped("c", {"c": "$.body.x"})]},
        mapped("caught", "$.body"),
        {**start, "id": "again"},
        {"id": "par", "parallel": {"left": [mapped("l", "$.body.x")], "right": [act("r")]}},
        {
            "id": "lines",
            "foreach": "$.trigger.body.lines",
            "steps": [
                {"id": "keep", "use": "filter", "with": {"keep": "{{ body.sku != 'b' }}"}},
                mapped("one", {"sku": "$.item.sku", "at": "$.index"}),
            ],
        },
        mapped(
            "last",
            {
                "chosen": "$.steps.chosen.body",
                "caught": "$.steps.caught.body",
                "both": "$.steps.par.body",
                "each": "$.body",
            },
        ),
    ]
    body = {"x": 1, "lines": [{"sku": "a"}, {"sku": "b"}, {"sku": "c"}]}
    async with harness.engine() as engine:
        id_ = await ran(harness, engine, steps, body)
        assert leaves(await ask(engine, id_, field)) == comes_from


async def test_a_place_in_the_file_is_named_while_the_file_holds_that_version(harness: Harness) -> None:
    async with harness.engine() as engine:
        id_ = await ran(harness, engine, [mapped("a", {"x": "$.body"})], 1)
        (maker,) = (await ask(engine, id_, "body.x")).made_by
        assert (maker.pointer, maker.expression, maker.line) == ("/steps/0/with/body/x", "$.body", 1)
        assert maker.file is not None
        harness.flow("f", [mapped("a", {"y": "$.body"})])
        await engine.version_switch.refresh()
        (old,) = (await ask(engine, id_, "body.x")).made_by
        assert (old.pointer, old.file) == ("/steps/0/with/body/x", None)


async def test_an_edited_input_of_a_replay_is_where_it_ends(harness: Harness) -> None:
    async with harness.engine() as engine:
        id_ = await ran(harness, engine, [mapped("a", "$.body"), mapped("b", {"n": "$.body.n"})], {"n": 1})
        again = await engine.operations.replay(id_, step="b", edit=Edit(body=b'{"n": 5}'), by=SYSTEM)
        await harness.until(engine, again)
        (read,) = (await ask(engine, again, "body.n")).reads
    assert (read.value, read.made_by) == (5, [])
    assert "for the replay" in read.note


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("steps.b.body", "no step 'b'"),
        ("body.nothing", "no such value"),
        ("result", "a field must begin with"),
        ("steps..", "is not a field"),
        ("x/y.body", "no step 'x/y'; the steps are a"),
        ("steps.a.body[", "is not a field"),
    ],
)
async def test_what_isnt_there_has_no_origin(harness: Harness, field: str, says: str) -> None:
    async with harness.engine() as engine:
        id_ = await ran(harness, engine, [act("a")], {"x": 1})
        with pytest.raises(ProvenanceUnknown, match=says):
            await ask(engine, id_, field)
        with pytest.raises(ExecutionNotFound):
            await ask(engine, engine.ids.new(), "body")


WRONG_STEPS = [
    mapped("one", {"n": "$.body.n", "list": ["x", "$.body.m"], "constant": {"deep": True}, "whole": "$.body"}),
    {
        "id": "lines",
        "foreach": "$.trigger.body.lines",
        "steps": [mapped("post", {"sku": "$.body.sku", "at": "$.index"})],
    },
    {"id": "kind", "switch": [{"when": False, "steps": [mapped("never", 1)]}]},
    mapped("last", {"id": "$.execution.id", "total": "{{ steps.one.body.n }}"}),
]


@pytest.mark.parametrize(
    "field",
    [
        "steps.one.body.nope",
        "steps.one.body.n.nope",
        "steps.one.body.list[7]",
        "steps.one.body.constant.nope",
        "steps.one.body.constant.deep.nope",
        "steps.one.body.whole.nope",
        "lines[0]/post.body.nope",
        "lines[7]/post.body.sku",
        "steps.lines.body[0].nope",
        "steps.lines.body[7].sku",
        "steps.last.body.id.nope",
        "body.nope",
        "headers.nope",
        "trigger.body.nope",
        "vars.nope",
    ],
)
async def test_a_value_that_doesnt_exist_is_not_explained_by_the_expression_of_another(
    harness: Harness, field: str
) -> None:
    async with harness.engine() as engine:
        body = {"n": 2, "m": 3, "lines": [{"sku": "a"}, {"sku": "b"}]}
        execution_id = await ran(harness, engine, WRONG_STEPS, body)
        with pytest.raises(ProvenanceUnknown) as caught:
            await ask(engine, execution_id, field)
        assert field in caught.value.message


async def test_a_missing_value_that_an_expression_reads_is_not_known(harness: Harness) -> None:
    steps = [mapped("one", {"n": "{{ body.nope | default(3) }}", "m": "$.body.m"})]
    async with harness.engine() as engine:
        origin = await ask(engine, await ran(harness, engine, steps, {"m": 1}), "steps.one.body.n")
        assert (origin.known, origin.value) == (True, 3)
        (read,) = origin.reads
        assert (read.field, read.known, read.made_by) == ("trigger.body.nope", False, [])


async def test_a_switch_of_which_no_case_was_chosen_passes_the_message_on(harness: Harness) -> None:
    async with harness.engine() as engine:
        execution_id = await ran(harness, engine, WRONG_STEPS, {"n": 2, "m": 3, "lines": [{"sku": "a"}]})
        origin = await ask(engine, execution_id, "steps.kind.body[0].sku")
        assert leaves(origin) == [("trigger.body.lines[0].sku", "a")]
        assert (await ask(engine, execution_id, "steps.kind")).known
