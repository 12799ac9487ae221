"""JSON Schema: each keyword that checks a value, applied to each value of a body."""

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, Final

from jsonschema_specifications import REGISTRY

from hookline.flows.schemas.body_schema import BodySchema, compile_schema
from hookline.kernel.errors import SchemaViolation
from tests.growth.families import VALUES
from tests.growth.measure import Thing

_VOCABULARIES: Final = ("applicator", "unevaluated", "validation", "format-assertion", "content")
_NODE: Final = {"$ref": "#/$defs/node"}
_META: Final = "https://json-schema.org/draft/2020-12/meta/"
_FRACTIONS: Final = [number + 0.25 for number in range(10)]

#: Each of them is a schema of the items of a list, and also one of the whole body.
KEYWORDS: Final[Mapping[str, tuple[dict[str, Any], ...]]] = {
    "additionalProperties": ({"additionalProperties": {"type": "string"}},),
    "allOf": ({"allOf": [{"minimum": number} for number in range(5)]},),
    "anyOf": (
        {"anyOf": [{"const": number} for number in range(10)]},
        {"anyOf": [{"items": {"type": kind}} for kind in ("string", "object")]},
    ),
    "const": ({"const": 5}, {"const": 0.5}, {"const": {"sku": 1}}),
    "contains": ({"contains": {"const": -1}},),
    "contentEncoding": ({"contentEncoding": "base64"},),
    "contentMediaType": ({"contentMediaType": "application/json"},),
    "contentSchema": ({"contentMediaType": "application/json", "contentSchema": {"minimum": 1}},),
    "dependentRequired": ({"dependentRequired": {"sku": ["id"]}},),
    "dependentSchemas": ({"dependentSchemas": {"sku": {"minProperties": 2}}},),
    "else": ({"if": {"type": "string"}, "else": {"minimum": 0.5}},),
    "enum": (
        {"enum": list(range(1000, 1010))},
        {"enum": _FRACTIONS},
        {"enum": [1, "a", None, *_FRACTIONS]},
        {"enum": [{"sku": number} for number in range(1000, 1010)]},
    ),
    "exclusiveMaximum": ({"exclusiveMaximum": 1e300},),
    "exclusiveMinimum": ({"exclusiveMinimum": -0.5},),
    "format": tuple(
        {"format": name}
        for name in (
            *("date", "date-time", "duration", "email", "hostname", "idn-email", "idn-hostname", "ipv4", "ipv6", "iri"),
            *("iri-reference", "json-pointer", "regex", "relative-json-pointer", "time", "uri", "uri-reference"),
            *("uri-template", "uuid"),
        )
    ),
    "if": ({"if": {"multipleOf": 0.01}, "then": {"minimum": 0.5}},),
    "items": ({"items": {"type": "integer"}},),
    "maxContains": ({"contains": {"minimum": 0.5}, "minContains": 0, "maxContains": 5},),
    "maxItems": ({"maxItems": 5},),
    "maxLength": ({"maxLength": 5},),
    "maxProperties": ({"maxProperties": 1},),
    "maximum": ({"maximum": 10**30},),
    "minContains": ({"contains": {"type": "null"}, "minContains": 5},),
    "minItems": ({"minItems": 5},),
    "minLength": ({"minLength": 5},),
    "minProperties": ({"minProperties": 5},),
    "minimum": ({"minimum": 0}, {"minimum": 0.5}),
    "multipleOf": ({"multipleOf": 0.01}, {"multipleOf": 3}),
    "not": ({"not": {"const": 0.5}},),
    "oneOf": ({"oneOf": [{"multipleOf": number} for number in (2, 3, 5, 7.5)]},),
    "pattern": ({"pattern": "^[a-z]+@[a-z]+$"},),
    "patternProperties": ({"patternProperties": {"^k": {"type": "string"}, "[0-9]$": {"minimum": 5}}},),
    "prefixItems": ({"prefixItems": [{"type": "string"}], "items": {"type": "string"}},),
    "properties": ({"properties": {"sku": {"minimum": 5}}},),
    "propertyNames": ({"propertyNames": {"pattern": "^[a-j]+$"}},),
    "required": ({"required": [f"k{number}" for number in range(50)]},),
    "then": ({"if": {"type": "integer"}, "then": {"multipleOf": 2.5}},),
    "type": ({"type": ["string", "null"]},),
    "unevaluatedItems": ({"contains": {"type": "null"}, "unevaluatedItems": {"minimum": 0.5}},),
    "unevaluatedProperties": ({"allOf": [{"properties": {"sku": {}}}], "unevaluatedProperties": False},),
    "uniqueItems": ({"uniqueItems": True},),
}


def _alike(count: int) -> list[int]:
    return [2**62 + number for number in range(count)]


def _one_text(size: int) -> list[Any]:
    return ["a" * size]


def _nested(size: int) -> Any:
    nested: Any = 0
    for _ in range(min(size, 6)):
        nested = {"c": nested, "k": 1}
    return nested


def _no_digits(size: int) -> list[Any]:
    return ["".join(Random(0).choices("Ab", k=size))]


def _names(size: int) -> list[str]:
    letters = [chr(code) for code in range(0x80, 0x3000) if chr(code).isalpha()]
    return ["".join(Random(place).choices(letters, k=60)) for place in range(size // 180)]


def _compiled(schema: dict[str, Any]) -> BodySchema:
    compiled, problems = compile_schema(schema)
    assert compiled is not None, problems
    return compiled


def registries() -> Iterator[tuple[str, set[str], Mapping[str, Any]]]:
    """The keywords of JSON Schema that check a value."""
    keywords = [keyword for name in _VOCABULARIES for keyword in REGISTRY.contents(_META + name).get("properties", ())]
    yield "KEYWORDS", set(keywords), KEYWORDS


#: Schemas by which jsonschema-rs checks bodies for seconds, and the bodies.
SLOW: Final[tuple[tuple[str, dict[str, Any], Callable[[int], Any]], ...]] = (
    (
        "uniqueItems, for numbers that binary64 doesn't tell apart",
        {"uniqueItems": True},
        lambda size: _alike(size // 20),
    ),
    (
        "uniqueItems, for objects of such numbers",
        {"uniqueItems": True},
        lambda size: [{"id": one} for one in _alike(size // 27)],
    ),
    ("enum, for fractions", {"items": {"enum": _FRACTIONS}}, lambda size: [0.26] * (size // 5)),
    ("enum, for long integers", {"items": {"enum": [1, "a"]}}, lambda size: _alike(size // 20)),
    ("anyOf of const", {"items": {"anyOf": [{"const": one} for one in _FRACTIONS]}}, lambda size: [1] * (size // 2)),
    ("multipleOf, for large fractions", {"items": {"multipleOf": 0.01}}, lambda size: [1e300] * (size // 6)),
    (
        "pattern, in several branches",
        {"items": {"allOf": [{"pattern": f"^[a-{end}]*$"} for end in "bcdefghij"]}},
        _one_text,
    ),
    (
        "problems that quote a long text",
        {"items": {"anyOf": [{"required": [f"k{number}" for number in range(10)]}] * 10}},
        lambda size: [{"text": "x" * size}],
    ),
    (
        "problems of names",
        {"items": {"propertyNames": {"maxLength": 1}}},
        lambda size: [{f"k{number}": 1 for number in range(min(size // 8, 950))}],
    ),
    (
        "problems of a recursive schema with branches",
        {
            **_NODE,
            "$defs": {"node": {"anyOf": [{"properties": {"c": _NODE, "k": {"const": kind}}} for kind in "abcdef"]}},
        },
        _nested,
    ),
    ("a pattern with many states", {"items": {"pattern": "[A-Z].{40}[0-9]"}}, _no_digits),
    ("a pattern of all letters", {"items": {"pattern": r"^(\p{L}{1,30}[ -]?){1,4}$"}}, _names),
    ("a pattern that looks around", {"items": {"pattern": r"(?=.*\d)(?=.*[a-z]).{8,}"}}, _one_text),
    (
        "uniqueItems, for values with equal hashes",
        {"uniqueItems": True},
        lambda size: [[number >> bit & 1 or False for bit in range(16)] for number in range(size // 90)],
    ),
    (
        "const, for integers",
        {"items": {"oneOf": [{"const": one} for one in range(30)]}},
        lambda size: [29] * (size // 3),
    ),
    (
        "type, for long integers",
        {"items": {"oneOf": [{"type": "number"}] * 20}},
        lambda size: [10**3999] * (size // 4000),
    ),
    ("format, for many short texts", {"items": {"format": "idn-email"}}, lambda size: ["b@é.ü"] * (size // 10)),
    (
        "oneOf of many kinds",
        {"items": {"oneOf": [{"properties": {"kind": {"const": f"k{one}"}}} for one in range(200)]}},
        lambda size: [{"kind": "k199", "a": 1}] * (size // 24),
    ),
)


def check(*schemas: dict[str, Any]) -> Callable[[Any], None]:
    """Return a function that checks a body by schemas, as the event loop does.

    It raises SchemaViolation if it leaves that to another process.
    """
    made = tuple(map(_compiled, schemas))

    def checked(given: Any) -> None:
        if not all(schema.surely_accepts(given) for schema in made):
            raise SchemaViolation(problems=())

    return checked


def things() -> Iterator[Thing]:
    """Each schema, for the body itself and for all that is in it."""
    for keyword, schemas in KEYWORDS.items():
        for number, schema in enumerate(schemas):
            # By the second one, the body itself satisfies it, or is no list.
            checked = check({"items": schema, **schema}, {"items": schema, "additionalProperties": schema})
            yield Thing("schema", f"{keyword}({number})", checked, VALUES)
