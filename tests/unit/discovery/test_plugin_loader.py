"""Plugins are taken whole or not at all, and one that can't be used is named with its cause."""

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from hookline.api import Connector, NoSettings, Scheme, hookimpl
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry


class FakeDistribution(Distribution):
    def __init__(self, name: str, version: str) -> None:
        self._named = name, version

    def read_text(self, filename: str) -> str | None:
        name, version = self._named
        return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        raise FileNotFoundError(path)


Install = Callable[..., EntryPoint]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Writes a plugin's module and gives its entry point, as an installed distribution would have it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    written: list[str] = []

    def write(name: str, source: str, distribution: str | None = None, version: str = "1.0") -> EntryPoint:
        module = f"plugin_{(distribution or name).replace('-', '_')}_{name}"
        (tmp_path / f"{module}.py").write_text("from hookline.api import *\n" + source)
        written.append(module)
        point = EntryPoint(name, module, "hookline")
        return point._for(FakeDistribution(distribution or f"{name}-plugin", version))  # type: ignore[attr-defined, no-any-return] # how importlib.metadata itself ties them

    yield write
    for module in written:
        sys.modules.pop(module, None)


ACME = '''
acme = Connector("acme")

@acme.action
async def create_order(sku: str) -> dict:
    """Create an order."""
    return {"sku": sku}

@hookimpl
def register_connectors():
    return [acme]
'''
BETA = ACME.replace("acme", "beta")


def errors(registry: Registry) -> dict[str, str]:
    return {plugin.name: plugin.error for plugin in registry.plugins if plugin.error is not None}


def test_what_a_plugin_gives_is_registered_with_its_origin(install: Install) -> None:
    registry = load_plugins([install("acme", ACME, "acme-plugin", "2.3")])
    assert list(registry.actions) == ["acme.create_order"]
    assert registry.connectors["acme"].actions["acme.create_order"] is registry.actions["acme.create_order"]
    origin = registry.origin("action", "acme.create_order")
    assert (origin.name, origin.distribution, origin.version, origin.error) == ("acme", "acme-plugin", "2.3", None)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import nonexistent_module_x", "ModuleNotFoundError: No module named 'nonexistent_module_x'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("@hookimpl\ndef register_connectors():\n    raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("@hookimpl\ndef register_connectors():\n    return None", "returned None; it must return a list of Connector"),
        ("@hookimpl\ndef register_connectors():\n    return 'acme'", "returned str 'acme'"),
        (
            "@hookimpl\ndef register_connectors():\n    return ['acme']",
            "item 0 is str 'acme'; each must be a Connector",
        ),
        ("@hookimpl\ndef register_mappers():\n    return [Mapper]", "returned the class Mapper; return an instance"),
        ("@hookimpl\ndef register_backends():\n    return []", "returned list []; it must return a dict"),
        ("@hookimpl\ndef register_backends():\n    return {'x': 'y'}", "'x' is str 'y'; it must be a factory"),
        ("@hookimpl\ndef register_connectors():\n    return [Connector('Acme!')]", "'Acme!' can't be a name"),
        ("@hookimpl\ndef register_connectors():\n    return [Connector('a', credential=dict)]", "a pydantic model"),
        ("@hookimpl\ndef register_connectors(config):\n    return []", "config"),
        ("@hookimpl(wrapper=True)\ndef register_connectors():\n    return (yield)", "wrapper"),
        (
            "def register_connectors():\n    return []",
            "register_connectors lacks its decorator: put @hookimpl above it",
        ),
        ("answer = 42", "it implements no hook: define one of register_backends"),
        ("c = Connector('c')\n@c.action\ndef f(x: int): ...", "must be an async function to be an action"),
    ],
)
def test_a_failing_plugin_is_recorded_with_its_error_and_stops_nothing_else(
    install: Install, source: str, text: str
) -> None:
    registry = load_plugins([install("broken", source, "broken-plugin", "0.1"), install("zeta", BETA)])
    assert text in errors(registry)["broken"]
    assert list(errors(registry)) == ["broken"]
    status = registry.failed[0]
    assert (status.distribution, status.version) == ("broken-plugin", "0.1")
    assert list(registry.actions) == ["beta.create_order"]


#: The thread is abandoned, so the loop has to end: it would slow down every test after this one.
_BUSY = "import time\nend = time.monotonic() + 4\nwhile time.monotonic() < end:\n    pass\n"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (_BUSY, "it took longer than 1.5 s; it was at"),
        ("import time\ntime.sleep(4)\n", "line 3: time.sleep(4)"),
        (f"@hookimpl\ndef register_connectors():\n{indent(_BUSY, '    ')}", "it took longer than 1.5 s"),
    ],
)
def test_a_plugin_that_hangs_is_left_out(install: Install, source: str, text: str) -> None:
    # A name of its own: what hangs keeps its module's lock for a while.
    name = f"broken-{abs(hash(source))}"
    # The healthy plugin gets the same limit: on a busy machine it may need a second beside the loop.
    registry = load_plugins([install("broken", source, name), install("zeta", BETA)], timeout=1.5)
    assert text in errors(registry)["broken"]
    assert list(registry.actions) == ["beta.create_order"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("raise KeyboardInterrupt\n", "it raised KeyboardInterrupt, which is reserved for Ctrl+C"),
        ("class Base(BaseException): ...\nraise Base('no')\n", "Base: no"),
    ],
)
def test_a_plugin_that_raises_what_is_no_exception_is_left_out(install: Install, source: str, text: str) -> None:
    registry = load_plugins([install("broken", source), install("zeta", BETA)])
    assert text in errors(registry)["broken"]
    assert list(registry.actions) == ["beta.create_order"]


def test_an_error_on_import_names_the_line(install: Install) -> None:
    registry = load_plugins([install("broken", "x = 1\ny = x / 0\n")])
    assert "ZeroDivisionError: division by zero" in errors(registry)["broken"]
    assert "plugin_broken_broken.py, line 3)" in errors(registry)["broken"]


def test_a_misspelt_hook_is_rejected_with_the_name_that_was_meant(install: Install) -> None:
    source = ACME + "\n@hookimpl\ndef register_conectors():\n    return []\n"
    registry = load_plugins([install("acme", source)])
    assert "there is no hook 'register_conectors': did you mean 'register_connectors'?" in errors(registry)["acme"]
    assert not registry.actions


def test_a_plugin_that_fails_late_gives_nothing_of_what_it_registered(install: Install) -> None:
    source = ACME + "\n@hookimpl\ndef register_mappers():\n    raise ValueError('late')\n"
    registry = load_plugins([install("acme", source)])
    assert not registry.actions
    assert not registry.connectors
    assert not registry.origins


def test_of_two_plugins_that_give_one_name_the_later_is_rejected_and_both_are_named(install: Install) -> None:
    other = (
        ACME + '\nmore = Connector("more")\n@hookimpl(specname="register_connectors")\ndef too():\n    return [more]\n'
    )
    points = [install("second", other, "zz-acme", "9.9"), install("first", ACME, "acme-plugin", "1.0")]
    for order in (points, points[::-1]):
        registry = load_plugins(order)
        error = errors(registry)["second"]
        assert "'second' (zz-acme 9.9)" in error
        assert "'first' (acme-plugin 1.0)" in error
        assert "the action 'acme.create_order'" in error
        assert "the connector 'acme'" in error
        assert registry.origin("action", "acme.create_order").name == "first"
        assert "more" not in registry.connectors
        assert registry.failure("more") == registry.failed[0]


def test_no_installed_package_takes_a_name_away_from_a_first_party_plugin(install: Install) -> None:
    registry = load_plugins([install("a", ACME, "a-plugin"), install("z", ACME, "hookline")])
    assert registry.origin("action", "acme.create_order").distribution == "hookline"
    assert list(errors(registry)) == ["a"]


def test_two_plugins_of_one_name_are_not_both_taken(install: Install) -> None:
    registry = load_plugins([install("acme", ACME, "b-plugin", "2"), install("acme", BETA, "a-plugin", "1")])
    assert list(registry.actions) == ["beta.create_order"]
    assert "'acme' (b-plugin 2)" in errors(registry)["acme"]
    assert "'acme' (a-plugin 1)" in errors(registry)["acme"]


def test_a_name_given_twice_by_one_plugin_is_rejected(install: Install) -> None:
    source = "@hookimpl\ndef register_connectors():\n    return [Connector('a'), Connector('a')]"
    assert "it registers two connectors named 'a'" in errors(load_plugins([install("a", source)]))["a"]


class Key(BaseModel):
    key: SecretStr


class SharedScheme(Scheme[Key, NoSettings]):
    name = "shared"
    title = "Shared"
    credential = Key

    def open(self, request: Any, credential: Key, settings: NoSettings) -> Any:
        raise NotImplementedError


class SharedPlugin:
    @hookimpl
    def register_connectors(self) -> list[Connector]:
        return [Connector("shared", credential=Key)]

    @hookimpl
    def register_schemes(self) -> list[Scheme[Any, Any]]:
        return [SharedScheme()]


def test_a_connector_and_a_scheme_may_share_one_credential_type() -> None:
    registry = load_plugins([], extra_plugins=[SharedPlugin()])
    assert not registry.failed
    assert registry.credential_types == {"shared": Key}
    assert registry.origin("credential type", "shared").name == "SharedPlugin"


def test_another_credential_type_of_the_same_name_is_rejected() -> None:
    class Other(BaseModel):
        token: str

    module = ModuleType("other")
    module.register_connectors = hookimpl(lambda: [Connector("shared", credential=Other)])  # type: ignore[attr-defined]
    registry = load_plugins([], extra_plugins=[SharedPlugin(), module])
    assert "the credential type 'shared' is already registered by plugin 'SharedPlugin'" in errors(registry)["other"]


def test_one_plugin_passed_twice_is_rejected_once() -> None:
    plugin = SharedPlugin()
    registry = load_plugins([], extra_plugins=[plugin, plugin])
    assert [status.error is None for status in registry.plugins] == [True, False]


def test_two_registries_share_nothing(install: Install) -> None:
    first, second = load_plugins([install("acme", ACME)]), load_plugins([])
    assert list(first.actions) == ["acme.create_order"]
    assert not second.actions
