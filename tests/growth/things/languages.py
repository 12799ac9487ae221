"""JSONPath, JSONata and JMESPath: each function and each kind of step."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from jmespath.functions import Functions  # type: ignore[import-untyped]

from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.errors import HooklineError
from hookline_mapping.jsonata.library_import import jsonata
from hookline_mapping.jsonpath import query
from tests.growth.families import PAIRS, TEXTS, VALUES
from tests.growth.measure import Thing

#: Queries for each kind of node that is compiled; `$.body.v` is the input.
JSONPATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "Root": ("$.body.v[?(@ == $.body.w)]",),
    "This": ("$.body.v[?(@ > 1)]",),
    "Fields": ("$.body.v[*].sku",),
    "Index": ("$.body.v[*][0]",),
    "Slice": ("$.body.v[1:]",),
    "Wildcard": ("$.body.v[*]", "$.body.v.*"),
    "Len": ("$.body.v.`len`",),
    "Keys": ("$.body.v.`keys`",),
    "Str": ("$.body.v.`str()`",),
    "Split": ("$.body.v.`split(a, 0, -1)`", "$.body.v.`split(\\,, *, -1)`"),
    "Sub": ("$.body.v.`sub(/a/, bb)`", "$.body.v.`sub(/a+$/, b)`"),
    "Child": ("$.body.v[*].`parent`", "$.body.v[*].`path`"),
    "Descendants": ("$..sku", "$..*", "$.body.v..[0]", "$..body..sku"),
    "_Union": ("$.body.v[*] | $.body.w[*]",),
    "Where": ("$.body.v[*] where sku",),
    "WhereNot": ("$.body.v[*] wherenot sku",),
    "Filter": ("$.body.v[?(@.sku == 'a')]", "$.body.v[?(@.sku =~ 'a+$')]", "$.body.v[?(@.sku != $.body.w)]"),
    "Operation": ("$.body.v[*] + $.body.w[*]", "$.body.v + $.body.v", "$.body.v[0] * $.body.v[0]"),
    "SortedThis": ("$.body.v.`sorted`", "$.body.v[/sku]", "$.body.v[\\sku]"),
}
#: Calls of each function of JSONata's; those that the mapper rejects have none.
JSONATA: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("sum", "count", "max", "min", "average", "abs", "floor", "ceil", "sqrt", "number"), ("(body.v)",)),
    **dict.fromkeys(("string", "uppercase", "lowercase", "length", "trim", "boolean", "not", "exists"), ("(body.v)",)),
    **dict.fromkeys(("keys", "spread", "merge", "reverse", "distinct", "type", "base64encode"), ("(body.v)",)),
    **dict.fromkeys(
        ("base64decode", "encodeUrl", "encodeUrlComponent", "decodeUrl", "decodeUrlComponent"), ("(body.v)",)
    ),
    **dict.fromkeys(
        ("substringBefore", "substringAfter", "contains", "append", "zip", "lookup"), ("(body.v, body.w)",)
    ),
    "substring": ("(body.v, 1)", "(body.v, -3, 2)"),
    "split": ("(body.v, body.w)", "(body.v, 'a')", "(body.v, /a/)"),
    "join": ("(body.v)", "(body.v, body.w)"),
    "match": ("(body.v, /a+b/)",),
    "replace": ("(body.v, body.w, 'ab')", "(body.v, 'a', body.w)", "(body.v, /a/, body.w)", "(body.v, body.w, body.w)"),
    "pad": ("(body.v, 20)", "(body.v, 20, body.w)"),
    "formatNumber": ("(body.v, '#,##0.00')", "(1, body.w)"),
    "formatBase": ("(body.v, 16)",),
    "formatInteger": ("(body.v, 'w')",),
    "parseInteger": ("(body.v, '0')",),
    "round": ("(body.v, 2)",),
    "power": ("(body.v, 2)",),
    "map": ("(body.v, function($i) {$i})", "(body.v, $string)"),
    "filter": ("(body.v, function($i) {$i = 1})", "(body.v, function($i) {$i in $.body.w})"),
    "single": ("(body.v, function($i) {$i = -7})",),
    "reduce": ("(body.v, function($a, $i) {$a})", "(body.v, $append)"),
    "sift": ("(body.v, function($i) {true})",),
    "each": ("(body.v, function($i) {$i})",),
    "sort": ("(body.v)", "(body.v, function($l, $r) {$l.sku > $r.sku})"),
    "error": ("(body.v)",),
    "assert": ("(body.v, 'a')",),
    "now": ("()",),
    "millis": ("()",),
    "fromMillis": ("(1, body.v)",),
    "toMillis": ("(body.v)", "(body.v, '[Y]-[M]')"),
    "clone": ("(body.v)",),
    "shuffle": (),
    "random": (),
    "eval": (),
}
JSONATA_SYNTAX: Final = (
    *("body.v.sku", "body.v[sku = 'a']", "body.v[0]", "body.v^(sku)", "body.v{sku: $}", "body.**.sku", "body.v.*"),
    *("body.v & body.w", "body.v = body.w", "body.v in body.w", "[1..$count(body.v)]", "body.v.($ & 'a')"),
    *("body.v @ $i.{'a': $i}", "body.v # $i.{'a': $i}", "body.v ~> |$|{'a': 1}|", "body.v[$ in $$.body.w]"),
)
JMESPATH: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("abs", "avg", "ceil", "floor", "keys", "length", "max", "min", "not_null"), ("(body.v)",)),
    **dict.fromkeys(("reverse", "sort", "sum", "to_array", "to_number", "to_string", "type", "values"), ("(body.v)",)),
    "contains": ("(body.v, body.w)",),
    "ends_with": ("(body.v, body.w)",),
    "starts_with": ("(body.v, body.w)",),
    "join": ("(body.w, body.v)", "(',', body.v)"),
    "map": ("(&sku, body.v)",),
    "max_by": ("(body.v, &sku)",),
    "min_by": ("(body.v, &sku)",),
    "sort_by": ("(body.v, &sku)",),
    "merge": ("(body.v, body.w)",),
}
JMESPATH_SYNTAX: Final = (
    *("body.v[*].sku", "body.v[]", "body.v[][]", "body.v[?sku=='a']", "body.v[1:]", "body.v.*", "body.v == body.w"),
    *("body.v[?@ == `1`]", "[body.v, body.w]", "{a: body.v, b: body.w}", "body.v | [0]", "body.v && body.w"),
)
_NOW: Final = {"execution": {"now": "2026-01-31T12:00:00Z"}}


@cache
def _compiled(mapper: str, source: str) -> Any:
    try:
        return load_plugins().mappers[mapper].compile(source)
    except HooklineError as error:
        # It would pass as an input that is rejected.
        raise AssertionError(f"{source} can't be compiled: {error.message}") from error


def expression(mapper: str, source: str) -> Callable[[Any], object]:
    """Evaluating an expression whose `body.v`, and `body.w` where a family gives no other, is the input."""

    def run(given: Any) -> object:
        body = given if type(given) is dict and given.keys() == {"v", "w"} else {"v": given, "w": given}
        made: object = _compiled(mapper, source).evaluate({"body": body, **_NOW})
        return made

    return run


def thing(kind: str, name: str, mapper: str, source: str) -> Thing:
    """An expression with all families; those of pairs if it has a second value."""
    families = (*TEXTS, *VALUES, *PAIRS) if "body.w" in source else (*TEXTS, *VALUES)
    return Thing(kind, name, expression(mapper, source), families)


def registries() -> Iterator[tuple[str, set[str], Mapping[str, Any]]]:
    """The kinds of steps and the functions of each language."""
    yield "JSONPATHS", {kind.__name__ for kind in (*query._LEAVES, *query._NESTING)}, JSONPATHS
    yield "JSONATA", set(jsonata.Jsonata.static_frame.bindings), JSONATA
    yield "JMESPATH", set(Functions.FUNCTION_TABLE), JMESPATH


def things() -> Iterator[Thing]:
    """Everything that queries can do."""
    sources = [
        *(("jsonpath", source) for all_of in JSONPATHS.values() for source in all_of),
        *(("jsonata", f"${name}{call}") for name, calls in JSONATA.items() for call in calls),
        *(("jsonata", source) for source in JSONATA_SYNTAX),
        *(("jmespath", f"{name}{call}") for name, calls in JMESPATH.items() for call in calls),
        *(("jmespath", source) for source in JMESPATH_SYNTAX),
    ]
    for mapper, source in sources:
        yield thing(mapper, source, mapper, source)
