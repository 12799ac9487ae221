"""Whatever a file says, it is a flow or has problems, each at a place that exists; never another error."""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookline.discovery.registry import Registry
from hookline.flows.compiler.compile import compile_document
from hookline.flows.documents.read import lines, read

WHOLE = {
    "$schema": "./flow.schema.json",
    "id": "orders",
    "title": "Orders",
    "state": "active",
    "trigger": {
        "use": "webhook",
        "with": {
            "verify": {"scheme": "signed", "credential": "hook", "tolerance": 5},
            "dedupe_key": "$.body.id",
            "methods": ["POST", "PUT"],
        },
    },
    "vars": {"n": 1, "url": "x"},
    "mappers": [],
    "rate": "10/s",
    "schema": {"type": "object"},
    "steps": [
        {
            "id": "book",
            "use": "acme.create_order",
            "with": {"sku": "{{ body.sku }}", "quantity": "$.vars.n", "tags": ["a", "$.body.t"]},
            "credential": "acme-prod",
            "retry": {"attempts": 2, "wait": "1s", "factor": 2, "cap": "5m"},
            "timeout": "5s",
            "when": "$.body.paid",
        },
        {
            "switch": [
                {"when": "$.steps.book.body", "steps": [{"use": "stop"}]},
                {"otherwise": True, "steps": [{"id": "rows", "use": "lake.read", "with": {"url": "$.vars.url"}}]},
            ],
            "match": "first",
        },
        {"foreach": "$.body.lines", "as": "line", "steps": [{"use": "map", "with": {"body": {"a": "$.line.a"}}}]},
    ],
}


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    # Words that mean something somewhere in a flow.
    | st.sampled_from(
        ["use", "steps", "$", "$.body", "$.steps.x", "$..a", "{{ body }}", "{{ x", "none", "stop", "body"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4)
            | st.sampled_from(["use", "with", "steps", "switch", "foreach", "as", "when", "literal"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(list(places(WHOLE))), new=json_values)
def test_a_changed_document_compiles_or_has_problems(registry: Registry, path: tuple[str | int, ...], new: Any) -> None:
    document = read(json.dumps(changed(WHOLE, path, new), indent=1).encode(), "orders.json")
    examined = compile_document(document, registry)
    assert (examined.flow is None) == bool(examined.errors)
    known = dict(lines(document.text))
    for problem in examined.problems:
        assert problem.line == known[problem.pointer]
        assert problem.message
        assert problem.remedy
        assert problem.file == "orders.json"


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from([path for path in places(WHOLE) if path]))
def test_without_any_one_of_its_values_it_compiles_or_has_problems(
    registry: Registry, path: tuple[str | int, ...]
) -> None:
    without = json.loads(json.dumps(WHOLE))
    inner: Any = without
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    examined = compile_document(read(json.dumps(without).encode()), registry)
    assert (examined.flow is None) == bool(examined.errors)


def test_the_whole_document_is_right(registry: Registry) -> None:
    assert compile_document(read(json.dumps(WHOLE).encode()), registry).flow is not None
