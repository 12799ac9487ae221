"""The chart of a flow as a tree of text, for terminals."""

from collections.abc import Iterable
from io import StringIO
from typing import Final

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from hookline.flows.graph.chart_contents import Chart, ChartStep

_WIDEST: Final = 10_000


def chart_tree(chart: Chart, width: int | None = None) -> str:
    """Return a chart as lines. They are folded at `width` characters; by default they aren't."""
    tree = Tree(Text(f"{chart.id}: {chart.title}" if chart.title else chart.id))
    tree.add(Text(f"on {chart.trigger}"))
    _add(tree, chart.steps)
    if chart.on_error:
        _add(tree.add(Text("if the execution fails")), chart.on_error)
    text = StringIO()
    # Texts of the flow are no markup.
    console = Console(file=text, width=width or _WIDEST, color_system=None, markup=False, emoji=False, highlight=False)
    console.print(tree)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _add(tree: Tree, steps: Iterable[ChartStep]) -> None:
    for step in steps:
        inside = tree.add(Text("; ".join((step.title, *step.notes))))
        for one in step.lists:
            _add(inside.add(Text(one.label)), one.steps)
