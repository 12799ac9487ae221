"""A node that only accepts messages imports no connector, and knows of them what their metadata says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.installed_plugins import Site

from hookline.discovery.plugin_description import FORMAT
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.check.check_flow import check_flow
from hookline.flows.compiler.compile import compile_flow
from hookline.kernel.errors import NoConnectors

SOURCE = """
from hookline.api import *

@hookimpl
def register_connectors():
    raise AssertionError("a node that only accepts messages has called this")

class Acme(Scheme[NoSettings, None]):
    name = "acme"
    title = "Acme"
    settings = NoSettings
    credential = None
    def open(self, request, credential, settings):
        raise NotVerified()

@hookimpl
def register_schemes():
    return [Acme()]
"""
CONNECTOR = {
    "name": "acme",
    "title": "Acme",
    "credential": "acme",
    "triggers": [
        {"name": "acme.events", "title": "", "requests": {"scheme": "github"}},
        {"name": "acme.orders", "title": "", "polls": True},
        {"name": "acme.messages", "title": ""},
    ],
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(tmp_path / "site", monkeypatch)
    yield site
    site.forget()


def _described(**parts: object) -> str:
    return json.dumps({"format": FORMAT, **parts})


def _flow(trigger: dict[str, object], *steps: dict[str, object]) -> bytes:
    return json.dumps({"id": "orders", "trigger": trigger, "steps": list(steps)}).encode()


@pytest.mark.cluster_rule("C5")
def test_no_module_of_a_shipped_connector_is_imported() -> None:
    code = (
        "import sys; from hookline.discovery.plugin_loader import load_plugins;"
        "registry = load_plugins(connectors=False);"
        "assert not registry.failed, registry.failed;"
        "print(*(name for name in sys.modules if name.startswith('hookline_')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    packages = {name.partition(".")[0] for name in imported}
    assert packages == {
        "hookline_blobs",
        "hookline_cloudevents",
        "hookline_console",  # each node serves the pages
        "hookline_generic",
        "hookline_mapping",
        "hookline_nats",
        "hookline_s3",
        "hookline_signatures",
        "hookline_sqlstore",
    }
    assert not imported & {
        "hookline_generic.actions",
        "hookline_generic.state",
        "hookline_s3.connector",
        "hookline_cloudevents.send",
    }


def test_a_plugin_whose_metadata_names_only_connectors_is_not_imported(site: Site) -> None:
    site.install("acme", "raise AssertionError('imported')", described=_described(connectors=[CONNECTOR]))
    registry = load_plugins(connectors=False)
    assert registry.failed == ()
    assert "acme" not in sys.modules


def test_of_a_plugin_with_other_parts_only_these_are_asked_for(site: Site) -> None:
    parts = {"connectors": [CONNECTOR], "schemes": [{"name": "acme", "title": "Acme"}]}
    site.install("acme", SOURCE, described=_described(**parts))
    registry = load_plugins(connectors=False)
    assert registry.failed == ()
    assert "acme" in registry.schemes
    assert registry.connectors == {}


EARLIER = json.dumps(
    {"format": 1, "connectors": [{"name": "acme", "title": "", "triggers": [{"name": "a.b", "title": ""}]}]}
)


@pytest.mark.parametrize("described", [None, "not JSON", _described() + "}", EARLIER])
def test_only_loading_it_tells_what_a_plugin_without_metadata_has(site: Site, described: str | None) -> None:
    source = "from hookline.api import *\n\n@hookimpl\ndef register_connectors():\n    return [Connector('acme')]\n"
    site.install("acme", source, described=described)
    assert "acme" in load_plugins(connectors=False).connectors


@pytest.fixture(scope="module")
def without() -> Registry:
    return load_plugins(connectors=False)


@pytest.fixture(scope="module")
def whole() -> Registry:
    return load_plugins()


STEPS = (
    {"use": "slack.post", "credential": "slack", "with": {"channel": "$.body.channel", "unheard_of": [1]}},
    {"use": "not.installed", "rate": "5/s", "delivery": "at_most_once"},
    {"use": "acme.create@2", "retry": {"attempts": 3}},
)


def test_a_flow_is_compiled_whatever_its_actions_are(without: Registry) -> None:
    webhook = {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.id"}}
    flow = compile_flow(_flow(webhook, *STEPS), without)
    assert flow.trigger.webhook is not None
    assert flow.trigger.dedupe_key is not None
    assert flow.credentials == {"slack"}


@pytest.mark.parametrize(
    "trigger",
    [
        {"use": "github.events", "credential": "bot", "with": {"repository": "acme/shop", "events": ["push"]}},
        {"use": "stripe.events", "credential": "stripe", "with": {"events": ["charge.failed"], "respond": "finished"}},
        {"use": "email.messages", "credential": "mail", "with": {"folder": "INBOX", "numbers": "exact"}},
        {"use": "mqtt.messages", "credential": "mqtt", "with": {"topics": ["a/b"], "prefetch": 5}},
    ],
)
def test_triggers_of_connectors_are_accepted_for_as_with_their_connectors(
    without: Registry, whole: Registry, trigger: dict[str, object]
) -> None:
    here, there = (compile_flow(_flow(trigger), registry) for registry in (without, whole))
    assert here.version == there.version
    assert here.trigger.webhook == there.trigger.webhook
    assert here.trigger.scheme_settings == there.trigger.scheme_settings
    assert type(here.trigger.scheme) is type(there.trigger.scheme)
    assert here.credentials == there.credentials
    assert (here.exact, here.direct) == (there.exact, there.direct)


def test_the_console_is_served_without_connectors(without: Registry, whole: Registry) -> None:
    assert "console" in without.sites
    assert without.sites == whole.sites


def test_flows_are_not_checked_without_connectors(without: Registry) -> None:
    with pytest.raises(NoConnectors, match="a node with another role"):
        check_flow(_flow({"use": "manual"}), without)
