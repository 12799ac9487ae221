"""Hookline's own plugins: each connector is at gold, lists its errors, and each plugin's metadata is true."""

import ast
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hookline.discovery.plugin_description import describe, file_of_module, text_of
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.quality import violations
from hookline.discovery.registry import GROUP, PluginStatus
from hookline.flows.check.check_flow import check_flow
from hookline.kernel.errors import StepError
from hookline.kernel.json import encode
from hookline.sdk.connector import Connector
from hookline.testing.connector_harness import Harness
from hookline.testing.contracts.connector import ConnectorContract
from hookline.testing.fake_http import FakeHttp
from hookline_files.connectors import csv, file
from hookline_generic.connector import generic
from hookline_generic.state import state
from hookline_http.request import http

ROOT = Path(__file__).parents[3]
REGISTRY = load_plugins()
OWN = [plugin for plugin in REGISTRY.plugins if plugin.distribution == GROUP]
CONNECTORS = [connector for name, connector in REGISTRY.connectors.items() if REGISTRY.origin("connector", name) in OWN]


def plugins(*, with_connectors: bool = False) -> pytest.MarkDecorator:
    chosen = [
        plugin
        for plugin in OWN
        if plugin.error is None
        and (not with_connectors or any(REGISTRY.origin("connector", one.name) == plugin for one in CONNECTORS))
    ]
    return pytest.mark.parametrize("plugin", chosen, ids=lambda plugin: plugin.name)


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda connector: connector.name)
def test_each_connector_is_at_gold(connector: Connector) -> None:
    assert [text for _, text in violations(connector, "gold")] == []


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda connector: connector.name)
def test_the_example_of_each_is_a_flow_without_problems(connector: Connector) -> None:
    assert connector.example is not None
    assert [
        str(problem) for problem in check_flow(encode(connector.example), REGISTRY, file=connector.name).problems
    ] == []


def test_no_two_examples_have_one_id() -> None:
    ids = [connector.example["id"] for connector in CONNECTORS if connector.example is not None]
    assert sorted(set(ids)) == sorted(ids)


def codes_in(package: Path) -> Iterator[str]:
    """Each error code that a plugin's source names as one, its varying parts in angle brackets."""
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for keyword in node.keywords if isinstance(node, ast.Call) else ():
                if keyword.arg != "code":
                    continue
                if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
                    yield keyword.value.value
                elif isinstance(keyword.value, ast.JoinedStr):
                    yield "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "<varies>"
                        for part in keyword.value.values
                    )


@plugins(with_connectors=True)
def test_each_error_code_in_a_plugins_source_is_listed_by_one_of_its_connectors(plugin: PluginStatus) -> None:
    listed: set[str] = set()
    for connector in CONNECTORS:
        if REGISTRY.origin("connector", connector.name) == plugin:
            listed.update(connector.errors or {})
    package = ROOT / "plugins" / plugin.module
    # Those of requests and of the engine are documented once for all.
    own = {code for code in codes_in(package) if not code.startswith(("http.", "step."))}
    shapes = [re.compile("[a-z0-9_]+".join(map(re.escape, code.split("<varies>")))) for code in sorted(own)]
    plain = {re.sub(r"<[a-z]+>", "x", code) for code in listed}
    assert [shape.pattern for shape in shapes if not any(shape.fullmatch(code) for code in plain)] == []


@plugins()
def test_what_a_plugins_file_says_is_what_it_gives(plugin: PluginStatus) -> None:
    path = file_of_module(plugin.module)
    assert path is not None
    assert path.is_file(), f"hookline plugins describe {GROUP} --write"
    assert path.read_text(encoding="utf-8") == text_of(describe(REGISTRY, plugin))


class TestHttp(ConnectorContract):
    connector = http
    calls: ClassVar[dict[str, Any]] = {"http.request": {"url": "https://erp.example/orders", "query": {"open": True}}}
    level = "gold"

    def answers(self, http: FakeHttp) -> None:
        http.answers("GET", "https://erp.example/orders?open=true", [{"id": 1}])


class TestFile(ConnectorContract):
    connector = file
    calls: ClassVar[dict[str, Any]] = {
        "file.write": {"path": "orders/1.json", "content": {"id": 1}},
        "file.read": {"path": "orders.json", "format": "json"},
        "file.list": {},
        "file.exists": {"path": "orders.json"},
        "file.copy": {"path": "orders.json", "to": "copies/orders.json"},
        "file.move": {"path": "orders/1.json", "to": "done/1.json"},
        "file.delete": {"path": "done/1.json"},
        "file.new": {"folder": ""},
    }
    level = "gold"

    @pytest.fixture
    async def harness(self) -> Any:
        made = Harness(REGISTRY)
        (made.files_root / "orders.json").write_text('{"id": 1}')
        yield made
        await made.close()


class TestCsv(ConnectorContract):
    connector = csv
    calls: ClassVar[dict[str, Any]] = {
        "csv.parse": {"text": "id;n\n1;2\n", "delimiter": ";"},
        "csv.render": {"rows": [{"id": 1}]},
    }
    level = "gold"


class TestGeneric(ConnectorContract):
    connector = generic
    calls: ClassVar[dict[str, Any]] = {
        "map": {"body": {"id": 1}},
        "filter": {"keep": True},
        "log": {"message": "hello"},
        "sleep": {"for": "1s"},
        "stop": {},
        "reply": {"status": 202},
        "fail": {"message": "no"},
        "pick": {"keep": ["id"], "missing": "ignore"},
        "rename": {"keys": {"id": "number"}, "missing": "ignore"},
    }
    level = "gold"

    async def _runs(self, harness: Harness) -> Mapping[str, Callable[[], Awaitable[Any]]]:
        runs = dict(await super()._runs(harness))
        fail = runs["fail"]

        async def fails() -> None:
            # What it is for is to raise.
            with pytest.raises(StepError, match="no"):
                await fail()

        return {**runs, "fail": fails}


class TestState(ConnectorContract):
    connector = state
    calls: ClassVar[dict[str, Any]] = {
        "state.get": {"key": "orders"},
        "state.set": {"key": "orders", "value": 1},
    }
    level = "gold"
