"""Requests that are meant to stall a server: for each kind of work that a message can cause, several families of input.

Each request names the flow that it goes to. The flows answer when they have ended, so that the work is over when the
response comes.
"""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Final

KB: Final = 1_000
MB: Final = 990_000
"""Bytes of a request to which the lower limit of the delay applies."""
BIG: Final = 9_900_000
"""Just below the largest body that a server accepts by default."""
HEAD: Final = 60_000
"""Just below the largest head."""
_EQUAL: Final = 2**61 - 1
"""Integers that are multiples of this have equal hashes."""


@dataclass(frozen=True)
class Hostile:
    """One request of a family."""

    family: str
    flow: str
    make: Callable[[], bytes]
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    query: Callable[[], str] = str
    answer: Callable[[], bytes] | None = None
    """The response to the flow's own request, for a flow that sends one."""
    table: Callable[[], bytes] | None = None
    """The content of the file `table.csv` or `table.json`, in which the flow looks something up."""
    signed_by: str | None = None
    """The scheme's case whose sender signs the request."""
    is_mail: bool = False
    """True if `make` gives a mail, which the flow finds in its mailbox."""
    quick: bool = False
    """True if it belongs to the daily run."""


def until(size: int, part: str, between: str = ",") -> str:
    """A text repeated to fill a size, with something between."""
    return between.join([part] * (size // (len(part) + len(between))))


def numbered(size: int, form: str, between: str = ",") -> str:
    """Texts with a number each, as many as fill a size."""
    each = len(form.format(n=10_000_000)) + len(between)
    return between.join([form.format(n=10_000_000 + number) for number in range(size // each)])


def _equal_hashes(size: int) -> str:
    return ",".join([str(_EQUAL * number) for number in range(1, size // 26)])


def _alike_in_binary64(size: int) -> str:
    return ",".join([str(2**62 + number) for number in range(size // 20)])


def json_texts(size: int) -> dict[str, Callable[[], str]]:
    """JSON texts as the value of a body."""
    return {
        "equal hashes": lambda: f"[{_equal_hashes(size)}]",
        "a long text": lambda: json.dumps("x" * size),
        "many lines": lambda: json.dumps("x\n" * (size // 3)),
        "many keys": lambda: "{" + numbered(size, '"k{n}":1') + "}",
        "equal keys": lambda: "{" + until(size, '"key":1') + "}",
        "deep": lambda: until(size, "[" * 90 + "]" * 90).join("[]"),
        "too deep": lambda: "[" * size,
        "wide": lambda: f"[{until(size, '1')}]",
        "wide lists": lambda: f"[{until(size, '[]')}]",
        "wide objects": lambda: f"[{until(size, chr(123) + chr(125))}]",
        "digits": lambda: f"[{until(size, '9' * 4290)}]",
        "digits of fractions": lambda: f"[{until(size, '0.' + '3' * 4290)}]",
        "exponents": lambda: f"[{until(size, '1e308')}]",
        "separators": lambda: json.dumps("," * size),
        "percent signs": lambda: json.dumps("%41" * (size // 3)),
        "escapes": lambda: '"' + "\\u0041" * (size // 6) + '"',
        "backslashes": lambda: '"' + "\\\\" * (size // 2) + '"',
        "lone surrogates": lambda: '"' + "\\ud800" * (size // 6) + '"',
        # The log shows the first 8,192 characters of a text.
        "near-matches of URLs": lambda: json.dumps(until(size, "a." * 4_000 + " ://", " ")),
        "near-matches of passwords": lambda: json.dumps("a://a:" * (size // 6)),
        "near-matches of addresses": lambda: json.dumps("a@" * (size // 2) + "<"),
        "near-matches of dates": lambda: json.dumps("2026-01-01T" * (size // 11)),
        "spaces": lambda: json.dumps(" " * size + "x"),
        "quotes": lambda: json.dumps("'" * size),
        "braces": lambda: json.dumps("{{" * (size // 2)),
        "dollars": lambda: json.dumps("$." * (size // 2)),
    }


#: Templates that walk a value of the message. `text` is `body.text`, `list` is `body.list`.
TEMPLATES: Final[Mapping[str, tuple[str, str]]] = {
    # name: what the value is, and the template
    "map attribute": ("text", "{{ body.v | map(attribute='sku') | list | length }}"),
    "map filter": ("text", "{{ body.v | map('upper') | list | length }}"),
    "sum": ("text", "{{ body.v | sum(start='') | length }}"),
    "sum of numbers": ("list", "{{ body.v | sum }}"),
    "select": ("text", "{{ body.v | select('eq', 'y') | list | length }}"),
    "reject": ("text", "{{ body.v | reject('eq', 'x') | list | length }}"),
    "selectattr": ("text", "{{ body.v | selectattr('a') | list | length }}"),
    "unique": ("text", "{{ body.v | unique | list | length }}"),
    "unique of a list": ("list", "{{ body.v | unique | list | length }}"),
    "max": ("text", "{{ body.v | max }}"),
    "min": ("text", "{{ body.v | min }}"),
    "groupby": ("text", "{{ body.v | groupby('a') | list | length }}"),
    "batch": ("text", "{{ body.v | batch(2) | list | length }}"),
    "slice": ("text", "{{ body.v | slice(2) | list | length }}"),
    "sort": ("text", "{{ body.v | sort | length }}"),
    "sort a list": ("list", "{{ body.v | sort | length }}"),
    "list": ("text", "{{ body.v | list | length }}"),
    "join": ("text", "{{ body.v | join(', ') | length }}"),
    "reverse": ("text", "{{ body.v | reverse | list | length }}"),
    "dictsort": ("object", "{{ body.v | dictsort | length }}"),
    "items": ("object", "{{ body.v | items | list | length }}"),
    "dict": ("list", "{{ dict(body.v | batch(2)) | length }}"),
    "in": ("list", "{{ 'y' in body.v }}"),
    "for": ("list", "{% for one in body.v %}{{ one }}{% endfor %}"),
    "rsplit": ("text", "{{ body.v.rsplit(body.by) | length }}"),
    "split": ("text", "{{ body.v.split(body.by) | length }}"),
    "rfind": ("text", "{{ body.v.rfind(body.by) }}"),
    "find": ("text", "{{ body.v.find(body.by) }}"),
    "rpartition": ("text", "{{ body.v.rpartition(body.by) | length }}"),
    "rindex": ("text", "{{ body.v.rindex(body.by) }}"),
    "count": ("text", "{{ body.v.count(body.by) }}"),
    "replace": ("text", "{{ body.v | replace(body.by, 'yyyyyyyyyy') | length }}"),
    "wordwrap": ("text", "{{ body.v | wordwrap(2) | length }}"),
    "wordcount": ("text", "{{ body.v | wordcount }}"),
    "indent": ("text", "{{ body.v | indent | length }}"),
    "title": ("text", "{{ body.v | title | length }}"),
    "striptags": ("text", "{{ body.v | striptags | length }}"),
    "urlize": ("text", "{{ body.v | urlize | length }}"),
    "urlencode": ("text", "{{ body.v | urlencode | length }}"),
    "int": ("text", "{{ body.v | int }}"),
    "float": ("text", "{{ body.v | float }}"),
    "regex": ("text", "{{ body.v | regex_replace('(x+)+y', 'z') | length }}"),
    "multiply a text": ("text", "{{ (body.v * 50) | length }}"),
    "format": ("text", "{{ '%s' | format(body.v) | length }}"),
    "tojson": ("list", "{{ body.v | tojson | length }}"),
    "compare": ("list", "{{ body.v == body.v }}"),
    "concatenate": ("text", "{{ (body.v ~ body.v) | length }}"),
    "power": ("list", "{{ body.v[0] ** 100000 }}"),
}

_VALUES: Final[Mapping[str, Mapping[str, Callable[[int], str]]]] = {
    "text": {
        "a long text": lambda size: json.dumps("x" * size),
        "separators": lambda size: json.dumps("x," * (size // 2)),
        "near-matches": lambda size: json.dumps("<a." * (size // 3)),
    },
    "list": {
        "equal hashes": lambda size: f"[{_equal_hashes(size)}]",
        "digits": lambda size: f"[{until(size, '9' * 4290)}]",
    },
    "object": {"many keys": lambda size: "{" + numbered(size, '"k{n}":1') + "}"},
}

_OTHER_EXPRESSIONS: Final[Mapping[str, Any]] = {
    "jsonpath-deep": "$.body..x",
    "jsonpath-filter": "$.body.v[?(@.a == 1)]",
    "jsonpath-slice": "$.body.v[::2]",
    "jmespath": {"jmespath": "length(sort_by(body.v, &a))"},
    "jmespath-contains": {"jmespath": "contains(body.v, body.by)"},
    "jsonata-replace": {"jsonata": "$length($replace(body.v, body.by, 'yyyyyyyy'))"},
    "jsonata-split": {"jsonata": "$count($split(body.v, body.by))"},
    "jsonata-match": {"jsonata": "$count($match(body.v, /(x+)+y/))"},
    "jsonata-map": {"jsonata": "$count(body.v.a)"},
    "jsonata-distinct": {"jsonata": "$count($distinct(body.v))"},
    "jsonata-sort": {"jsonata": "$count($sort(body.v))"},
}


def flows(url: str) -> Iterator[dict[str, Any]]:
    """The flows that the requests go to, and that of the other requests, `probe`.

    `url`: a server whose responses are hostile too.
    """
    yield flow_of("probe", [], respond="accepted")
    yield flow_of("keep", [])
    yield flow_of("exact", [], numbers="exact")
    yield flow_of("nested", [], nested=True, json_fields=["payload"])
    yield flow_of("as-list", [], force_list=["item"])
    yield {
        **flow_of("schema", []),
        "schema": {
            "type": "object",
            "properties": {"list": {"type": "array", "items": {"type": "string", "pattern": "^(a+)+$"}}},
            "additionalProperties": False,
        },
    }
    yield {**flow_of("unique-items", []), "schema": {"type": "array", "uniqueItems": True}}
    yield {
        **flow_of("schema-numbers", []),
        "schema": {"items": {"anyOf": [{"enum": [0.25, 1.25, 2.25]}, {"multipleOf": 0.01}, {}]}},
    }
    yield {**flow_of("schema-tree", []), "schema": _TREE}
    yield {**flow_of("schema-problems", []), "schema": _PROBLEMS}
    yield {**flow_of("schema-pattern", []), "schema": {"items": {"pattern": "[A-Z].{40}[0-9]"}}}
    yield {**flow_of("schema-looks-around", []), "schema": {"items": {"anyOf": [{"pattern": "^(a|aa)+(?!b)$"}, {}]}}}
    yield {**flow_of("schema-exact", [], numbers="exact"), "schema": {"uniqueItems": False, "items": {"minimum": 0.5}}}
    yield {**flow_of("schema-names", []), "schema": {"items": {"pattern": r"^(\p{L}{1,30}[ -]?){1,4}$"}}}
    yield {**flow_of("schema-password", []), "schema": {"items": {"pattern": r"(?=.*\d)(?=.*[a-z]).{8,}"}}}
    yield {
        **flow_of("schema-kinds", []),
        "schema": {"oneOf": [{"properties": {"kind": {"const": n}}} for n in range(200)]},
    }
    yield {**flow_of("redacted", []), "redact": ["$..secret", "$.body[*].card"]}
    yield flow_of("keys", [], dedupe_key="$.body", dedupe_window="1h")
    yield {**flow_of("ordered", []), "order_by": "{{ body }}"}
    yield flow_of("say", [{"use": "log", "with": {"message": "$.body"}}])
    yield flow_of("say-fields", [{"use": "log", "with": {"message": "x", "fields": {"got": "$.body"}}}])
    yield flow_of("give-up", [{"use": "fail", "with": {"message": "$.body"}}])
    yield flow_of("answer", [{"use": "reply", "with": {"body": "$.body"}}], respond="reply")
    yield flow_of("each", [{"id": "each", "foreach": "$.body", "steps": [{"use": "map", "with": {"body": 1}}]}])
    yield flow_of(
        "each-kept",
        [{"id": "each", "foreach": "$.body", "steps": [{"use": "filter", "with": {"keep": "{{ item == 0 }}"}}]}],
    )
    for name, settings in {
        "csv": {},
        "csv-filled": {"ragged": "fill"},
        "csv-lists": {"header": False},
        "csv-escaped": {"escape": "\\"},
    }.items():
        yield flow_of(name, [{"use": "csv.parse", "with": settings}])
    yield flow_of("fetch", [{"use": "http.request", "with": {"method": "POST", "url": url, "json": 1}}])
    yield flow_of("csv-out", [{"use": "csv.render", "with": {"rows": "$.body"}}])
    yield flow_of("xml-in", [{"use": "xml.parse", "with": {}}], body="text")
    yield flow_of("xml-out", [{"use": "xml.render", "with": {"value": "$.body", "root": "r"}}])
    yield flow_of("choose", [{"id": "kept", "use": "pick", "with": {"keep": ["[*].a"], "missing": "ignore"}}])
    yield flow_of("rename", [{"use": "rename", "with": {"keys": {"[*].a": "[*].b"}, "missing": "ignore"}}])
    yield flow_of("look-up", [{"use": "lookup", "with": {"key": "$.body", "table": {"a": 1}, "default": 0}}])
    for number, (_, template) in enumerate(TEMPLATES.values()):
        yield flow_of(f"template-{number}", [{"use": "map", "with": {"body": template}}])
    for name, expression in _OTHER_EXPRESSIONS.items():
        made = flow_of(name, [{"use": "map", "with": {"body": expression}}])
        yield {**made, "mappers": ["jmespath", "jsonata"]}


def flow_of(name: str, steps: list[dict[str, Any]], **settings: Any) -> dict[str, Any]:
    last = {"id": "done", "use": "map", "with": {"body": 1}}
    settings = {"verify": "none", "respond": "finished", "respond_timeout": "5m", **settings}
    if settings["respond"] != "finished":
        del settings["respond_timeout"]
    return {"id": name, "trigger": {"use": "webhook", "with": settings}, "steps": [*steps, last]}


def requests() -> Iterator[Hostile]:
    """All requests, flow by flow."""
    for size in (100 * KB, MB, BIG):
        yield from _of_json(size)
        yield from _of_forms(size)
        yield from _of_xml(size)
        yield from _of_csv(size)
        yield from _of_expressions(size)
    yield from _of_heads()


_JSON_FLOWS: Final = (
    "keep",
    "exact",
    "schema",
    "unique-items",
    "redacted",
    "keys",
    "ordered",
    "say",
    "say-fields",
    "give-up",
    "answer",
    "each",
    "each-kept",
    "csv-out",
    "xml-out",
    "choose",
    "rename",
    "look-up",
    "jsonpath-deep",
)
_TREE: Final = {
    "anyOf": [
        {"properties": {"c": {"$ref": "#"}, "list": {"items": {"$ref": "#"}}, "k": {"type": kind}}, "type": "object"}
        for kind in ("string", "boolean", "null")
    ]
}
_NODE: Final = {"$ref": "#/$defs/node"}
_KINDS: Final = [
    {
        "properties": {"c": _NODE, "kind": {"const": kind}},
        "required": ["kind", *"abcdefghij"],
        "propertyNames": {"maxLength": 4},
    }
    for kind in ("one", "two", "three", "four", "five", "six")
]
_PROBLEMS: Final = {**_NODE, "$defs": {"node": {"type": "object", "anyOf": _KINDS}}}
#: Families that each flow gets; the others are for those that read or show the body.
_EVERYWHERE: Final = frozenset(("equal hashes", "a long text", "many keys", "wide", "wide objects", "digits"))
_READERS: Final = frozenset(("keep", "exact", "say", "give-up", "answer"))


def once(make: Callable[[], str]) -> Callable[[], bytes]:
    """The bytes of a text, which are made once for all of its flows."""
    return cache(lambda: make().encode())


def _bits(number: int) -> list[Any]:
    """A list that differs from others only by 0 and false, whose hashes are equal."""
    return [number >> bit & 1 or False for bit in range(16)]


def _letters(count: int) -> list[str]:
    letters = [chr(code) for code in range(0x80, 0x3000) if chr(code).isalpha()]
    return ["".join(Random(place).choices(letters, k=60)) for place in range(count // 60)]


def _capitals(size: int) -> str:
    return "".join(Random(0).choices("Ab", k=size))


def _of_json(size: int) -> Iterator[Hostile]:
    for family, make in json_texts(size).items():
        made = once(make)
        for flow in _JSON_FLOWS:
            if family in _EVERYWHERE or flow in _READERS:
                yield Hostile(
                    family,
                    flow,
                    made,
                    quick=(flow, family, size)
                    in {
                        ("say", "near-matches of URLs", 100 * KB),
                        ("keep", "digits", BIG),
                        ("keep", "wide lists", BIG),
                        ("redacted", "wide", MB),
                        ("csv-out", "wide", MB),
                    },
                )
    yield Hostile("schema errors", "schema", lambda: ('{"list":[' + until(size, "1") + "]}").encode(), quick=size == MB)
    yield Hostile("schema errors", "schema", lambda: ("{" + numbered(size, '"k{n}":1') + "}").encode())
    yield Hostile("near-matches", "schema", lambda: json.dumps({"list": ["a" * size + "b"]}).encode())
    for flow in ("keep", "exact", "keys", "unique-items", "schema-numbers", "schema-exact"):
        alike = once(lambda: f"[{_alike_in_binary64(size)}]")
        yield Hostile("numbers alike in binary64", flow, alike, quick=(flow, size) == ("unique-items", 100 * KB))
        yield Hostile("fractions", flow, once(lambda: f"[{until(size, '0.26')}]"))
    if size == 100 * KB:
        yield Hostile("some fractions", "schema-numbers", once(lambda: f"[{until(5 * 3_700, '0.26')}]"))
        yield Hostile("some numbers alike", "unique-items", once(lambda: f"[{_alike_in_binary64(20 * 780)}]"))
        yield Hostile("some keys", "schema-kinds", lambda: ("{" + numbered(9 * 1900, '"k{n}":1') + "}").encode())
    yield Hostile("false and 0", "unique-items", once(lambda: json.dumps([_bits(n) for n in range(size // 70)])))
    yield Hostile("letters", "schema-names", once(lambda: json.dumps(_letters(size // 3), ensure_ascii=False)))
    yield Hostile("a long text", "schema-password", lambda: json.dumps(["a" * size]).encode())
    yield Hostile("short texts", "schema-password", lambda: json.dumps(["a" * 1000] * (size // 1000)).encode())
    yield Hostile("deep", "schema-tree", lambda: b'{"c":' * 120 + b'{"k":1}' + b"}" * 120)
    yield Hostile("a long text", "schema-problems", lambda: json.dumps({"text": "x" * size}).encode())
    yield Hostile("capitals", "schema-pattern", once(lambda: f'["{_capitals(size)}"]'))
    if size == 100 * KB:
        yield Hostile("some levels", "schema-problems", lambda: b'{"c":' * 6 + b"1" + b"}" * 6)
        yield Hostile("some keys", "schema-problems", lambda: ("{" + numbered(9 * 950, '"k{n}":1') + "}").encode())
        yield Hostile("some capitals", "schema-pattern", once(lambda: f'["{_capitals(27 * KB)}"]'))
    yield Hostile("wide", "schema-tree", lambda: ('{"list":[' + until(size, '{"k":1}') + "]}").encode())
    yield Hostile(
        "near-matches", "schema-looks-around", lambda: f"[{until(size, json.dumps('a' * 40 + 'b'))}]".encode()
    )
    yield Hostile("elements", "xml-in", lambda: b"<a>" + b"<b/>" * (size // 4) + b"</a>", "text/plain")
    yield Hostile(
        "secrets", "redacted", lambda: f"[{until(size, json.dumps({'secret': 1}))}]".encode(), quick=size == MB
    )
    yield Hostile("rows × keys", "csv-out", lambda: ("[" + numbered(size, _ROW) + "]").encode(), quick=size == 100 * KB)
    yield Hostile("a long value", "csv-out", lambda: json.dumps([['"' * (size // 2)]]).encode())
    for family in ("wide lists", "many keys", "equal hashes", "digits", "a long text"):
        make = json_texts(size)[family]
        yield Hostile(
            f"{family} in a response",
            "fetch",
            lambda: b"1",
            answer=lambda make=make: make().encode(),  # type: ignore[misc]  # bound at once
        )
    yield Hostile("compressed", "keep", lambda: gzip.compress(b"[" + b"[]," * (size // 3) + b"1]"), headers=_GZIP)


_ROW: Final = '{{"k{n}":1}}'
_GZIP: Final = (("Content-Encoding", "gzip"),)
_FORM: Final = "application/x-www-form-urlencoded"
_PARTS: Final = "multipart/form-data; boundary=b"


def _part(name: str, value: str, more: str = "") -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'


def _of_forms(size: int) -> Iterator[Hostile]:
    forms: dict[str, Callable[[], str]] = {
        "percent signs": lambda: "a=" + "%41" * (size // 3),
        "percent signs in a name": lambda: "%41" * (size // 3) + "=1",
        "plus signs": lambda: "a=" + "+" * size,
        "many keys": lambda: numbered(size, "k{n}=1", "&"),
        "equal keys": lambda: until(size, "a=1", "&"),
        "separators": lambda: "&" * size,
        "equals signs": lambda: "=" * size,
        "brackets": lambda: "a" + "[x]" * (size // 3) + "=1",
        "many brackets": lambda: numbered(size, "a[{n}]=1", "&"),
        "deep": lambda: until(size, "a" + "[x]" * 30 + "=1", "&"),
        "JSON in a field": lambda: "payload=[" + until(size, "[]") + "]",
        "digits in a field": lambda: "payload=[" + until(size, "9" * 4290) + "]",
    }
    for family, make in forms.items():
        made = once(make)
        for flow in ("keep", "nested"):
            yield Hostile(
                family,
                flow,
                made,
                _FORM,
                quick=size == BIG and (family, flow) in {("percent signs", "keep"), ("brackets", "nested")},
            )
    parts: dict[str, Callable[[], str]] = {
        "many parts": lambda: numbered(size, _part("k{n}", "1"), ""),
        "equal parts": lambda: until(size, _part("a", "1"), ""),
        "near-matches of boundaries": lambda: _part("a", "\r\n--" * (size // 4)),
        "line ends": lambda: _part("a", "\r" * size),
        "a preamble": lambda: "x" * size + "\r\n" + _part("a", "1"),
        "part headers": lambda: f"--b\r\n{until(size, 'A: b', chr(13) + chr(10))}\r\n\r\nx\r\n",
        "part parameters": lambda: _part("a", "1", "; a=b" * (size // 5)),
        "JSON in a part": lambda: _part("payload", f"[{until(size, '[]')}]"),
    }
    if size == 100 * KB:
        # After a thousand of them a request is rejected, however large it is.
        parts["many files"] = lambda: until(size, _part("a", "", '; filename="f"'), "")
    for family, make in parts.items():
        made = once(lambda make=make: make() + "--b--\r\n")  # type: ignore[misc]  # bound at once
        for flow in ("keep", "nested"):
            yield Hostile(family, flow, made, _PARTS)
    for charset in ("utf-8", "utf-16", "utf-7", "shift_jis", "iso-2022-jp", "punycode", "idna", "unicode_escape"):
        yield Hostile(f"a text in {charset}", "keep", lambda: b"+AGE-" * (size // 5), f"text/plain; charset={charset}")
    for family, letter in {"lines": b"x\n", "quotes": b'"', "control characters": b"\x01"}.items():
        for flow in ("keep", "redacted", "say", "answer"):
            yield Hostile(
                f"a text of {family}",
                flow,
                lambda letter=letter: letter * (size // len(letter)),  # type: ignore[misc]  # bound at once
                "text/plain",
                quick=(flow, letter, size) == ("answer", b"\x01", BIG),
            )


def _of_xml(size: int) -> Iterator[Hostile]:
    texts: dict[str, Callable[[], str]] = {
        "elements": lambda: until(size, "<item/>", ""),
        "different elements": lambda: numbered(size, "<i{n}/>", ""),
        "deep": lambda: "<a>" * (size // 7) + "</a>" * (size // 7),
        "attributes": lambda: "<a " + numbered(size, 'a{n}=""', " ") + "/>",
        "namespaces": lambda: "<a " + numbered(size, 'xmlns:a{n}="u"', " ") + "/>",
        "a long text": lambda: "x" * size,
        "entities": lambda: "&amp;" * (size // 5),
        "text between elements": lambda: until(size, "x<a/>", ""),
        "CDATA": lambda: until(size, "<![CDATA[x]]>", ""),
        "comments": lambda: until(size, "<!---->", ""),
        "references": lambda: "&#65;" * (size // 5),
        "brackets": lambda: "<![CDATA[" + "]" * size,
        "spaces": lambda: "<a" + " " * size + "/>",
    }
    for family, make in texts.items():
        made = once(lambda make=make: f"<r>{make()}</r>")  # type: ignore[misc]  # bound at once
        for flow in ("keep", "as-list"):
            yield Hostile(family, flow, made, "application/xml")


def _of_csv(size: int) -> Iterator[Hostile]:
    texts: dict[str, Callable[[], str]] = {
        "columns": lambda: numbered(size, "c{n}"),
        "equal columns": lambda: until(size, "c"),
        "columns and short rows": lambda: numbered(size // 2, "c{n}") + "\n" + "1\n" * (size // 4),
        "rows": lambda: "a,b\n" + "1,2\n" * (size // 4),
        "empty rows": lambda: "a,b\n" + "\n" * size,
        "quotes": lambda: "a\n" + '"' * size,
        "doubled quotes": lambda: 'a\n"' + '""' * (size // 2) + '"',
        "a quote that is not closed": lambda: 'a\n"' + "x\n" * (size // 2),
        "separators": lambda: "a\n" + "," * size,
        "backslashes": lambda: "a\n" + "\\" * size,
        "a long value": lambda: "a\n" + "x" * size,
        "long lines": lambda: until(size, ("x" * 130_000 + ",") * 7, "\n"),
        "lines of many columns": lambda: until(size, "1," * 90_000, "\n"),
        "carriage returns": lambda: "a,b\r" + "1,2\r" * (size // 4),
    }
    for family, make in texts.items():
        made = once(make)
        for flow in ("csv", "csv-filled", "csv-lists", "csv-escaped"):
            yield Hostile(
                family,
                flow,
                made,
                "text/plain",
                quick=(flow, family, size) == ("csv-filled", "columns and short rows", 100 * KB),
            )


def _of_expressions(size: int) -> Iterator[Hostile]:
    for kind, families in _VALUES.items():
        for family, make in families.items():
            made = once(lambda make=make: f'{{"v":{make(size)},"by":","}}')  # type: ignore[misc]  # bound at once
            for number, (name, (wanted, _)) in enumerate(TEMPLATES.items()):
                if wanted == kind:
                    yield Hostile(f"{name}: {family}", f"template-{number}", made)
            if kind != "object":
                for name in _OTHER_EXPRESSIONS:
                    yield Hostile(family, name, made)
    halves, quarter, eighth = json.dumps("x" * (size // 2)), "x" * (size // 4), "x" * (size // 8)
    # It has to be shorter than the text: otherwise nothing is searched.
    between = once(lambda: f'{{"v":{halves},"by":"{eighth}y{eighth}"}}')
    for number, (name, (_, template)) in enumerate(TEMPLATES.items()):
        if "body.by" in template:
            quick = name == "rsplit" and size == MB
            yield Hostile(f"{name}: a long separator", f"template-{number}", between, quick=quick)
    after = once(lambda: f'{{"v":{halves},"by":"{quarter}y"}}')
    for name in ("jsonata-replace", "jsonata-split", "jmespath-contains"):
        yield Hostile("a long separator", name, after)


def _of_heads() -> Iterator[Hostile]:
    """Requests whose head is hostile; their bodies are small."""
    heads: dict[str, tuple[tuple[str, str], ...]] = {
        "repeated headers": (("A", ""),) * 10_000,
        "headers repeated as often as may be": (("A", "," * (HEAD // 190)),) * 190,
        "headers that may come once": (("Content-Type", "application/json"),) * 190,
        "different headers": tuple((f"A{number}", "") for number in range(6_000)),
        "repeated cookies": (("Cookie", "a=b"),) * 4_000,
        "a forwarded chain": (("X-Forwarded-For", "1.1.1.1," * (HEAD // 8)),),
        "repeated forwarding": (("X-Forwarded-For", "1.1.1.1"),) * 2_000,
        "a long token": (("Authorization", "Bearer " + "a." * (HEAD // 2)),),
        "a long type": (("Content-Type", "application/json" + "; a=b" * (HEAD // 5)),),
        "a quoted type": (("Content-Type", 'multipart/form-data; boundary="' + '\\"' * (HEAD // 2)),),
        "a long coding": (("Content-Encoding", "gzip," * (HEAD // 5)),),
        "a long disposition": (("Content-Disposition", "a; b=" + "%41" * (HEAD // 3)),),
        "spaces": (("A", " " * HEAD + "x"),),
        "a long origin": (("Origin", "http://" + "a." * (HEAD // 2)),),
    }
    for flow in ("keep", "say"):
        for family, headers in heads.items():
            yield Hostile(family, flow, lambda: b'"x"', headers=headers, quick=family == "repeated headers")
    queries: dict[str, Callable[[], str]] = {
        "percent signs in the query": lambda: "%41" * (HEAD // 3),
        "many parameters": lambda: numbered(HEAD, "k{n}=1", "&"),
        "brackets in the query": lambda: "a" + "%5Bx%5D" * (HEAD // 7) + "=1",
        "separators in the query": lambda: "&" * HEAD,
    }
    for flow in ("keep", "nested"):
        for family, query in queries.items():
            yield Hostile(family, flow, lambda: b'"x"', query=query)
