"""No message chooses the names of headers, or the values of those that steer proxies, browsers and servers."""

from collections.abc import Mapping
from typing import Any, get_args, get_origin

import pytest

from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.elements.expressions import Expressions
from hookline.flows.elements.settings_check import settings_problems
from hookline.kernel.errors import StepError
from hookline.model.reach import declared_settings
from hookline.model.webhook import AcceptedAnswer, is_server_header, is_steering_header
from hookline.outbound.outgoing_request import outgoing


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


def named(annotation: Any) -> bool:
    return get_origin(annotation) in (dict, Mapping) or any(map(named, get_args(annotation)))


def problems(registry: Registry, use: str, settings: dict[str, Any]) -> list[tuple[str, str]]:
    template, found = Expressions(registry.mappers, ("jmespath",)).template(settings, "/with")
    assert not found
    codes = {"header_names_not_written", "not_from_vars"}
    checked = settings_problems(registry.actions[use], template, {"to": "x"}, "/with")
    return [(one.pointer, one.code) for one in checked if one.code in codes]


@pytest.mark.rule(54)
@pytest.mark.parametrize("kind", ["response_header", "request_header"])
def test_the_names_of_headers_stand_in_the_flow_in_every_action(registry: Registry, kind: str) -> None:
    seen = 0
    for use, action in registry.actions.items():
        for setting in declared_settings(action.settings):
            if setting.reach is not None and setting.reach.kind == kind and named(setting.annotation):
                seen += 1
                for value in ("$.headers", {"jmespath": "headers"}, {"jsonpath": "$.x", "default": {"a": "b"}}):
                    found = problems(registry, use, {setting.path: value})
                    assert "header_names_not_written" in [code for _, code in found], (use, value)
                written = {setting.path: {"x-order": "$.body.order", "a": "{{ body.a }}"}}
                assert problems(registry, use, written) == []
                assert problems(registry, use, {setting.path: {"literal": {"a": "$.b"}}}) == []
    assert seen >= 1


@pytest.mark.rule(54)
def test_a_setting_that_is_the_name_of_a_header_reads_vars_alone(registry: Registry) -> None:
    for use in ("http.request", "cloudevents.send"):
        for action in (registry.actions[use],):
            fields = [one.path for one in declared_settings(action.settings) if one.path.endswith("_header")]
            assert fields
            for name in fields:
                assert problems(registry, use, {name: "$.body.name"}) == [(f"/with/{name}", "not_from_vars")]


STEERING = [
    "Refresh",
    "Location",
    "Link",
    "WWW-Authenticate",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "SourceMap",
    "Permissions-Policy",
    "Document-Policy",
    "Cross-Origin-Opener-Policy",
    "Early-Data",
    "Content-Encoding",
    "Referrer-Policy",
]


@pytest.mark.rule(54)
@pytest.mark.parametrize("name", STEERING)
def test_no_message_chooses_a_header_of_a_reply_that_steers(registry: Registry, name: str) -> None:
    for written in (name, name.upper(), name.lower()):
        for value in ("$.body.to", "0; url={{ body.to }}", "{{ vars.to }}{{ body.to }}", "$..to"):
            found = problems(registry, "reply", {"headers": {written: value}})
            assert found == [(f"/with/headers/{written}", "not_from_vars")]
        for value in ("x", "$.vars.to", {"literal": "$.x"}):
            assert problems(registry, "reply", {"headers": {written: value}}) == []
    assert is_steering_header(name)


@pytest.mark.rule(54)
def test_a_redirect_leads_to_a_path_that_a_message_chooses_and_to_no_other_host(registry: Registry) -> None:
    assert problems(registry, "reply", {"headers": {"Location": "https://shop.example/thanks/{{ body.id }}"}}) == []
    for value in ("https://{{ body.host }}/", "/{{ body.path }}", "{{ body.url }}", "https://shop.example{{ body.x }}"):
        assert problems(registry, "reply", {"headers": {"Location": value}})


SERVER = [
    "X-Accel-Redirect",
    "X-Accel-Buffering",
    "X-Accel-Expires",
    "X-Sendfile",
    "X-Sendfile-Type",
    "X-Lighttpd-Send-File",
    "X-LiteSpeed-Location",
    "X-Reproxy-URL",
    "X-Reproxy-File",
    "Set-Cookie",
    "Clear-Site-Data",
    "Service-Worker-Allowed",
    "Strict-Transport-Security",
    "Alt-Svc",
    "NEL",
    "Report-To",
    "Reporting-Endpoints",
    "Speculation-Rules",
    "Origin-Agent-Cluster",
    "Content-Security-Policy",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Upgrade",
    "TE",
    "Trailer",
    "Proxy-Authenticate",
]


@pytest.mark.rule(54)
@pytest.mark.parametrize("name", SERVER)
def test_a_flow_sets_no_header_by_which_a_proxy_sends_something_else_or_another_page_is_affected(name: str) -> None:
    for written in (name, name.upper(), name.lower()):
        assert is_server_header(written)
        with pytest.raises(ValueError, match="leave it out"):
            AcceptedAnswer(headers={written: "x"})


@pytest.mark.rule(54)
def test_no_message_chooses_the_host_of_an_outgoing_request(registry: Registry) -> None:
    for name in ("Host", "host", "HOST"):
        headers = {"headers": {name: "$.body.host"}}
        assert problems(registry, "http.request", headers) == [(f"/with/headers/{name}", "not_from_vars")]
        assert problems(registry, "http.request", {"headers": {name: "$.vars.to"}}) == []


@pytest.mark.rule(54)
@pytest.mark.parametrize(
    "name",
    [
        *("Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "TE", "Trailer", "Expect"),
        *("Proxy-Connection", "Proxy-Authorization", "HTTP2-Settings"),
    ],
)
def test_nothing_sets_a_header_that_frames_an_outgoing_request(name: str) -> None:
    for written in (name, name.lower(), name.upper()):
        with pytest.raises(StepError, match="leave it out"):
            outgoing("POST", "https://api.example/", headers={written: "chunked"})
