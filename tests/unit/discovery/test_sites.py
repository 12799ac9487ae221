"""Plugins register sites, whose pages no other plugin has."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hookline.api import Site, hookimpl
from hookline.discovery.plugin_doctor import examine
from hookline.discovery.plugin_loader import load_plugins
from hookline_console import PATHS

SITE = Site("shop", Path("static"), ("orders",), Path("licenses.txt"), "build it")
WEB = Path(__file__).parents[3] / "plugins" / "hookline_console" / "web"


def plugin(*sites: Site) -> Any:
    @hookimpl
    def register_pages() -> Sequence[Site]:
        return sites

    return SimpleNamespace(register_pages=register_pages)


def test_hook_register_pages() -> None:
    registry = load_plugins([], extra_plugins=[plugin(SITE)])
    assert registry.sites == {"shop": SITE}
    assert registry.origin("page", "orders").name == "SimpleNamespace"


def test_two_plugins_cannot_have_the_same_page() -> None:
    others = plugin(replace(SITE, name="other"))
    (failed,) = load_plugins([], extra_plugins=[plugin(SITE), type("Other", (), vars(others))]).failed
    assert "the page '/' is already registered by plugin" in str(failed.error)


def test_the_console_has_a_page_for_each_of_its_routes() -> None:
    routes = (WEB / "src" / "shell" / "pages.ts").read_text(encoding="utf-8")
    first = {
        line.split('path: "/')[1].split('"')[0].split("/")[0] for line in routes.splitlines() if 'path: "/' in line
    }
    assert {"", *PATHS} == first


@pytest.mark.console_rule("K2")
def test_the_doctor_finds_a_console_that_was_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Site, "is_built", False)
    (console,) = examine("console")
    (finding,) = console.findings
    assert (finding.code, finding.severity) == ("unbuilt", "warning")
    assert "pip install --force-reinstall" in finding.remedy
