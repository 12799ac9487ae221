"""The flows and hosts of credentials, and the hosts that their types name."""

import pytest
from pydantic import BaseModel, SecretStr

from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.errors import PluginError, StepError
from hookline.sdk.connector import Connector
from hookline.secrets.credential_reach import HostRule, covers, named_hosts, names_host, reach_problems


class Key(BaseModel):
    base_url: str = "https://api.acme.example/v1"
    url: SecretStr | None = None
    host: str | None = None


@pytest.mark.rule(47)
@pytest.mark.parametrize(
    ("flows", "covered"),
    [((), True), (("*",), True), (("billing-*",), True), (("billing",), False), (("a", "billing-eu"), True)],
)
def test_a_credential_is_for_the_flows_that_its_patterns_match(flows: tuple[str, ...], covered: bool) -> None:
    assert covers(flows, "billing-eu") == covered


@pytest.mark.rule(47)
@pytest.mark.parametrize(
    ("entry", "url", "named"),
    [
        ("api.example", ("https", "api.example", 443), True),
        ("API.example", ("https", "api.example.", 8443), True),
        ("api.example", ("http", "api.example", 80), False),
        ("http://api.example", ("http", "api.example", 80), True),
        ("http://api.example", ("https", "api.example", 443), False),
        ("api.example:443", ("https", "api.example", 8443), False),
        ("*.example", ("https", "a.b.example", 443), True),
        ("*.example", ("https", "example", 443), False),
        ("*.example", ("https", "evilexample", 443), False),
        ("api.example", ("https", "api.example.evil", 443), False),
        ("db.example:5432", ("", "db.example", 5432), True),
        ("db.example:5432", ("", "db.example", None), False),
        ("[::1]:5432", ("", "::1", 5432), True),
    ],
)
def test_an_entry_names_hosts(entry: str, url: tuple[str, str, int | None], named: bool) -> None:
    scheme, host, port = url
    assert names_host((entry,), host, port, scheme=scheme) == named
    assert not reach_problems((), (entry,))


@pytest.mark.rule(47)
def test_a_type_names_hosts_by_the_values_of_a_credential() -> None:
    declared = ("{base_url}", "{url}", "{host}", "*.acme.example")
    assert named_hosts(declared, Key()) == ("api.acme.example:443", "*.acme.example")
    given = Key(base_url="http://h:1/x", url=SecretStr("postgresql://u:p@db/x"), host="broker")
    assert named_hosts(declared, given) == ("http://h:1", "db", "broker", "*.acme.example")
    with pytest.raises(StepError, match=r"'bank' is not sent to db.example:5432"):
        HostRule("bank", ("api.example",)).check("db.example", 5432)
    HostRule("bank").check("db.example", 5432)


@pytest.mark.parametrize("entry", ["{token}", "https://x/y", "a b", ""])
def test_a_connector_with_an_impossible_host_is_rejected(entry: str) -> None:
    with pytest.raises(PluginError, match="neither a host nor a field"):
        Connector("acme", credential=Key, hosts=(entry,))


@pytest.mark.rule(47)
def test_the_types_that_name_no_hosts_are_those_of_any_server() -> None:
    generic = {name for name, hosts in load_plugins().credential_hosts.items() if not hosts}
    assert generic == {"api-key", "basic", "bearer", "oauth2"}
