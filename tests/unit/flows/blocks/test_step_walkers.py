"""The walkers of the step tree, over compiled steps and over documents."""

from typing import Any

from hookline.discovery.registry import Registry
from hookline.flows.blocks.step_walkers import find_step, map_documents, walk_documents, walk_steps, without_items
from hookline.flows.compiler.compile import compile_flow
from hookline.kernel.json import encode

NOOP = {"use": "log", "with": {"message": "x"}}
STEPS: list[Any] = [
    {"id": "a", **NOOP},
    {
        "id": "choose",
        "switch": [
            {"when": "{{ body.x > 1 }}", "steps": [{"id": "b", **NOOP}]},
            {"otherwise": True, "steps": [{"id": "each", "foreach": "$.body", "steps": [{"id": "c", **NOOP}]}]},
        ],
    },
    {"id": "both", "parallel": {"one": [{"id": "d", **NOOP}], "two": [{"id": "e", **NOOP}]}},
    {"id": "safe", "try": [{"id": "f", **NOOP}], "catch": [{"id": "g", **NOOP}], "finally": [{"id": "h", **NOOP}]},
]
PATHS = [
    *("a", "choose", "choose/b", "choose/each", "choose/each/c", "both", "both/d", "both/e"),
    *("safe", "safe/f", "safe/g", "safe/h"),
]


def test_both_walkers_visit_the_same_steps_in_the_order_of_the_text(registry: Registry) -> None:
    flow = compile_flow(
        encode({"id": "f", "trigger": {"use": "schedule", "with": {"every": "1h"}}, "steps": STEPS}), registry
    )
    walked = list(walk_steps(flow.steps))
    assert [step.path for step in walked] == PATHS
    assert [step.compiled.pointer for step in walked] == [pointer for pointer, _ in walk_documents(STEPS, "/steps")]
    inner = next(step for step in walked if step.compiled.id == "c")
    assert [block.compiled.id for block in inner.blocks()] == ["each", "choose"]
    assert (inner.index, next(iter(inner.blocks())).list_number) == (0, 1)
    assert all(find_step(flow.steps, path) is step.compiled for path, step in zip(PATHS, walked, strict=True))
    assert find_step(flow.steps, "choose/each[7]/c") is inner.compiled
    assert find_step(flow.steps, "choose/d") is None


def test_mapping_changes_inner_steps_first_and_keeps_the_rest() -> None:
    seen: list[str] = []

    def change(step: dict[str, Any], pointer: str) -> dict[str, Any]:
        seen.append(step["id"])
        return {**step, "at": pointer}

    made = map_documents(STEPS, "/steps", change)
    assert sorted(seen) == sorted(step["id"] for _, step in walk_documents(STEPS, "/steps"))
    assert seen.index("c") < seen.index("each") < seen.index("choose")
    assert all(step["at"] == pointer for pointer, step in walk_documents(made, "/steps"))
    assert [list(made[1]), made[1]["switch"][0]["when"]] == [["id", "switch", "at"], "{{ body.x > 1 }}"]


def test_documents_of_any_form_are_walked_and_mapped() -> None:
    odd = [1, {"switch": [2, {"steps": None}]}, {"parallel": {"a/b": [{"id": "x"}], "c": 3}}, {"foreach": []}]
    assert [pointer for pointer, _ in walk_documents(odd, "")] == ["/1", "/2", "/2/parallel/a~1b/0", "/3"]
    assert map_documents(odd, "", lambda step, _: step) == odd
    assert map_documents("no list", "", lambda step, _: step) == "no list"


def test_items_are_removed_from_paths() -> None:
    assert without_items("lines[3]/inner[0]/post") == "lines/inner/post"
