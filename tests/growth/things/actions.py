"""The actions that do nothing but compute, and the schemes, which read headers and bodies of anybody."""

import asyncio
import atexit
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from time import process_time
from typing import Any, Final

from hookline.discovery.plugin_loader import load_plugins
from hookline.testing.connector_harness import Harness
from tests.growth.families import TEXTS, VALUES, family, repeated
from tests.growth.measure import Family, Thing
from tests.unit.plugins.signatures.scheme_cases import CASES, request, signed, verify

_HEADER: Final = 64 * 1024
_CSV: Final = (
    family("rows", repeated("a,b,c\n")),
    family("columns", lambda size: ",".join(f"k{i}" for i in range(size // 6)) + "\n1"),
    family("columns of one name", repeated("k,")),
    family("a long row after a short one", lambda size: "a\n" + "1," * (size // 2)),
    family(
        "short rows under a long header",
        lambda size: ",".join(f"k{i}" for i in range(size // 12)) + "\n1" * (size // 4),
    ),
    family("quotes", lambda size: 'a\n"' + '""' * (size // 2)),
    *TEXTS,
)
_XML: Final = (
    family("elements", lambda size: "<a>" + "<b/>" * (size // 4) + "</a>"),
    family("attributes", lambda size: "<a " + " ".join(f'k{i}="1"' for i in range(size // 10)) + "/>"),
    family("texts between", lambda size: "<a>" + "x<b/>" * (size // 5) + "</a>"),
    *TEXTS,
)
_ROWS: Final = tuple(one for one in VALUES if "objects" in one.name or one.name == "one key each")

#: Settings of each action that computes; `given` stands for the input.
SETTINGS: Final[Mapping[str, tuple[tuple[Callable[[Any], dict[str, Any]], tuple[Family, ...]], ...]]] = {
    "csv.parse": (
        (lambda given: {"text": given}, _CSV),
        (lambda given: {"text": given, "ragged": "fill"}, _CSV),
    ),
    "csv.render": ((lambda given: {"rows": given}, _ROWS),),
    "xml.parse": ((lambda given: {"text": given}, _XML),),
    "xml.render": ((lambda given: {"value": given, "root": "a"}, VALUES),),
    "pick": (
        (lambda given: {"body": given, "keep": ["[*].sku"], "missing": "ignore"}, VALUES),
        (lambda given: {"body": given, "drop": ["[*].sku"]}, VALUES),
    ),
    "rename": ((lambda given: {"body": given, "keys": {"[*].sku": "[*].id"}}, VALUES),),
    "map": ((lambda given: {"body": given}, VALUES),),
    "fail": ((lambda given: {"message": given}, TEXTS),),
    "log": ((lambda given: {"message": given}, TEXTS),),
    "reply": ((lambda given: {"body": given}, (*VALUES, *TEXTS)),),
}
#: Actions without work of their own on a message: they pass it on, and the service or the database does the work.
PASSING: Final = frozenset(
    {
        *("filter", "sleep", "stop", "lookup", "state.get", "state.set", "http.request", "cloudevents.send"),
        *("amqp.publish", "mqtt.publish", "email.send", "sql.delete", "sql.execute", "sql.insert", "sql.query"),
        *("sql.transaction", "sql.update", "sql.upsert"),
    }
)
_PASSING_CONNECTORS: Final = ("file.", "s3.", "github.", "paypal.", "slack.", "stripe.")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _harness() -> Harness:
    made = Harness(load_plugins())
    atexit.register(lambda: _loop().run_until_complete(made.close()))
    return made


def _action(name: str, settings: Callable[[Any], dict[str, Any]]) -> Callable[[Any], object]:
    async def run(given: Any) -> object:
        return await _harness().run_action(name, with_=settings(given))

    return lambda given: _loop().run_until_complete(run(given))


def _scheme(name: str) -> tuple[Callable[[Any], object], Callable[[Any], object]]:
    """What verifies a request whose headers are hostile, and one whose body is."""
    headers = [header for header, _ in signed(name, b"{}")] or ["authorization"]

    def with_headers(given: str) -> object:
        sent = request([(header, given) for header in headers])
        return _loop().run_until_complete(verify(name, sent, b"{}"))

    def with_body(given: str) -> object:
        sent = request(signed(name, b"{}"))
        return _loop().run_until_complete(verify(name, sent, given.encode()))

    return with_headers, with_body


def registries() -> Iterator[tuple[str, set[str], Mapping[str, Any] | set[str]]]:
    """The actions and the schemes of all plugins."""
    registry = load_plugins()
    yield (
        "SETTINGS or PASSING",
        {name for name in registry.actions if not name.startswith(_PASSING_CONNECTORS)},
        {*SETTINGS, *PASSING},
    )
    yield "CASES of scheme_cases", set(registry.schemes), {scheme for scheme, _, _ in CASES.values()}


def things() -> Iterator[Thing]:
    """Each action that computes, and each scheme."""
    for name, calls in SETTINGS.items():
        for place, (settings, families) in enumerate(calls):
            yield Thing("action", f"{name} {place + 1}", _action(name, settings), families, clock=process_time)
    for name in CASES:
        with_headers, with_body = _scheme(name)
        yield Thing("scheme", f"{name}, headers", with_headers, TEXTS, _HEADER)
        yield Thing("scheme", f"{name}, body", with_body, TEXTS)
