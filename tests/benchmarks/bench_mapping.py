"""How long expressions take, ours beside plain jsonpath-ng and plain Jinja, in one run: `python bench_mapping.py`."""

from collections.abc import Callable
from functools import partial
from timeit import Timer
from typing import Any

from jinja2 import Environment, StrictUndefined
from jsonpath_ng.ext.parser import parse

from hookline.flows.elements.expressions import Expressions
from hookline_mapping.jinja.mapper import Jinja
from hookline_mapping.jsonpath.mapper import JsonPath

SCOPE: dict[str, Any] = {
    "body": {
        "id": "WH-1",
        "event_type": "PAYMENT.CAPTURE.COMPLETED",
        "create_time": "2026-01-31T08:00:00Z",
        "resource": {"id": "CAP-7", "amount": {"value": "12.50", "currency": "EUR"}},
        "lines": [{"sku": f"A{number}", "count": number} for number in range(20)],
    },
    "headers": {"content-type": "application/json"},
    "attachments": [],
    "trigger": {"method": "POST"},
    "steps": {},
    "vars": {"ledger": "sqlite:///accounting.db"},
    "execution": {"id": "e-1", "attempt": 1},
}
PATHS = ("$.body", "$.body.resource.amount.value", "$.body.lines[3].sku", "$.body.lines[*].sku", "$..sku")
FILTERS = ("$.body.lines[?(@.count > 10)].sku",)
TEMPLATES = (
    "{{ body.resource.id }}",
    "{{ body.event_type == 'PAYMENT.CAPTURE.COMPLETED' }}",
    "{{ body.lines | map(attribute='count') | sum }}",
    "{{ body.resource.note | default('none') }}",
    "PayPal {{ body.resource.id }} on {{ body.create_time[:10] }}",
    "{% for line in body.lines %}{{ line.sku }}: {{ line.count }}\n{% endfor %}",
)
SETTINGS: dict[str, Any] = {
    "url": "$.vars.ledger",
    "table": "invoices",
    "options": {"deep": [{"constant": True}] * 20},
    "row": {
        "reference": "$.body.resource.id",
        "amount": "$.body.resource.amount.value",
        "note": "PayPal {{ body.resource.id }} on {{ body.create_time[:10] }}",
    },
}


def microseconds(run: Callable[[], Any]) -> float:
    """The best of five rounds, for one call."""
    timer = Timer(run)
    number, _ = timer.autorange()
    return min(timer.repeat(5, max(1, number // 5))) / max(1, number // 5) * 1e6


def main() -> None:
    """Print a line for each expression."""
    print(f"{'expression':62} {'parse':>9} {'plain':>9} {'evaluate':>9} {'plain':>9}   µs")
    jsonpath, jinja = JsonPath(), Jinja()
    for source in (*PATHS, *FILTERS):
        row(
            source,
            microseconds(partial(jsonpath.compile, source)),
            microseconds(partial(parse, source)),
            microseconds(partial(jsonpath.compile(source).evaluate, SCOPE)),
            microseconds(partial(parse(source).find, SCOPE)),
        )
    plain = Environment(undefined=StrictUndefined, autoescape=False)
    for source in TEMPLATES:
        row(
            source,
            microseconds(partial(jinja.compile, source)),
            microseconds(partial(plain.compile, source)),
            microseconds(partial(jinja.compile(source).evaluate, SCOPE)),
            microseconds(partial(plain.from_string(source).render, SCOPE)),
        )
    expressions = Expressions({"jsonpath": jsonpath, "jinja": jinja})
    template, problems = expressions.template(SETTINGS)
    assert not problems, problems
    row(
        "settings: 4 expressions, 20 constant objects",
        microseconds(partial(expressions.template, SETTINGS)),
        None,
        microseconds(partial(template.evaluate, SCOPE)),
        None,
    )


def row(source: str, *numbers: float | None) -> None:
    """Print one line."""
    shown = " ".join(f"{'' if number is None else f'{number:.2f}':>9}" for number in numbers)
    print(f"{source.replace(chr(10), ' ')[:60]:62} {shown}")


if __name__ == "__main__":
    main()
