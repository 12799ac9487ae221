"""The chart of a flow as SVG, which needs no other file and no program."""

from collections.abc import Iterator, Mapping
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from hookline.flows.graph.chart_contents import Chart
from hookline.flows.graph.layout import LINE, Border, Box, Drawing, Label, Line, layout

_MARGIN: Final = 16.0
_COLOURS: Final[Mapping[str, str]] = {
    "action": "#ffffff",
    "call": "#e8f0fe",
    "wait": "#fff7e0",
    "switch": "#f3e8fd",
    "foreach": "#e6f4ea",
    "parallel": "#e6f4ea",
    "end": "#eceff1",
}
_STYLE: Final = (
    "text{font-family:Menlo,Consolas,DejaVu Sans Mono,monospace;font-size:12px;fill:#202124}"
    ".label{fill:#5f6368}"
    "rect{stroke:#5f6368}"
    ".frame{fill:none;stroke:#9aa0a6;stroke-dasharray:2 3}"
    "polyline{fill:none;stroke:#5f6368}"
    ".dotted{stroke-dasharray:4 4}"
)


def chart_svg(chart: Chart) -> str:
    """Return a chart as the text of an SVG image."""
    drawn = layout(chart)
    width, height = drawn.width + 2 * _MARGIN, drawn.height + 2 * _MARGIN
    root = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "role": "img",
            "width": _number(width),
            "height": _number(height),
            "viewBox": f"0 0 {_number(width)} {_number(height)}",
        },
    )
    SubElement(root, "title").text = f"{chart.id}: {chart.title}" if chart.title else chart.id
    SubElement(root, "style").text = _STYLE
    arrow = SubElement(
        SubElement(root, "defs"),
        "marker",
        {"id": "arrow", "viewBox": "0 0 8 8", "refX": "8", "refY": "4", "markerWidth": "8", "markerHeight": "8"},
    )
    arrow.set("orient", "auto")
    SubElement(arrow, "path", {"d": "M0 0 8 4 0 8z", "fill": "#5f6368"})
    SubElement(root, "rect", {"width": "100%", "height": "100%", "style": "fill:#fff;stroke:none"})
    for x, y, shape in _placed(drawn, drawn.left + _MARGIN, _MARGIN):
        _draw(root, shape, x, y)
    indent(root)
    return tostring(root, encoding="unicode")


def _placed(drawn: Drawing, x: float, y: float) -> Iterator[tuple[float, float, Box | Border | Line | Label]]:
    for shape in drawn.shapes:
        yield x, y, shape
    for dx, dy, part in drawn.inner:
        yield from _placed(part, x + dx, y + dy)


def _draw(root: Element, shape: Box | Border | Line | Label, x: float, y: float) -> None:
    match shape:
        case Box():
            _draw_box(root, shape, x, y)
        case Border():
            place = {"x": _number(x + shape.x), "y": _number(y + shape.y), "rx": "6", "class": "frame"}
            SubElement(root, "rect", place | {"width": _number(shape.width), "height": _number(shape.height)})
        case Line():
            points = " ".join(f"{_number(x + each[0])},{_number(y + each[1])}" for each in shape.points)
            line = SubElement(root, "polyline", {"points": points})
            if shape.arrow:
                line.set("marker-end", "url(#arrow)")
            if shape.dotted:
                line.set("class", "dotted")
        case Label():
            _write(root, shape.text, x + shape.x, y + shape.y, {"class": "label"})


def _draw_box(root: Element, box: Box, x: float, y: float) -> None:
    group = SubElement(root, "g")
    SubElement(group, "title").text = box.full
    left, top = x + box.x, y + box.y
    rounding = {"end": box.height / 2, "wait": 10.0}.get(box.kind, 3.0)
    size = {"width": _number(box.width), "height": _number(box.height), "rx": _number(rounding)}
    SubElement(group, "rect", {"x": _number(left), "y": _number(top), "fill": _COLOURS[box.kind], **size})
    if box.kind == "call":
        # The sign of a called procedure: a second line at both sides.
        for side in (left + 4, left + box.width - 4):
            points = f"{_number(side)},{_number(top)} {_number(side)},{_number(top + box.height)}"
            SubElement(group, "polyline", {"points": points})
    for number, line in enumerate(box.lines):
        _write(group, line, left + box.width / 2, top + (number + 1) * LINE, {"text-anchor": "middle"})


def _write(root: Element, text: str, x: float, y: float, more: Mapping[str, str]) -> None:
    SubElement(root, "text", {"x": _number(x), "y": _number(y), **more}).text = text


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
