"""The guard on outgoing requests: which addresses are inside, and what the setting allows."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.errors import ConfigError
from hookline.outbound.egress import Egress, host_rejected, is_inside

INSIDE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",  # metadata, Alibaba
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # metadata, Azure
    "169.254.169.254",  # metadata, nearly everywhere
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",  # metadata, Oracle
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",  # translated, RFC 2765
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001:db8::1",
    "2001:0:7f00:1::",  # Teredo, by way of an inside server
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo, of 127.0.0.1
    "2001:10::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2600::5efe:10.0.0.1",  # ISATAP
    "2600::200:5efe:127.0.0.1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",  # metadata, AWS
    "fd20:ce::254",  # metadata, Google
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
OUTSIDE = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "193.0.0.1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.rule(35)
@pytest.mark.parametrize("address", INSIDE)
def test_an_inside_address_is_rejected(address: str) -> None:
    assert is_inside(ipaddress.ip_address(address))
    assert not Egress().allows(address, "erp.example", 443)


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_public_address_is_allowed(address: str) -> None:
    assert Egress().allows(address, "api.example", 443)


@pytest.mark.parametrize(
    "address", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost", "", "1.2.3.4.5", "[::1]"]
)
def test_what_is_no_address_as_written_is_rejected(address: str) -> None:
    assert not Egress().allows(address, address, 80)
    assert not Egress([]).allows(address, "h", 80)


def test_a_zone_hides_no_address() -> None:
    assert not Egress().allows("fe80::1%eth0", "h", 80)
    assert not Egress().allows("::1%1", "h", 80)


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_judged_the_same_in_each_ipv6_form(number: int) -> None:
    plain = ipaddress.IPv4Address(number)
    for form in (
        f"::ffff:{plain}",
        f"64:ff9b::{plain}",
        str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1)),
    ):
        # 6to4 of a public address is public; all forms of an inside one are inside.
        assert is_inside(ipaddress.ip_address(form)) == is_inside(plain)


@given(st.ip_addresses(v=6))
def test_outside_ipv6_is_global_unicast_or_leads_to_public_ipv4(address: ipaddress.IPv6Address) -> None:
    if not is_inside(address):
        assert int(address) >> 125 == 1 or address.ipv4_mapped or str(address).startswith("64:ff9b::")


@pytest.mark.parametrize(
    ("entry", "address", "host", "port", "allowed"),
    [
        ("10.0.0.0/8", "10.1.2.3", "a", 80, True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", "a", 80, True),
        ("10.0.0.0/8", "64:ff9b::10.1.2.3", "a", 80, True),
        ("10.0.0.0/8", "11.0.0.1", "a", 80, True),  # public
        ("10.0.0.0/8", "127.0.0.1", "a", 80, False),
        ("10.1.2.3", "10.1.2.3", "a", 1, True),
        ("10.1.2.3", "10.1.2.4", "a", 1, False),
        ("10.1.2.3:8080", "10.1.2.3", "a", 8080, True),
        ("10.1.2.3:8080", "10.1.2.3", "a", 80, False),
        ("10.0.0.0/8:8080", "10.1.2.3", "a", 8080, True),
        ("10.0.0.0/8:8080", "10.1.2.3", "a", 8081, False),
        ("::1", "::1", "a", 80, True),
        ("[::1]:80", "::1", "a", 80, True),
        ("[::1]:80", "::1", "a", 81, False),
        ("fd00::/8", "fd00::1", "a", 80, True),
        ("erp.internal", "192.168.0.9", "erp.internal", 80, True),
        ("erp.internal", "192.168.0.9", "ERP.internal.", 80, True),
        ("ERP.internal", "192.168.0.9", "erp.internal", 80, True),
        ("erp.internal", "192.168.0.9", "other.internal", 80, False),
        ("erp.internal", "192.168.0.9", "x.erp.internal", 80, False),
        ("erp.internal:8443", "192.168.0.9", "erp.internal", 8443, True),
        ("erp.internal:8443", "192.168.0.9", "erp.internal", 443, False),
        ("bücher.internal", "192.168.0.9", "xn--bcher-kva.internal", 80, True),
        ("localhost", "127.0.0.1", "127.0.0.1", 80, False),
    ],
)
def test_the_setting_allows_what_it_names_and_no_more(
    entry: str, address: str, host: str, port: int, allowed: bool
) -> None:
    assert Egress([entry]).allows(address, host, port) is allowed


@pytest.mark.parametrize(
    "entry",
    ["", "10.0.0.0/33", "10.0.0.256", "a:b:c", "http://erp.internal", "erp.internal:0", "erp:99999", "[::1", "a b"],
)
def test_an_entry_that_means_nothing_is_an_error_that_shows_what_is_right(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"HOOKLINE_EGRESS_ALLOW.*10\.0\.0\.0/8"):
        Egress([entry])


def test_the_error_names_host_address_and_setting() -> None:
    error = host_rejected("erp.internal", 8443, ["10.0.0.7", "10.0.0.7"])
    assert error.error_code == "http.egress"
    assert not error.retryable
    assert "erp.internal:8443" in error.message
    assert "10.0.0.7 is" in error.message
    assert "HOOKLINE_EGRESS_ALLOW" in error.message
    assert "[::1]:80" in host_rejected("::1", 80, ["::1"]).message
