"""The chart of a flow as a Mermaid flowchart."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from hookline.flows.graph.chart_contents import OTHERWISE, Chart, ChartStep
from hookline.kernel.json import encode

#: Other characters have a meaning for Mermaid, or could get one.
_SPECIAL: Final = re.compile(r"[^\w .,:/()'=+*!?…-]")


class _Exit(NamedTuple):
    """The beginning of an arrow whose end isn't known yet."""

    source: str
    label: str = ""
    dotted: bool = False


def chart_mermaid(chart: Chart) -> str:
    """Return a chart as the text of a flowchart."""
    drawn = _Flowchart()
    start = drawn.node((f"on {chart.trigger}",), "([", "])")
    drawn.join(drawn.sequence(chart.steps, [_Exit(start)]), drawn.node(("end",), "([", "])"))
    if chart.on_error:
        with drawn.group("if the execution fails"):
            drawn.sequence(chart.on_error, [])
    title = f"{chart.id}: {chart.title}" if chart.title else chart.id
    # The front matter is YAML, whose quoted texts may be written as in JSON.
    return "\n".join(["---", f"title: {encode(title).decode()}", "---", "flowchart TD", *drawn.nodes, *drawn.arrows])


class _Flowchart:
    """The lines of a flowchart. All nodes come before all arrows, because an arrow in a group would move its node."""

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.arrows: list[str] = []
        self._count = 0
        self._depth = 1

    def node(self, lines: Iterable[str], opening: str, closing: str) -> str:
        """Add a node and return its name."""
        name = self._name()
        self._line(f'{name}{opening}"{_text(lines)}"{closing}')
        return name

    @contextmanager
    def group(self, label: str) -> Iterator[str]:
        """Add a frame around the nodes that are added in the block; gives its name."""
        name = self._name()
        self._line(f'subgraph {name}["{_text((label,))}"]')
        self._depth += 1
        yield name
        self._depth -= 1
        self._line("end")

    def join(self, exits: Iterable[_Exit], target: str) -> None:
        """Add an arrow from each exit to a node."""
        for one in exits:
            arrow = "-.->" if one.dotted else "-->"
            label = f'|"{_text((one.label,))}"|' if one.label else ""
            self.arrows.append(f"    {one.source} {arrow}{label} {target}")

    def sequence(self, steps: Sequence[ChartStep], exits: list[_Exit]) -> list[_Exit]:
        """Add steps that are reached from some exits, and return the exits behind them."""
        for step in steps:
            exits = self._step(step, exits)
        return exits

    def _step(self, step: ChartStep, exits: list[_Exit]) -> list[_Exit]:
        match step.kind:
            case "switch":
                return self._switch(step, exits)
            case "foreach":
                return self._foreach(step, exits)
            case "parallel":
                return self._parallel(step, exits)
            case "try":
                return self._try(step, exits)
        opening, closing = {"call": ("[[", "]]"), "wait": ("(", ")")}.get(step.kind, ("[", "]"))
        name = self.node((step.title, *step.notes), opening, closing)
        self.join(exits, name)
        return [] if step.ends else [_Exit(name)]

    def _switch(self, step: ChartStep, exits: list[_Exit]) -> list[_Exit]:
        head = self.node((step.title, *step.notes), "{", "}")
        self.join(exits, head)
        behind = [exit for case in step.lists for exit in self.sequence(case.steps, [_Exit(head, case.label)])]
        return behind if step.has_otherwise else [*behind, _Exit(head, OTHERWISE)]

    def _foreach(self, step: ChartStep, exits: list[_Exit]) -> list[_Exit]:
        head = self.node((step.title, *step.notes), "{{", "}}")
        self.join(exits, head)
        (item,) = step.lists
        with self.group(item.label):
            behind = self.sequence(item.steps, [_Exit(head, item.label)])
        self.join((one._replace(label=one.label or "next item", dotted=True) for one in behind), head)
        return [_Exit(head, "after the last item")]

    def _parallel(self, step: ChartStep, exits: list[_Exit]) -> list[_Exit]:
        head = self.node((step.title, *step.notes), "[/", "\\]")
        self.join(exits, head)
        behind = [exit for one in step.lists for exit in self.sequence(one.steps, [_Exit(head, one.label)])]
        if not behind:
            return []
        end = self.node(("all branches have ended",), "[\\", "/]")
        self.join(behind, end)
        return [_Exit(end)]

    def _try(self, step: ChartStep, exits: list[_Exit]) -> list[_Exit]:
        lists = {one.kind: one for one in step.lists}
        with self.group("; ".join((step.title, *step.notes))) as around:
            # The arrow leads to a node, since Mermaid places frames badly that arrows lead to.
            head = self.node(("try",), "((", "))")
            behind = self.sequence(lists["try"].steps, [_Exit(head)])
        self.join(exits, head)
        failed = [_Exit(around, "if a step fails", dotted=True)]
        if "catch" in lists:
            behind += self.sequence(lists["catch"].steps, failed)
            failed = []
        if "finally" not in lists:
            return behind
        entered = [*behind, *failed] or [_Exit(around, "in any case", dotted=True)]
        with self.group("in any case"):
            after = self.sequence(lists["finally"].steps, entered)
        return after if behind else []

    def _name(self) -> str:
        self._count += 1
        return f"n{self._count}"

    def _line(self, text: str) -> None:
        self.nodes.append("    " * self._depth + text)


def _text(lines: Iterable[str]) -> str:
    return "<br/>".join(_SPECIAL.sub(lambda found: f"#{ord(found[0])};", line) for line in lines)
