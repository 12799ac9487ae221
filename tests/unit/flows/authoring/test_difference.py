"""How documents of a flow differ, by what they mean."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookline.catalog.flow_folder import scan
from hookline.flows.authoring.flow_difference import flow_differences
from hookline.flows.documents.version import version_of

SHIPPED = [json.loads(file.read_text(encoding="utf-8")) for file in scan(Path(__file__).parents[4] / "flows")]


def act(step_id: str, **settings: Any) -> dict[str, Any]:
    return {"id": step_id, "use": "log", "with": {"message": step_id}, **settings}


def flow(*steps: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"id": "f", "trigger": {"use": "webhook", "with": {"verify": "none"}}, **settings, "steps": list(steps)}


def shown(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [str(difference) for difference in flow_differences(old, new)]


def test_titles_layout_and_order_of_keys_are_no_difference() -> None:
    old = flow(act("a"), title="One")
    new = dict(reversed(flow(act("a"), title="Another", **{"$schema": "./x"}).items()))
    assert shown(old, new) == []


def test_a_step_that_was_added_removed_moved_or_renamed_is_said_to_be_that() -> None:
    old = flow(act("a"), act("b"), act("c"), act("d"))
    assert shown(old, flow(act("a"), act("b"), act("new"), act("c"), act("d"))) == ["+ steps.new: log, after b"]
    assert shown(old, flow(act("b"), act("c"), act("d"))) == ["- steps.a: log, was first"]
    assert shown(old, flow(act("b"), act("c"), act("a"), act("d"))) == ["> steps.a: was first, is after c"]
    renamed = {**act("b"), "id": "other"}
    assert shown(old, flow(act("a"), renamed, act("c"), act("d"))) == ["= steps.b: is now steps.other"]


def test_a_step_that_goes_into_a_block_has_moved_and_those_that_stay_have_not() -> None:
    old = flow(act("a"), {"id": "each", "foreach": "$.body", "steps": [act("b")]}, act("c"))
    new = flow({"id": "each", "foreach": "$.body", "steps": [act("b"), act("a")]}, act("c"))
    assert shown(old, new) == ["> steps.a: was first, is after b in each"]


def test_settings_mappings_the_trigger_and_vars_are_compared_value_by_value() -> None:
    book = {"id": "book", "use": "sql.insert", "with": {"table": "a", "row": {"x": "$.body.x", "y": 1}}}
    invoice = {"id": "invoice", "use": "map", "with": {"body": {"amount": "$.body.value", "note": "n"}}}
    old = flow(invoice, {**book, "retry": {"attempts": 5}}, vars={"to": "here", "n": 1})
    new = flow(
        {**invoice, "with": {"body": {"amount": "$.body.amount", "note": "n", "to": "x"}}},
        {**book, "with": {"table": "b", "row": {"x": "$.body.x"}}, "timeout": "30s"},
        vars={"to": "there", "n": 1.0},
        trigger={"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.id"}},
        concurrency=4,
    )
    found = flow_differences(old, new)
    assert sorted((one.kind, str(one)) for one in found) == sorted(
        [
            ("trigger", '~ trigger.with.dedupe_key: nothing → "$.body.id"'),
            ("vars", '~ vars.to: "here" → "there"'),
            ("vars", "~ vars.n: 1 → 1.0"),
            ("flow", "~ concurrency: nothing → 4"),
            ("mapping", '~ steps.invoice.with.body.amount: "$.body.value" → "$.body.amount"'),
            ("mapping", '~ steps.invoice.with.body.to: nothing → "x"'),
            ("setting", '~ steps.book.with.table: "a" → "b"'),
            ("setting", "~ steps.book.with.row.y: 1 → nothing"),
            ("setting", '~ steps.book.retry: {"attempts":5} → nothing'),
            ("setting", '~ steps.book.timeout: nothing → "30s"'),
        ]
    )


def test_a_case_in_front_of_others_moves_no_step() -> None:
    def switch(*cases: tuple[Any, str]) -> dict[str, Any]:
        return flow({"id": "s", "switch": [{"when": when, "steps": [act(step)]} for when, step in cases]})

    old = switch(("{{ a }}", "a"), ("{{ b }}", "b"))
    assert shown(old, switch(("{{ c }}", "c"), ("{{ a }}", "a"), ("{{ b }}", "b"))) == [
        "+ steps.c: log, first in s (case 0)",
        '~ steps.s.switch[0]: nothing → {"when":"{{ c }}"}',
    ]
    assert shown(old, switch(("{{ a }}", "a"), ("{{ x }}", "b"))) == ['~ steps.s.switch[1].when: "{{ b }}" → "{{ x }}"']
    assert shown(old, switch(("{{ b }}", "b"), ("{{ a }}", "a")))[0].startswith("~ steps.s.switch: ")


def test_branches_and_lists_of_steps_are_told_by_their_names() -> None:
    old = flow({"id": "p", "parallel": {"one": [act("a")], "two": [act("b")]}})
    new = flow({"id": "p", "parallel": {"one": [act("a")], "three": [act("b")]}})
    assert shown(old, new) == [
        "~ steps.p.parallel.two: [] → nothing",
        "~ steps.p.parallel.three: nothing → []",
        "> steps.b: was first in p (two), is first in p (three)",
    ]
    caught = flow({"id": "t", "try": [act("a")], "catch": [act("c")]})
    assert shown(flow({"id": "t", "try": [act("a")]}), caught) == ["+ steps.c: log, first in t (catch)"]


def test_steps_of_on_error_are_steps_too() -> None:
    old, new = flow(act("a")), flow(act("a"), on_error=[act("tell")])
    assert shown(old, new) == ["~ on_error: nothing → []", "+ steps.tell: log, first in on_error"]


@st.composite
def changed(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A shipped flow, and the same with something done to it, or with nothing."""
    old = draw(st.sampled_from(SHIPPED))
    new = copy.deepcopy(old)
    for _ in range(draw(st.integers(0, 3))):
        holders: list[Any] = [new]
        for holder in holders:
            inner = holder.values() if isinstance(holder, dict) else holder
            holders += [value for value in inner if isinstance(value, dict | list) and value]
        holder = draw(st.sampled_from(holders))
        if isinstance(holder, list):
            draw(
                st.sampled_from([holder.reverse, holder.pop, lambda held=holder: held.append(copy.deepcopy(held[0]))])
            )()
            continue
        key = draw(st.sampled_from(sorted(holder)))
        match draw(st.sampled_from(["drop", "value", "rename", "nothing"])):
            case "drop":
                del holder[key]
            case "value":
                holder[key] = draw(st.none() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({}))
            case "rename":
                holder[f"{key}_"] = holder.pop(key)
        if not holder:
            holder["x"] = 1
    return old, new


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(changed())
def test_two_documents_differ_where_their_versions_do(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    old, new = pair
    assert (flow_differences(old, new) == []) == (version_of(old) == version_of(new))
    assert (flow_differences(new, old) == []) == (version_of(old) == version_of(new))


@pytest.mark.parametrize("document", SHIPPED, ids=lambda document: document["id"])
def test_each_change_to_a_mapping_of_a_shipped_flow_is_said_by_its_key(document: dict[str, Any]) -> None:
    maps = [step for step in document["steps"] if step.get("use") == "map"]
    for place, step in enumerate(maps):
        for key in step["with"]["body"]:
            new = copy.deepcopy(document)
            [one for one in new["steps"] if one.get("use") == "map"][place]["with"]["body"][key] = "changed"
            (found,) = flow_differences(document, new)
            assert (found.kind, found.at) == ("mapping", f"steps.{step['id']}.with.body.{key}")
