"""The places of the parts of a drawing: steps from top to bottom, the lists of a block side by side.

Everything is relative to the part around it, in pixels. Steps are a tree, so no two lines cross.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from rich.cells import cell_len, set_cell_size

from hookline.flows.graph.chart_contents import OTHERWISE, Chart, ChartStep

CHARACTER: Final = 7.3
"""The width of a character of the font, which has one width for all."""
LINE: Final = 16.0
"""The height of a line of text."""
_WIDEST: Final = 44
"""The characters of a line; longer ones are cut, and shown in full as the title of the box."""
_PAD: Final = 10.0
_GAP: Final = 30.0
_BESIDE: Final = 34.0
_FRAME: Final = 14.0

Point: TypeAlias = tuple[float, float]
BoxKind: TypeAlias = Literal["action", "call", "wait", "switch", "foreach", "parallel", "end"]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with lines of text."""

    x: float
    y: float
    width: float
    height: float
    kind: BoxKind
    lines: tuple[str, ...]
    full: str
    """The whole text."""


@dataclass(frozen=True, slots=True)
class Border:
    """A frame around some steps."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line from point to point, with an arrow at its end."""

    points: tuple[Point, ...]
    arrow: bool = True
    dotted: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """A text beside a line, which begins at x."""

    x: float
    y: float
    text: str


@dataclass(slots=True)
class Drawing:
    """A part of the drawing. It is entered at the top of its axis, and left at the bottom."""

    left: float = 0.0
    """The width to the left of the axis."""
    right: float = 0.0
    height: float = 0.0
    shapes: list[Box | Border | Line | Label] = field(default_factory=list)
    """Their x counts from the axis."""
    inner: "list[tuple[float, float, Drawing]]" = field(default_factory=list)
    """Parts with the places of their axes."""
    open: bool = True
    """False if no step runs after it."""

    @property
    def width(self) -> float:
        """The whole width."""
        return self.left + self.right

    def put(self, x: float, y: float, part: "Drawing") -> None:
        """Add a part, and grow around it."""
        self.inner.append((x, y, part))
        self.left, self.right = max(self.left, part.left - x), max(self.right, part.right + x)
        self.height = max(self.height, y + part.height)


def layout(chart: Chart) -> Drawing:
    """Return the drawing of a chart."""
    parts = [_box((f"on {chart.trigger}",), "end"), *map(_step, chart.steps)]
    drawn = _stacked([*parts, _box(("end",), "end")])
    if chart.on_error:
        failed = _framed(_stacked(list(map(_step, chart.on_error))), "if the execution fails")
        drawn.put(drawn.right + _BESIDE + failed.left, 0.0, failed)
    return drawn


def _cut(text: str) -> str:
    return text if cell_len(text) <= _WIDEST else f"{set_cell_size(text, _WIDEST - 1).rstrip()}…"


def _wide(text: str) -> float:
    return cell_len(text) * CHARACTER


def _box(texts: Sequence[str], kind: BoxKind, *, ends: bool = False) -> Drawing:
    lines = tuple(map(_cut, texts))
    width, height = max(map(_wide, lines)) + 2 * _PAD, len(lines) * LINE + _PAD
    box = Box(-width / 2, 0.0, width, height, kind, lines, "; ".join(texts))
    return Drawing(width / 2, width / 2, height, [box], open=not ends)


def _stacked(parts: Sequence[Drawing]) -> Drawing:
    """Parts one below the other, with an arrow between them."""
    drawn = Drawing()
    for index, part in enumerate(parts):
        top = drawn.height
        if index:
            if parts[index - 1].open:
                drawn.shapes.append(Line(((0.0, top), (0.0, top + _GAP))))
            top += _GAP
        drawn.put(0.0, top, part)
    drawn.open = parts[-1].open if parts else True
    return drawn


def _framed(part: Drawing, label: str) -> Drawing:
    """A part in a frame with a label above it."""
    text = _cut(label)
    drawn = Drawing()
    top = LINE + _PAD
    drawn.put(0.0, top, part)
    drawn.left += _FRAME
    drawn.right = max(drawn.right, _wide(text) + _PAD) + _FRAME
    drawn.height += _FRAME
    drawn.shapes.append(Border(-drawn.left, 0.0, drawn.width, drawn.height))
    drawn.shapes.append(Label(_PAD, LINE, text))
    drawn.shapes.append(Line(((0.0, 0.0), (0.0, top))))
    if part.open:
        drawn.shapes.append(Line(((0.0, top + part.height), (0.0, drawn.height)), arrow=False))
    drawn.open = part.open
    return drawn


def _step(step: ChartStep) -> Drawing:
    texts = (step.title, *step.notes)
    match step.kind:
        case "switch":
            lists = [(one.label, _list(one.steps)) for one in step.lists]
            if not step.has_otherwise:
                lists.append((OTHERWISE, Drawing()))
            return _beside(_box(texts, "switch"), lists)
        case "parallel":
            return _beside(_box(texts, "parallel"), [(one.label, _list(one.steps)) for one in step.lists])
        case "foreach":
            return _foreach(_box(texts, "foreach"), _list(step.lists[0].steps))
        case "try":
            return _try(step)
        case kind:
            return _box(texts, kind, ends=step.ends)


def _list(steps: Iterable[ChartStep]) -> Drawing:
    return _stacked([_step(step) for step in steps])


def _beside(head: Drawing, lists: Sequence[tuple[str, Drawing]]) -> Drawing:
    """The lists of a block side by side below its box, from which a line leads to each of them."""
    drawn = Drawing()
    drawn.put(0.0, 0.0, head)
    labels = [_cut(label) for label, _ in lists]
    # A label stands to the right of its line.
    widths = [part.left + max(part.right, _wide(label) + _PAD) for label, (_, part) in zip(labels, lists, strict=True)]
    x = -(sum(widths) + _BESIDE * (len(lists) - 1)) / 2
    fork, top = head.height + _GAP / 2, head.height + _GAP + LINE
    bottom = top + max(part.height for _, part in lists)
    joined = bottom + _GAP / 2
    for label, width, (_, part) in zip(labels, widths, lists, strict=True):
        axis = x + part.left
        drawn.put(axis, top, part)
        drawn.right = max(drawn.right, x + width)
        drawn.shapes.append(Line(((0.0, head.height), (0.0, fork), (axis, fork), (axis, top)), arrow=part.height > 0))
        drawn.shapes.append(Label(axis + 5.0, fork + LINE, label))
        if part.open:
            drawn.shapes.append(Line(((axis, top + part.height), (axis, joined), (0.0, joined)), arrow=False))
        x += width + _BESIDE
    drawn.height = joined
    drawn.open = any(part.open for _, part in lists)
    return drawn


def _foreach(head: Drawing, item: Drawing) -> Drawing:
    """A box and the steps below it, in a frame, from whose end a dotted line leads back to the box."""
    drawn = _stacked([head, item])
    side = -drawn.left - _FRAME
    if item.open:
        back = ((0.0, drawn.height), (0.0, drawn.height + _FRAME), (side, drawn.height + _FRAME))
        points = (*back, (side, head.height / 2), (-head.left, head.height / 2))
        drawn.shapes.append(Line(points, dotted=True))
    drawn.left += _FRAME
    drawn.height += _FRAME
    # After the last item the flow goes on, even if the steps of an item end early.
    drawn.open = True
    return _framed(drawn, "each item")


def _try(step: ChartStep) -> Drawing:
    """The frame of `try`, with that of `catch` beside it and that of `finally` below both."""
    lists = {one.kind: one for one in step.lists}
    body = _framed(_list(lists["try"].steps), "; ".join((step.title, *step.notes)))
    drawn = Drawing(open=body.open)
    drawn.put(0.0, 0.0, body)
    failing = (body.right, LINE)
    if "catch" in lists:
        caught = _framed(_list(lists["catch"].steps), lists["catch"].label)
        axis = body.right + _BESIDE + caught.left
        drawn.put(axis, 0.0, caught)
        drawn.shapes.append(Line((failing, (axis - caught.left, LINE)), dotted=True))
        joined = drawn.height + _GAP / 2
        if caught.open:
            drawn.shapes.append(Line(((axis, caught.height), (axis, joined), (0.0, joined)), arrow=False))
            drawn.open = True
        if drawn.open:
            start = body.height if body.open else joined
            drawn.shapes.append(Line(((0.0, start), (0.0, joined)), arrow=False))
        drawn.height = joined
    return _with_finally(step, drawn, failing, caught="catch" in lists)


def _with_finally(step: ChartStep, drawn: Drawing, failing: Point, *, caught: bool) -> Drawing:
    last = next((one for one in step.lists if one.kind == "finally"), None)
    if last is None:
        return drawn
    after, top = _framed(_list(last.steps), last.label), drawn.height + _GAP
    goes_on = drawn.open
    if goes_on:
        drawn.shapes.append(Line(((0.0, drawn.height), (0.0, top))))
    if not caught or not goes_on:
        side = max(drawn.right, after.right) + _FRAME
        drawn.shapes.append(
            Line((failing, (side, failing[1]), (side, top + LINE), (after.right, top + LINE)), dotted=True)
        )
        drawn.right = side
    drawn.put(0.0, top, after)
    drawn.open = goes_on and after.open
    return drawn
