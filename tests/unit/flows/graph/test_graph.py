"""The drawings of flows: every step is in them, the arrows are those of the flow, and no text breaks them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from hookline.flows.documents.read import read
from hookline.flows.graph.chart_contents import Chart, ChartStep, chart_of, plain
from hookline.flows.graph.layout import Border, Box, Drawing, layout
from hookline.flows.graph.mermaid import chart_mermaid
from hookline.flows.graph.svg import chart_svg
from hookline.flows.graph.tree import chart_tree
from hookline.kernel.errors import FlowInvalid

SHIPPED = sorted(
    file
    for file in (Path(__file__).parents[4] / "flows").glob("*.json")
    if not file.name.endswith((".test.json", ".schema.json"))
)
OPEN = {"use": "webhook", "with": {"verify": "none"}}
HOSTILE = '"]; end\n--> x <script>alert(1)</script> & `b` #quot; %%{init}%% \x1b[31m 😀'


def log(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "use": "log", "with": {"message": "x"}, **more}


def chart(*steps: Any, **more: Any) -> Chart:
    value = {"id": "f", "trigger": OPEN, "steps": list(steps), **more}
    return chart_of(read(json.dumps(value).encode()))


def arrows(drawn: Chart) -> set[tuple[str, str, str]]:
    """The arrows of a Mermaid chart: from, label, to; each node by its first word."""
    text = chart_mermaid(drawn)
    named = re.findall(r'^ *(?:subgraph )?(n\d+)[^"\n-]*"([^:"]*)', text, re.MULTILINE)
    names = dict(named)
    found = re.findall(r'^ +(n\d+) -\.?->(?:\|"([^"]*)"\|)? (n\d+)$', text, re.MULTILINE)
    return {(names[one], label, names[other]) for one, label, other in found}


def test_steps_follow_one_another_up_to_one_that_ends() -> None:
    assert arrows(chart(log("a"), {"id": "b", "use": "stop"}, log("c"))) == {
        ("on webhook", "", "a"),
        ("a", "", "b"),
        ("c", "", "end"),
    }
    after = arrows(chart({"id": "b", "use": "stop", "when": "{{ body.x }}"}, log("c")))
    assert ("b", "", "c") in after


def test_a_switch_has_an_arrow_for_each_case_and_one_for_none() -> None:
    step = {"id": "s", "switch": [{"when": "$.x", "steps": [log("a")]}, {"when": "$.y", "steps": []}]}
    assert arrows(chart(step, log("z"))) == {
        ("on webhook", "", "s"),
        ("s", "if #36;.x", "a"),
        ("s", "if #36;.y", "z"),
        ("s", "otherwise", "z"),
        ("a", "", "z"),
        ("z", "", "end"),
    }
    step["switch"].append({"otherwise": True, "steps": [{"id": "b", "use": "stop"}]})  # type: ignore[attr-defined]
    found = arrows(chart(step, log("z")))
    assert ("s", "otherwise", "b") in found
    assert not {("s", "otherwise", "z"), ("b", "", "z")} & found


def test_a_foreach_leads_back_and_on() -> None:
    found = arrows(chart({"id": "each", "foreach": "$.body", "steps": [log("a"), log("b")]}, log("z")))
    assert found == {
        ("on webhook", "", "each"),
        ("each", "each item", "a"),
        ("a", "", "b"),
        ("b", "next item", "each"),
        ("each", "after the last item", "z"),
        ("z", "", "end"),
    }


def test_branches_of_a_parallel_meet_again() -> None:
    found = arrows(chart({"id": "p", "parallel": {"eu": [log("a")], "us": []}}, log("z")))
    join = "all branches have ended"
    assert found >= {("p", "eu", "a"), ("a", "", join), ("p", "us", join), (join, "", "z")}


def test_a_failure_leads_from_try_to_catch_and_finally_comes_in_any_case() -> None:
    step = {"id": "t", "try": [log("a")], "catch": [log("b")], "finally": [log("c")]}
    found = arrows(chart(step, log("z")))
    assert found >= {("try", "", "a"), ("t", "if a step fails", "b"), ("a", "", "c"), ("b", "", "c"), ("c", "", "z")}
    uncaught = arrows(chart({"id": "t", "try": [log("a")], "finally": [log("c")]}, log("z")))
    assert uncaught >= {("a", "", "c"), ("t", "if a step fails", "c"), ("c", "", "z")}


def test_a_tree_has_blocks_conditions_called_flows_and_what_follows_a_failure() -> None:
    drawn = chart(
        {"id": "s", "switch": [{"when": "$.x", "steps": [{"id": "c", "use": "flow", "with": {"id": "other"}}]}]},
        log("a", when="{{ body.y }}", on_error="continue"),
        {"id": "w", "use": "webhook", "with": {"timeout": "1d"}},
        title="What it does",
        on_error="rescue",
    )
    assert chart_tree(drawn).splitlines() == [
        "f: What it does",
        "├── on webhook",
        "├── s: the first case that holds",
        "│   └── if $.x",
        "│       └── c: calls flow other",
        "├── a: log; only if {{ body.y }}; goes on if it fails",
        "├── w: waits for a callback",
        "└── if the execution fails",
        "    └── on_error: starts flow rescue",
    ]
    assert all(len(line) <= 30 for line in chart_tree(drawn, 30).splitlines())


def titles(steps: tuple[ChartStep, ...]) -> Iterator[str]:
    for step in steps:
        yield step.title
        for one in step.lists:
            yield from titles(one.steps)


def boxes(part: Drawing, x: float = 0.0, y: float = 0.0) -> Iterator[Box]:
    for shape in part.shapes:
        if isinstance(shape, Box):
            yield Box(x + shape.x, y + shape.y, shape.width, shape.height, shape.kind, shape.lines, shape.full)
    for dx, dy, inner in part.inner:
        yield from boxes(inner, x + dx, y + dy)


NESTED = {
    "id": "deep",
    "foreach": "$.body",
    "steps": [
        {
            "id": "p",
            "parallel": {
                "a": [{"id": "t", "try": [log("x")], "catch": [log("y")], "finally": [log("z")]}],
                "b": [{"id": "s", "switch": [{"when": "$.x", "steps": [log("q")]}, {"when": "$.y", "steps": []}]}],
            },
        }
    ],
}
CHARTS = {
    **{file.stem: chart_of(read(file.read_bytes())) for file in SHIPPED},
    "nested": chart(NESTED, on_error=[log("told")]),
    "empty": chart(),
}


@pytest.mark.parametrize("drawn", CHARTS.values(), ids=CHARTS.keys())
def test_each_step_is_in_each_format_and_no_box_covers_another(drawn: Chart) -> None:
    expected = list(titles(drawn.steps))
    lines = chart_tree(drawn)
    assert all(title in lines for title in expected)
    part = layout(drawn)
    placed = list(boxes(part))
    shown = [one.full for one in placed]
    # A try is a frame.
    assert [title for title in expected if not title.endswith(": try") and not any(title in one for one in shown)] == []
    for index, one in enumerate(placed):
        assert -part.left <= one.x
        assert one.x + one.width <= part.right
        assert one.y >= 0
        assert one.y + one.height <= part.height
        for other in placed[:index]:
            beside = one.x >= other.x + other.width or other.x >= one.x + one.width
            assert beside or one.y >= other.y + other.height or other.y >= one.y + one.height
    image = fromstring(chart_svg(drawn))
    assert image.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(re.findall(r"^ *n\d+[^ ]", chart_mermaid(drawn), re.MULTILINE)) >= len(expected)


def test_frames_are_around_their_boxes() -> None:
    part = layout(chart({"id": "t", "try": [log("a")], "finally": [log("b")]}))

    def frames(one: Drawing, x: float, y: float) -> Iterator[tuple[float, float, Border]]:
        for shape in one.shapes:
            if isinstance(shape, Border):
                yield x + shape.x, y + shape.y, shape
        for dx, dy, inner in one.inner:
            yield from frames(inner, x + dx, y + dy)

    found = list(frames(part, 0.0, 0.0))
    inside = [one for one in boxes(part) if one.kind == "action"]
    assert len(found) == len(inside) == 2
    for x, y, frame in found:
        within = [one for one in inside if x < one.x and y < one.y and one.y + one.height < y + frame.height]
        assert len(within) == 1


def test_no_text_of_a_flow_breaks_a_drawing() -> None:
    step = {"id": "s", "switch": [{"when": HOSTILE, "steps": [log("a", when=HOSTILE)]}]}
    drawn = chart(step, {"id": "e", "foreach": HOSTILE, "steps": [log("b")]}, title=HOSTILE)
    tree, mermaid, svg = chart_tree(drawn), chart_mermaid(drawn), chart_svg(drawn)
    assert "\x1b" not in tree + mermaid + svg
    assert "<script" not in mermaid.partition("flowchart")[2] + svg
    for line in mermaid.partition("flowchart TD\n")[2].splitlines():
        # Each text is between two quotes, and nothing in it could end it.
        assert line.count('"') in (0, 2)
        assert not set("<>`&{};") & set(re.sub(r"<br/>|#\d+;", "", "".join(re.findall(r'"(.*)"', line))))
    text = "".join(fromstring(svg).itertext())
    assert "<script>alert(1)</script> & `b`" in text
    assert json.loads(mermaid.splitlines()[1].removeprefix("title: ")) == f"f: {plain(HOSTILE)}"


@pytest.mark.parametrize("value", [[], {"id": "f"}, {"id": "f", "trigger": OPEN, "steps": [{"usee": "log"}]}])
def test_a_document_without_the_form_of_a_flow_has_no_drawing(value: Any) -> None:
    with pytest.raises(FlowInvalid):
        chart_of(read(json.dumps(value).encode()))


def test_a_deep_flow_is_drawn() -> None:
    step: dict[str, Any] = log("inner")
    for number in range(60):
        step = {"id": f"t{number}", "try": [step], "catch": [log(f"c{number}")]}
    drawn = chart(step)
    assert len(list(boxes(layout(drawn)))) == 63
    assert fromstring(chart_svg(drawn)) is not None
    assert "inner: log" in chart_tree(drawn)
