"""Who sends: addresses behind proxies, allow lists, and the rate of a client."""

import json
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hookline.kernel.errors import TooManyRequests
from hookline.model.webhook import WebhookSettings
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.hooks.sender import ForwardedHeader, Senders
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

INSIDE = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def seen(peer: str | None, value: str | None, header: ForwardedHeader = "x-forwarded-for") -> str:
    headers = {} if value is None else {header: value}
    return str(Senders(INSIDE, header).address(peer, headers))


@pytest.mark.parametrize(
    ("peer", "value", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        # A sender that isn't a trusted proxy can write what it likes.
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        # Only the entry that the proxy itself has added counts.
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9,198.51.100.7 , 10.9.9.9", "198.51.100.7"),
        # All of them are ours: the request began inside.
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("fd00::1", "198.51.100.7", "198.51.100.7"),
        # What can't be read is nobody's address, and least of all that of what stands before it.
        ("10.0.0.1", "203.0.113.9, unknown", "None"),
        ("10.0.0.1", "203.0.113.9, ", "None"),
        ("10.0.0.1", "", "None"),
        # IPv4 on a socket for both kinds.
        ("::ffff:10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        (None, "198.51.100.7", "None"),
    ],
)
def test_addresses_are_read_from_the_right_through_trusted_proxies_only(
    peer: str | None, value: str | None, client: str
) -> None:
    assert seen(peer, value) == client


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=198.51.100.7", "198.51.100.7"),
        ('for=203.0.113.9, For="198.51.100.7:80";proto=https;by=10.0.0.1', "198.51.100.7"),
        ('proto=https;for="[2001:db8::1]:4711"', "2001:db8::1"),
        ('for=198.51.100.7;host="a,b;for=203.0.113.9", for=10.0.0.2', "198.51.100.7"),
        ("for=203.0.113.9, for=_hidden", "None"),
        ("for=203.0.113.9, proto=https", "None"),
        # Addresses that aren't quoted, as some proxies write them.
        ("for=[2001:db8::1]:4711", "2001:db8::1"),
        ("for=198.51.100.7:80 ; proto=https;", "198.51.100.7"),
        # What two readers could read as two addresses is none.
        ("for=203.0.113.9;for=198.51.100.7", "None"),
        ("for=203.0.113.9 for=198.51.100.7", "None"),
        ("nonsense, for=198.51.100.7", "198.51.100.7"),
    ],
)
def test_forwarded_is_read_as_rfc_7239_says(value: str, client: str) -> None:
    assert seen("10.0.0.1", value, "forwarded") == client


@pytest.mark.parametrize(
    "own",
    [
        "for=198.51.100.7",
        'for="198.51.100.7:80"',
        'for="[2001:db8::1]:80";host="a"',
        # The Host header is the sender's as well, and a proxy may quote it.
        r'for=198.51.100.7;host="\",for=203.0.113.9;x="',
        r'for=198.51.100.7;host=",for=203.0.113.9;x=\""',
        r'for=198.51.100.7;host=",x=\",for=203.0.113.9"',
        r'for=198.51.100.7;host=",for=203.0.113.9,a=\"\"\""',
    ],
)
@pytest.mark.parametrize("left_open", ['for=203.0.113.9;x="', 'for=203.0.113.9;x="\\', '"', 'for="203.0.113.9'])
def test_a_quote_that_a_sender_leaves_open_hides_nothing_that_a_proxy_writes(left_open: str, own: str) -> None:
    assert seen("10.0.0.1", f"{left_open}, {own}", "forwarded") == "None"


def test_a_header_that_the_proxies_dont_write_is_not_read() -> None:
    clients = Senders(INSIDE, "x-forwarded-for")
    headers = {"forwarded": "for=203.0.113.9", "x-forwarded-for": "198.51.100.7"}
    assert str(clients.address("10.0.0.1", headers)) == "198.51.100.7"
    assert str(Senders(INSIDE, "forwarded").address("10.0.0.1", headers)) == "203.0.113.9"


@given(st.text(max_size=200), st.sampled_from(["x-forwarded-for", "forwarded"]))
def test_whatever_a_sender_writes_before_the_proxys_own_word_changes_nothing(
    text: str, header: ForwardedHeader
) -> None:
    own = "198.51.100.7" if header == "x-forwarded-for" else "for=198.51.100.7"
    assert seen("10.0.0.1", f"{text}, {own}", header) in ("198.51.100.7", "None")


def test_a_very_long_header_costs_a_bounded_time() -> None:
    assert seen("10.0.0.1", "10.0.0.2," * 100_000 + "10.0.0.3") == "10.0.0.2"
    assert seen("10.0.0.1", "for=10.0.0.2," * 100_000 + "for=198.51.100.7", "forwarded") == "198.51.100.7"


def webhook(**settings: object) -> WebhookSettings:
    return WebhookSettings.model_validate({"verify": "none", **settings})


def test_a_client_has_its_own_rate() -> None:
    clients, settings = Senders(), webhook(client_rate="2/s")
    one, other = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    for _ in range(2):
        clients.check_rate("orders", settings, one, 100.0)
    with pytest.raises(TooManyRequests) as rejected:
        clients.check_rate("orders", settings, one, 100.0)
    assert rejected.value.retry_after == pytest.approx(0.5)
    clients.check_rate("orders", settings, other, 100.0)
    clients.check_rate("invoices", settings, one, 100.0)
    clients.check_rate("orders", settings, one, 100.6)


def test_a_site_with_many_ipv6_addresses_is_one_client() -> None:
    clients, settings = Senders(), webhook(client_rate="1/m")
    clients.check_rate("orders", settings, ip_address("2001:db8::1"), 0.0)
    with pytest.raises(TooManyRequests):
        clients.check_rate("orders", settings, ip_address("2001:db8::ffff:2"), 0.0)
    clients.check_rate("orders", settings, ip_address("2001:db8:0:1::1"), 0.0)


def test_so_many_clients_are_remembered_and_no_more() -> None:
    clients, settings = Senders(remembered=3), webhook(client_rate="1/h")
    for number in range(100):
        clients.check_rate("orders", settings, ip_address(number), 0.0)
    for number in (97, 98, 99):
        with pytest.raises(TooManyRequests):
            clients.check_rate("orders", settings, ip_address(number), 0.0)
    clients.check_rate("orders", settings, ip_address(96), 0.0)


def test_networks_of_ipv4_addresses_within_ipv6_hold_those_addresses() -> None:
    networks = webhook(allow_from=["::ffff:192.0.2.0/120", "::ffff:10.0.0.1", "::/0"]).allow_from
    assert networks == (ip_network("192.0.2.0/24"), ip_network("10.0.0.1"), ip_network("::/0"))


@pytest.mark.parametrize("given", [["10.0.0.1/8"], ["here"], ["10.0.0.0/40"], "10.0.0.0/8"])
def test_what_is_no_network_is_a_problem(given: object) -> None:
    with pytest.raises(ValidationError):
        webhook(allow_from=given)


async def test_an_address_that_isnt_allowed_gets_the_answer_of_a_wrong_signature_and_counts_by_itself() -> None:
    hook = HookOverMemory(webhook_flow(allow_from=["10.0.0.0/8", "2001:db8::/32"]))
    reply = await hook.send(b"{}")
    assert reply.status == 401
    assert json.loads(reply.body)["code"] == "request.not_verified"
    assert hook.metrics == [("orders", "request.address")]
    assert hook.intake.accepted == []


async def test_an_allow_list_judges_the_address_behind_the_proxy() -> None:
    options = HookOptions("https://hooks.example", trusted_proxies=(ip_network("192.0.2.0/24"),))
    hook = HookOverMemory(webhook_flow(allow_from=["10.0.0.0/8"]), options=options)
    for value, status in ((b"10.1.2.3", 202), (b"10.1.2.3, 198.51.100.7", 401), (b"nonsense", 401)):
        assert (await hook.send(b"{}", headers=[(b"x-forwarded-for", value)])).status == status
    assert hook.intake.accepted[0].arrival.client == "10.1.2.3"


@pytest.mark.rule(4)
async def test_a_clients_rate_is_judged_before_its_body_is_read_and_after_its_declared_size() -> None:
    """Declared size 413, client rate 429, media type 415."""
    hook = HookOverMemory(webhook_flow(client_rate="1/m", max_body=10, media_types=["application/json"]))
    assert (await hook.send(b"{}")).status == 202
    rejected = await hook.send(b"<a/>", "application/xml")
    assert rejected.status == 429
    assert dict(rejected.headers)[b"retry-after"] == b"60"
    assert (await hook.send(b"x" * 11, "application/xml")).status == 413
    hook.clock.at = hook.clock.at.replace(minute=2)
    assert (await hook.send(b"<a/>", "application/xml")).status == 415
    assert hook.metrics[0] == ("orders", "request.too_many")
