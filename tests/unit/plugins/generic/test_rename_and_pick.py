"""`rename` and `pick`: some keys of a body, under other names and in other places."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hookline.api import Message, StepError
from hookline.cli.main import main
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.check.check_flow import check_flow
from hookline.testing.connector_harness import Harness
from hookline_generic.body_paths import EACH, MOST_VALUES, path, path_text

ORDER = {
    "id": 17,
    "customer": {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com"},
    "lines": [{"sku": "a", "unit price": 1, "cost": 0.5}, {"sku": "b", "unit price": 2, "cost": 0.6}],
    "internal": {"score": 0.2},
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


class Bench:
    def __init__(self, registry: Registry) -> None:
        self._harness = Harness(registry)

    async def __call__(self, name: str, body: Any, /, **settings: Any) -> Any:
        before = json.dumps(body)
        try:
            return (await self._harness.run_action(name, message=Message(body), with_=settings)).body
        finally:
            assert json.dumps(body) == before, "what it was given has changed"

    async def fails(self, name: str, body: Any, /, **settings: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self(name, body, **settings)
        assert not caught.value.retryable
        return caught.value

    async def close(self) -> None:
        await self._harness.close()


@pytest.fixture
async def run(registry: Registry) -> Any:
    bench = Bench(registry)
    yield bench
    await bench.close()


async def test_pick_keeps_what_it_names(run: Bench) -> None:
    kept = await run("pick", ORDER, keep=["lines[*].sku", "customer.email", "id"])
    assert kept == {"lines": [{"sku": "a"}, {"sku": "b"}], "customer": {"email": "ada@example.com"}, "id": 17}
    assert list(kept) == ["lines", "customer", "id"]


async def test_pick_drops_what_it_names(run: Bench) -> None:
    dropped = await run(
        "pick", ORDER, drop=["internal", "lines[*].cost", "customer.phone", "nothing.at.all", "id[*].a"]
    )
    assert dropped == {
        "id": 17,
        "customer": ORDER["customer"],
        "lines": [{"sku": "a", "unit price": 1}, {"sku": "b", "unit price": 2}],
    }


async def test_pick_drops_of_what_it_keeps(run: Bench) -> None:
    assert await run("pick", ORDER, keep=["customer"], drop=["customer.email"]) == {
        "customer": {"first_name": "Ada", "last_name": "Lovelace"}
    }


async def test_a_body_may_be_a_list_or_another_value(run: Bench) -> None:
    assert await run("pick", [{"a": 1, "b": 2}, {"a": 3}], keep=["[*].a"]) == [{"a": 1}, {"a": 3}]
    assert await run("rename", [{"a": 1}], keys={"[*].a": "[*].b.c"}) == [{"b": {"c": 1}}]
    assert await run("pick", {"x": 1}, keep=["a"], body={"a": 1, "b": 2}) == {"a": 1}
    assert (await run.fails("pick", {"a": 1}, keep=["a"], body=None)).error_code == "pick.missing"
    assert (await run.fails("pick", None, keep=["a"])).message.startswith("the body is null and has no 'a'")


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        ("customer.emial", "there is no 'emial' in customer; did you mean 'email'?"),
        ("customer.email.domain", "customer.email is text and has no 'domain'"),
        ("customer[*].email", "customer is an object, not a list"),
        ("lines.sku", "lines is a list and has no 'sku'"),
        ("lines[*].price", "there is no 'price' in lines[*]"),
        ("lines[*]['unit price'].net", "lines[*]['unit price'] is a number"),
    ],
)
async def test_what_is_not_there_is_named_with_what_is_nearest(run: Bench, keep: str, says: str) -> None:
    error = await run.fails("pick", ORDER, keep=[keep])
    assert error.error_code == "pick.missing"
    assert says in error.message
    assert await run("pick", ORDER, keep=["id", keep], missing="ignore") is not None
    renamed = await run.fails("rename", ORDER, keys={keep: keep.rpartition(".")[0] + ".other"})
    assert (renamed.error_code, says in renamed.message) == ("rename.missing", True)
    assert await run("rename", ORDER, keys={keep: keep.rpartition(".")[0] + ".other"}, missing="ignore") == ORDER


async def test_pick_leaves_out_what_is_missing_where_it_is_told_to(run: Bench) -> None:
    kept = await run("pick", ORDER, keep=["id", "lines[*].note", "customer.phone", "tags[*].name"], missing="ignore")
    assert kept == {"id": 17, "lines": [{}, {}], "customer": {}}


async def test_rename_gives_other_names_in_place(run: Bench) -> None:
    renamed = await run(
        "rename", ORDER, keys={"id": "number", "lines[*].sku": "lines[*].article", "lines": "positions"}
    )
    assert list(renamed) == ["number", "customer", "positions", "internal"]
    assert [list(line) for line in renamed["positions"]] == [["article", "unit price", "cost"]] * 2


async def test_rename_moves_values_into_other_objects(run: Bench) -> None:
    renamed = await run(
        "rename",
        ORDER,
        keys={
            "customer.first_name": "name.first",
            "customer.last_name": "name.last",
            "internal.score": "customer.risk",
            "lines[*]['unit price']": "lines[*].price.net",
        },
    )
    assert renamed == {
        "id": 17,
        "customer": {"email": "ada@example.com", "risk": 0.2},
        "lines": [{"sku": "a", "cost": 0.5, "price": {"net": 1}}, {"sku": "b", "cost": 0.6, "price": {"net": 2}}],
        "internal": {},
        "name": {"first": "Ada", "last": "Lovelace"},
    }


async def test_keys_may_swap_their_names(run: Bench) -> None:
    swapped = await run("rename", {"a": 1, "b": {"c": 2}, "d": 3}, keys={"a": "b", "b": "a"})
    assert list(swapped.items()) == [("b", 1), ("a", {"c": 2}), ("d", 3)]
    assert await run("rename", {"a": 1, "b": {"c": 2}}, keys={"a": "b.a", "b": "c"}) == {"c": {"c": 2}, "b": {"a": 1}}
    assert await run("rename", {"a": {"b": 1}, "c": {"d": 2}}, keys={"a.b": "c.d", "c.d": "a.b"}) == {
        "a": {"b": 2},
        "c": {"d": 1},
    }


async def test_a_name_that_is_taken_is_an_error_unless_it_may_be_replaced(run: Bench) -> None:
    body = {"a": 1, "b": 2, "c": {"d": 3}}
    for keys in ({"a": "b"}, {"a": "c.d"}, {"c.d": "a"}):
        error = await run.fails("rename", body, keys=keys)
        assert (error.error_code, "there is" in error.message) == ("rename.taken", True)
    assert await run("rename", body, keys={"a": "b"}, existing="replace") == {"b": 1, "c": {"d": 3}}
    assert await run("rename", body, keys={"b": "a"}, existing="replace") == {"a": 2, "c": {"d": 3}}
    assert await run("rename", body, keys={"a": "c.d"}, existing="replace") == {"b": 2, "c": {"d": 1}}
    error = await run.fails("rename", body, keys={"a": "b.c.d"}, existing="replace")
    assert "'b' isn't an object" in error.message


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("pick", {}, "give `keep`, or `drop`"),
        ("pick", {"keep": []}, "give `keep`"),
        ("pick", {"keep": ["a", "a"]}, "is given twice"),
        ("pick", {"keep": ["a", "a.b"]}, "is inside 'a'"),
        ("pick", {"drop": ["a[*].b", "a"]}, "is inside 'a'"),
        ("pick", {"keep": ["a[0]"]}, "names all items of a list"),
        ("pick", {"keep": ["a[*]"]}, "ends with a key"),
        ("pick", {"keep": [""]}, "ends with a key"),
        ("pick", {"keep": ["a..b"]}, "can't be read at '..b'"),
        ("pick", {"keep": [".a"]}, "can't be read at '.a'"),
        ("pick", {"keep": ["unit price"]}, "can't be read at ' price'"),
        ("pick", {"keep": ["a['b"]}, "can't be read"),
        ("pick", {"keep": ["$.body.a"]}, "may only read 'vars'"),
        ("pick", {"keep": "a"}, "list"),
        ("rename", {}, "keys"),
        ("rename", {"keys": {}}, "give the old path and the new path"),
        ("rename", {"keys": {"a": "a"}}, "has this name already"),
        ("rename", {"keys": {"a": "c", "b": "c"}}, "is given twice"),
        ("rename", {"keys": {"a": "c", "b": "c.d"}}, "is inside 'c'"),
        ("rename", {"keys": {"a": "c", "a.b": "d"}}, "is inside 'a'"),
        ("rename", {"keys": {"a": "b", "['a']": "c"}}, "written in different ways"),
        ("rename", {"keys": {"a[*].b": "b"}}, "stays inside its list item"),
        ("rename", {"keys": {"b": "a[*].b"}}, "stays inside its list item"),
        ("rename", {"keys": {"$.a": "b"}}, "without `$`"),
    ],
)
def test_the_checker_finds_what_can_not_work(
    registry: Registry, name: str, settings: dict[str, Any], says: str
) -> None:
    flow = {"id": "f", "trigger": {"use": "manual"}, "steps": [{"id": "a", "use": name, "with": settings}]}
    problems = check_flow(json.dumps(flow).encode(), registry, file="f.json").problems
    errors = [problem for problem in problems if problem.severity == "error"]
    assert errors, "nothing is found"
    assert any(says in f"{problem.message} {problem.remedy}" for problem in errors), errors
    assert all(problem.pointer.startswith("/steps/0/with") for problem in errors)


def test_the_checker_takes_paths_from_vars(registry: Registry) -> None:
    step = {"id": "a", "use": "pick", "with": {"keep": "$.vars.columns", "body": "$.trigger.body"}}
    flow = {"id": "f", "trigger": {"use": "manual"}, "vars": {"columns": ["a", "b.c"]}, "steps": [step]}
    assert [
        p for p in check_flow(json.dumps(flow).encode(), registry, file="f").problems if p.severity == "error"
    ] == []
    wrong = {**flow, "vars": {"columns": ["a", "a.c"]}}
    assert [p for p in check_flow(json.dumps(wrong).encode(), registry, file="f").problems if p.severity == "error"]


async def test_what_would_hold_others_up_is_rejected(run: Bench) -> None:
    items = [{"a": 1}] * (MOST_VALUES + 1)
    for name, settings in (
        ("pick", {"keep": ["[*].a"]}),
        ("pick", {"drop": ["[*].a"]}),
        ("rename", {"keys": {"[*].a": "[*].b"}}),
    ):
        with pytest.raises(StepError, match="split the work with a foreach step") as caught:
            await run._harness.run_action(name, message=Message(items), with_=settings)
        assert caught.value.error_code == f"{name}.limit"


def test_a_flow_uses_them(tmp_path: Path) -> None:
    steps = [
        {"id": "some", "use": "pick", "with": {"keep": ["id", "customer.email"]}},
        {"id": "named", "use": "rename", "with": {"keys": {"customer.email": "to"}, "body": "$.steps.some.body"}},
        {"id": "rest", "use": "pick", "with": {"drop": ["customer"]}},
    ]
    expect = {
        "outcome": "completed",
        "body": {"id": 17, "to": "ada@example.com"},
        "steps": {"some": {"body": {"id": 17, "customer": {"email": "ada@example.com"}}}},
        "calls": [],
    }
    flow = {"id": "f", "trigger": {"use": "manual"}, "steps": steps}
    (tmp_path / "f.json").write_text(json.dumps(flow))
    cases = {"cases": [{"name": "all", "input": {"body": ORDER}, "expect": expect}]}
    (tmp_path / "f.test.json").write_text(json.dumps(cases))
    ran = CliRunner().invoke(main, ["test", str(tmp_path / "f.json")])
    assert ran.exit_code == 0, ran.output


keys = st.text(min_size=1, max_size=6)
paths = st.lists(st.one_of(keys, st.just(EACH)), max_size=4).flatmap(
    lambda parts: keys.map(lambda last: (*parts, last))
)


@given(paths)
def test_a_path_is_read_as_it_was_written(parts: tuple[str | int, ...]) -> None:
    text = path_text(parts)
    if not text.startswith("$"):
        assert path(text) == parts


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(st.data())
async def test_renaming_back_gives_what_there_was(data: st.DataObject) -> None:
    body = data.draw(st.dictionaries(keys, values, min_size=1, max_size=6))
    old = data.draw(st.lists(st.sampled_from(sorted(body)), min_size=1, unique=True))
    free = [key for key in ("x1", "x2", "x3", "x4", "x5", "x6", *old) if key not in body or key in old]
    new = data.draw(st.permutations(free))[: len(old)]
    moves = {path_text((a,)): path_text((b,)) for a, b in zip(old, new, strict=True) if a != b}
    if not moves:
        return
    harness = Harness(_registry())
    try:
        there = (await harness.run_action("rename", message=Message(body), with_={"keys": moves})).body
        back = {b: a for a, b in moves.items()}
        again = (await harness.run_action("rename", message=Message(there), with_={"keys": back})).body
    finally:
        await harness.close()
    assert again == body
    assert list(again) == list(body)


@given(st.data())
async def test_what_is_kept_and_what_is_dropped_are_all_there_was(data: st.DataObject) -> None:
    body = data.draw(st.dictionaries(keys, values, min_size=1, max_size=6))
    some = data.draw(st.lists(st.sampled_from(sorted(body)), min_size=1, unique=True))
    named = [path_text((key,)) for key in some]
    harness = Harness(_registry())
    try:
        kept = (await harness.run_action("pick", message=Message(body), with_={"keep": named})).body
        rest = (await harness.run_action("pick", message=Message(body), with_={"drop": named})).body
    finally:
        await harness.close()
    assert {**kept, **rest} == body
    assert not kept.keys() & rest.keys()


_found: list[Registry] = []


def _registry() -> Registry:
    if not _found:
        _found.append(load_plugins())
    return _found[0]
