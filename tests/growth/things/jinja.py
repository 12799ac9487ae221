"""Jinja: its filters, tests, methods, functions and operators, those of plugins too."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from jinja2 import nodes

from hookline.discovery.plugin_loader import load_plugins
from hookline_mapping.jinja import methods, rewrite
from hookline_mapping.jinja.filters.standard import FILTERS, TESTS
from hookline_mapping.jinja.sandbox import Sandbox
from tests.growth.measure import Thing
from tests.growth.things.languages import thing

#: Arguments of each filter: nothing, or some that a message may give. `body.v` is what is filtered.
FILTER_CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("upper", "lower", "capitalize", "title", "escape", "e", "urlencode", "string", "abs"), ("",)),
    **dict.fromkeys(("first", "last", "length", "count", "list", "reverse", "items", "filesizeformat"), ("",)),
    "trim": ("", "(body.w)"),
    "truncate": ("", "(100, true, body.w)"),
    "replace": ("(body.w, 'ab')", "('a', body.w)", "(body.w, '', 3)"),
    "format": ("(body.w)", "(body.w, body.w, a=body.w)"),
    "tojson": ("", "(indent=2)"),
    "int": ("", "(0, 16)"),
    "float": ("",),
    "round": ("", "(2, 'ceil')"),
    "sum": ("", "(attribute='sku')", "(attribute=body.w)"),
    "min": ("", "(attribute='sku')", "(attribute=body.w)"),
    "max": ("", "(attribute='sku')"),
    "dictsort": ("", "(by='value')"),
    "join": ("", "(body.w)", "(',', attribute='sku')", "(',', attribute=body.w)"),
    "sort": ("", "(case_sensitive=true)", "(attribute='sku')", "(attribute=body.w)", "(attribute='sku,sku,sku')"),
    "unique": ("", "(case_sensitive=true)", "(attribute='sku')", "(attribute=body.w)"),
    "groupby": ("('sku')", "(0)", "(body.w)", "('sku', default=1)"),
    "map": ("(attribute='sku')", "(attribute=body.w)", "('upper')", "('replace', body.w, '')", "('unique')"),
    "select": ("", "('string')", "('in', body.w)", "('==', body.w)"),
    "reject": ("", "('in', body.w)"),
    "selectattr": ("('sku')", "('sku', 'in', body.w)", "(body.w)"),
    "rejectattr": ("('sku')", "('sku', '==', body.w)"),
    "batch": ("(3)", "(10000, 1)"),
    "slice": ("(3)", "(10000, 1)"),
    "default": ("", "(body.w, true)"),
    "d": ("",),
    "regex_match": ("('(a+)b')", "(body.w)"),
    "regex_search": ("('a+b$')", "(body.w)"),
    "regex_find_all": ("('a')", "('[a-z]+')"),
    "regex_replace": ("('a', 'bb')", "('a', body.w)"),
    # Those of plugins.
    "money": ("('EUR')", "('EUR', thousands=body.w)"),
    "money_round": ("('EUR')",),
    "minor_units": ("('EUR')",),
    "from_minor_units": ("('EUR')", "(body.w)"),
    "date_parse": ("('%Y-%m-%d')", "(body.w)"),
    "date_format": ("('%Y')", "(body.w)", "('%Y', body.w)"),
    "date_zone": ("('UTC')", "(body.w)"),
    "date_shift": ("(days=1)", "(days=body.w)"),
    "date_diff": ("(body.w)",),
    "hash": ("", "(body.w)"),
    "base64": ("", "(url=true)"),
    "base64_decode": ("",),
    "hex": ("",),
    "hex_decode": ("",),
    "urldecode": ("", "(plus=true)"),
    "slug": ("", "(body.w)"),
}
_COMPARING: Final = (
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    ">",
    "gt",
    "greaterthan",
    "ge",
    ">=",
    "<",
    "lt",
    "lessthan",
    "<=",
)
TEST_CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("odd", "even", "none", "boolean", "false", "true", "integer", "lower", "upper", "float"), ("",)),
    **dict.fromkeys(("string", "mapping", "number", "sequence", "iterable", "defined", "undefined"), ("",)),
    **dict.fromkeys((*_COMPARING, "le"), ("(body.w)",)),
    "divisibleby": ("(3)", "(body.w)"),
    "in": ("(body.w)", "('abc')"),
}
METHOD_CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("count", "find", "index", "rfind", "rindex", "startswith", "endswith"), ("body.w", "'b'")),
    **dict.fromkeys(("upper", "lower", "title", "capitalize", "casefold", "swapcase"), ("",)),
    **dict.fromkeys(("removeprefix", "removesuffix", "partition", "rpartition"), ("body.w",)),
    **dict.fromkeys(
        ("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace"), ("",)
    ),
    **dict.fromkeys(("istitle", "isupper", "items", "keys", "values"), ("",)),
    **dict.fromkeys(("strip", "lstrip", "rstrip"), ("", "body.w")),
    **dict.fromkeys(("split", "rsplit"), ("", "body.w", "body.w, 3", "'a'")),
    "splitlines": ("", "true"),
    "replace": ("body.w, 'ab'", "'a', body.w"),
    "join": ("body.w",),
    "format": ("body.w", "body.w, a=body.w"),
    "get": ("'k1'", "body.w"),
    "cycle": ("body.w",),
    "changed": ("body.w",),
}
_LOOP: Final = "{%% for each in body.v %%}{{ loop.%s(%s) }}{%% endfor %%}"
FUNCTION_CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    "range": ("{{ range(body.v) }}", "{{ range(body.w | length) | list }}", "{{ range(0, body.v | length, 1) | sum }}"),
    "dict": (
        *("{{ dict(body.v) | length }}", "{{ dict(body.v, a=1) | length }}"),
        *("{{ dict(body.v) == dict(body.v) }}", "{{ dict(body.v | map('list')) | length }}"),
    ),
    "namespace": ("{{ namespace(a=body.v).a | length }}", "{{ namespace(**body.v) }}"),
}
#: Templates for each node of the syntax that does something with values; the others hold no work of their own.
NODE_TEMPLATES: Final[Mapping[type[nodes.Node], tuple[str, ...]]] = {
    nodes.Output: ("{{ body.v }}", "a {{ body.v }} b"),
    nodes.If: ("{% if body.v %}a{% endif %}", "{% if body.v in body.w %}a{% endif %}"),
    nodes.For: (
        "{% for each in body.v %}{{ each }}{% endfor %}",
        "{% for each in body.v if each in body.w %}{{ loop.index }}{% endfor %}",
        "{% for one, two in body.v %}{{ one }}{% endfor %}",
        "{% set n = namespace(t='') %}{% for each in body.v %}{% set n.t = n.t ~ each %}{% endfor %}{{ n.t }}",
        "{% set n = namespace(t=[]) %}{% for each in body.v %}{% set n.t = n.t + [each] %}{% endfor %}{{ n.t }}",
        "{% set n = namespace(t=1) %}{% for each in body.v %}{% set n.t = n.t * each %}{% endfor %}{{ n.t }}",
        "{% for each in body.v %}{{ loop.previtem == each }}{% endfor %}",
    ),
    nodes.Assign: ("{% set a = body.v %}{{ a | length }}", "{% set a, b = body.v %}{{ a }}"),
    nodes.AssignBlock: ("{% set a %}{{ body.v }}{% endset %}{{ a }}{{ a }}",),
    nodes.With: ("{% with a = body.v %}{{ a }}{% endwith %}",),
    nodes.FilterBlock: ("{% filter upper %}{{ body.v }}{% endfilter %}",),
    nodes.Tuple: ("{{ (body.v, body.w) }}",),
    nodes.List: ("{{ [body.v, body.w, body.v] }}",),
    nodes.Dict: ("{{ {'a': body.v, 'b': body.w} }}", "{{ {body.v: 1} }}"),
    nodes.CondExpr: ("{{ body.v if body.v else body.w }}",),
    nodes.Getattr: ("{{ body.v.k1.k2 }}",),
    nodes.Getitem: ("{{ body.v[body.w] }}", "{{ body.v[0] }}", "{{ body.v[-1][-1] }}"),
    nodes.Slice: ("{{ body.v[1:] }}", "{{ body.v[::-1] }}", "{{ body.v[body.w:] }}"),
    nodes.Concat: ("{{ body.v ~ body.w }}",),
    nodes.Compare: (
        *("{{ body.v == body.w }}", "{{ body.v < body.w }}", "{{ body.w in body.v }}", "{{ body.v not in body.w }}"),
        *("{{ 'ab' in body.v }}", "{{ [body.v] == [body.v] }}", "{{ (body.v | list) == (body.w | list) }}"),
    ),
    nodes.And: ("{{ body.v and body.w }}",),
    nodes.Or: ("{{ body.v or body.w }}",),
    nodes.Not: ("{{ not body.v }}",),
    nodes.Neg: ("{{ -body.v }}", "{{ -body.v[0] }}"),
    nodes.Pos: ("{{ +body.v }}",),
    nodes.Mul: ("{{ body.v * body.w }}", "{{ body.v[0] * body.v[0] }}"),
    nodes.Div: ("{{ body.v / body.w }}", "{{ body.v[0] / body.v[0] }}"),
    nodes.FloorDiv: ("{{ body.v // 3 }}", "{{ body.v[0] // 3 }}"),
    nodes.Add: ("{{ body.v + body.w }}", "{{ body.v[0] + body.v[0] }}"),
    nodes.Sub: ("{{ body.v - body.w }}", "{{ body.v[0] - body.v[0] }}"),
    nodes.Mod: ("{{ body.v % body.w }}", "{{ body.v % (body.w, body.w) }}", "{{ body.v[0] % 7 }}"),
}
#: Nodes that hold no work, or whose work is that of filters, tests and calls.
_NO_WORK: Final = {
    *(nodes.Template, nodes.TemplateData, nodes.Name, nodes.NSRef, nodes.Const, nodes.Pair, nodes.Keyword),
    *(nodes.Operand, nodes.Filter, nodes.Test, nodes.Call),
}


def _things(kind: str, name: str, sources: tuple[str, ...]) -> Iterator[Thing]:
    for source in sources:
        yield thing(kind, f"{name}: {source}", "jinja", source)


def registries() -> Iterator[tuple[str, set[str], Mapping[str, Any]]]:
    """The name of each table here, the names that its registry has, and the table."""
    filters = {*FILTERS, *load_plugins().template_filters}
    yield "FILTER_CALLS", filters, FILTER_CALLS
    yield "TEST_CALLS", set(TESTS), TEST_CALLS
    yield "METHOD_CALLS", set(methods.NAMES), METHOD_CALLS
    yield "FUNCTION_CALLS", set(Sandbox().globals), FUNCTION_CALLS
    allowed = {node.__name__ for node in rewrite._ALLOWED if node not in _NO_WORK}
    yield "NODE_TEMPLATES", allowed, {node.__name__: sources for node, sources in NODE_TEMPLATES.items()}


def things() -> Iterator[Thing]:
    """Everything that an expression in Jinja can do."""
    for name, calls in FILTER_CALLS.items():
        yield from _things("filter", name, tuple(f"{{{{ body.v | {name}{call} }}}}" for call in calls))
    for name, calls in TEST_CALLS.items():
        # Those that are no names can only be named.
        shape = "{{ body.v is %s%s }}" if name.isidentifier() else "{{ [body.v] | select('%s', %s) | list }}"
        yield from _things("test", name, tuple(shape % (name, call) for call in calls))
    for name, calls in METHOD_CALLS.items():
        shape = _LOOP if name in methods.LOOP else "{{ body.v.%s(%s) }}"
        yield from _things("method", name, tuple(shape % (name, call) for call in calls))
    for name, sources in FUNCTION_CALLS.items():
        yield from _things("function", name, sources)
    for node, sources in NODE_TEMPLATES.items():
        yield from _things("syntax", node.__name__, sources)
