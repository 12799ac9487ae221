"""`twilio`: the URL, with and without its port, and the fields of a form or a hash of the body."""

import hashlib
import hmac
from base64 import b64encode
from urllib.parse import urlencode

import pytest
from tests.unit.plugins.signatures.scheme_harness import URL, SchemeHarness

from hookline.api import NotVerified
from hookline_signatures.shared_secret.twilio import Twilio

#: From Twilio's documentation and the tests of its libraries.
DOCUMENTED = "https://mycompany.com/myapp.php?foo=1&bar=2"
FIELDS = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
JSON = b'{"property": "value", "boolean": true}'
HASHED = f"{DOCUMENTED}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
JSON_SIGNATURE = "a9nBmqA0ju/hNViExpshrM61xv4="

FORM = ("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
twilio = SchemeHarness(Twilio(), {"secret": "12345"})


def form(signature: str, **more: str) -> dict[str, str]:
    return dict([FORM, ("x-twilio-signature", signature)]) | more


async def test_the_documented_vectors_hold() -> None:
    await twilio(form(SIGNATURE), urlencode(FIELDS).encode(), url=DOCUMENTED)
    sent = {"content-type": "application/json", "x-twilio-signature": JSON_SIGNATURE}
    await twilio(sent, JSON, url=HASHED)


@pytest.mark.parametrize(
    ("public", "signed_for"),
    [
        ("https://h.example/hook/a?x=1", "https://h.example:443/hook/a?x=1"),
        ("https://h.example:8443/hook/a", "https://h.example/hook/a"),
        ("https://h.example:8443/hook/a", "https://h.example:8443/hook/a"),
        ("http://h.example/hook/a?at=12:30", "http://h.example:80/hook/a?at=12:30"),
        ("https://h.example:443/hook/a", "https://h.example/hook/a"),
    ],
)
async def test_what_twilios_own_library_signs_holds_with_and_without_the_port(public: str, signed_for: str) -> None:
    library = pytest.importorskip("twilio.request_validator")
    fields = {"Body": "Zoë & Co + 1", "From": "+1", "Empty": "", "a": "B", "A": "b"}
    signature = library.RequestValidator("12345").compute_signature(signed_for, fields)
    await twilio(form(signature), urlencode(fields).encode(), url=public)


@pytest.mark.parametrize("public", ["https://h.example/hook/a?x=1", "https://h.example:443/hook/a?x=1"])
@pytest.mark.parametrize("signed_for", ["https://h.example/hook/a?x=1", "https://h.example:443/hook/a?x=1"])
async def test_the_url_is_taken_with_and_without_its_port_and_no_other(public: str, signed_for: str) -> None:
    """As Twilio's libraries do: this needs none of them."""

    def signature(url: str) -> str:
        return b64encode(hmac.new(b"12345", f"{url}Body1".encode(), "sha1").digest()).decode()

    await twilio(form(signature(signed_for)), b"Body=1", url=public)
    for other in ("https://h.example:8443/hook/a?x=1", "http://h.example:80/hook/a?x=1"):
        with pytest.raises(NotVerified):
            await twilio(form(signature(other)), b"Body=1", url=public)


async def test_values_of_one_field_are_sorted_and_those_that_are_equal_count_once() -> None:
    library = pytest.importorskip("twilio.request_validator")

    class Several(dict[str, list[str]]):
        def getlist(self, name: str) -> list[str]:
            return self[name]

    fields = Several(MediaUrl=["b", "a", "b"], Sid=["1"])
    signature = library.RequestValidator("12345").compute_signature(URL, fields)
    await twilio(form(signature), b"Sid=1&MediaUrl=b&MediaUrl=a&MediaUrl=b")


async def test_a_shared_key_signs_with_the_algorithm_that_a_header_names() -> None:
    library = pytest.importorskip("twilio.request_validator")
    signature = library.RequestValidator("12345").compute_signature(URL, {"a": "b"}, "HMAC_SHA256")
    named = "x-twilio-webhooks-signature-settings"
    await twilio(form(signature, **{named: "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}), b"a=b")
    for other in ("algorithm=HMAC_SHA1", "algorithm=MD5", "algorithm=HMAC_SHA256,algorithm=HMAC_SHA256", "key=1"):
        with pytest.raises(NotVerified):
            await twilio(form(signature, **{named: other}), b"a=b")


def test_twilios_own_library_takes_what_the_scheme_signs() -> None:
    library = pytest.importorskip("twilio.request_validator")
    validator = library.RequestValidator("12345")
    signed = twilio.sign(urlencode(FIELDS).encode(), url=DOCUMENTED)
    assert validator.validate(DOCUMENTED, FIELDS, signed["x-twilio-signature"])
    url = f"{DOCUMENTED}&bodySHA256={hashlib.sha256(JSON).hexdigest()}"
    assert validator.validate(url, JSON.decode(), twilio.sign(JSON, url=url)["x-twilio-signature"])


async def test_a_get_is_signed_by_its_url_alone() -> None:
    signature = twilio.sign(b"", url=f"{URL}?CallSid=CA1")["x-twilio-signature"]
    await twilio({"x-twilio-signature": signature}, url=f"{URL}?CallSid=CA1", method="GET")
    with pytest.raises(NotVerified):
        await twilio({"x-twilio-signature": signature}, url=f"{URL}?CallSid=CA2", method="GET")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", JSON + b" "),
        ("application/json", b""),
        # The type isn't signed: a body that is emptied, or called a form, isn't the one whose hash the URL has.
        ("application/x-www-form-urlencoded", b""),
        ("application/x-www-form-urlencoded", b"a=b"),
    ],
)
async def test_trap_5_a_body_whose_hash_the_url_holds_is_that_body(content_type: str, body: bytes) -> None:
    with pytest.raises(NotVerified):
        await twilio({"content-type": content_type, "x-twilio-signature": JSON_SIGNATURE}, body, url=HASHED)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data; boundary=b"])
async def test_a_body_that_nothing_signs_is_rejected(content_type: str) -> None:
    signature = twilio.sign(b"")["x-twilio-signature"]
    await twilio({"x-twilio-signature": signature})
    with pytest.raises(NotVerified):
        await twilio({"content-type": content_type, "x-twilio-signature": signature}, b"{}")


@pytest.mark.parametrize(
    "body", [b"a=%FF", b"a=\xc3\xa9", b"&".join(b"a%d=1" % number for number in range(1001)), b"a=" + b"x" * 1_100_000]
)
async def test_trap_1_a_form_that_cannot_be_read_is_rejected(body: bytes) -> None:
    with pytest.raises(NotVerified):
        await twilio(form(SIGNATURE), body)


def test_a_body_that_is_no_form_is_signed_only_with_its_hash_in_the_url() -> None:
    with pytest.raises(ValueError, match="bodySHA256"):
        twilio.sign(JSON, headers=[("content-type", "application/json")])


async def test_the_idempotency_token_is_the_dedupe_key() -> None:
    sent = form(SIGNATURE) | {"i-twilio-idempotency-token": "06dbdbc4-9ea3-4b84-a7b1-a3ba0a7d6a07"}
    verified = await twilio(sent, urlencode(FIELDS).encode(), url=DOCUMENTED)
    assert verified.dedupe_key == "06dbdbc4-9ea3-4b84-a7b1-a3ba0a7d6a07"
