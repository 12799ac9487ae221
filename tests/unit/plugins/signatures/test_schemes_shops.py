"""`shopify`, `square` and `zendesk`: MACs of the body and of what stands before it."""

import hmac
from base64 import b64encode

import pytest
from tests.unit.plugins.signatures.scheme_harness import URL, SchemeHarness

from hookline.api import NotVerified
from hookline_signatures.shared_secret.body_mac.shopify import Shopify
from hookline_signatures.shared_secret.square import Square
from hookline_signatures.shared_secret.zendesk import Zendesk

SECRET = "topsecret"
BODY = '{"event_id": "6a8f5f28-54a1", "name": "Zoë"}'.encode()
shopify = SchemeHarness(Shopify(), {"secret": SECRET})
square = SchemeHarness(Square(), {"secret": SECRET})
#: The secret that Zendesk's documentation uses.
zendesk = SchemeHarness(Zendesk(), {"secret": "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="})


def mac(message: bytes, secret: str = SECRET) -> str:
    return b64encode(hmac.digest(secret.encode(), message, "sha256")).decode()


async def test_trap_9_shopifys_event_and_topic_are_the_dedupe_key_and_no_two_pairs_read_alike() -> None:
    keys = set()
    pairs = [("e", "orders/create"), ("e", "orders/paid"), ("e", None), ('e",', "x"), ("e", '","x')]
    for event, topic in pairs:
        sent = {"x-shopify-hmac-sha256": mac(BODY), "x-shopify-event-id": event}
        keys.add((await shopify(sent | ({} if topic is None else {"x-shopify-topic": topic}), BODY)).dedupe_key)
    assert len(keys) == len(pairs)
    assert (await shopify({"x-shopify-hmac-sha256": mac(BODY)}, BODY)).dedupe_key is None


@pytest.mark.parametrize("name", ["x-shopify-event-id", "x-shopify-topic"])
@pytest.mark.parametrize("value", ["", "a b", "é", "x" * 201])
async def test_trap_1_an_id_of_shopifys_that_can_be_none_is_rejected(name: str, value: str) -> None:
    with pytest.raises(NotVerified):
        await shopify({"x-shopify-hmac-sha256": mac(BODY), "x-shopify-event-id": "e"} | {name: value}, BODY)


async def test_a_mac_in_hex_is_not_one_in_base64() -> None:
    with pytest.raises(NotVerified):
        await shopify({"x-shopify-hmac-sha256": hmac.new(SECRET.encode(), BODY, "sha256").hexdigest()}, BODY)


def test_squares_own_library_takes_what_the_scheme_signs() -> None:
    library = pytest.importorskip("square.utils.webhooks_helper")
    signed = square.sign(BODY, url=f"{URL}?shop=1")
    assert library.verify_signature(
        request_body=BODY.decode(),
        signature_header=signed["x-square-hmacsha256-signature"],
        signature_key=SECRET,
        notification_url=f"{URL}?shop=1",
    )


async def test_square_signs_the_public_url_and_its_event_is_the_dedupe_key() -> None:
    sent = {"x-square-hmacsha256-signature": mac(f"{URL}?shop=1".encode() + BODY)}
    assert (await square(sent, BODY, url=f"{URL}?shop=1")).dedupe_key == "6a8f5f28-54a1"
    for other in (URL, f"{URL}?shop=2", f"{URL}/?shop=1", f"{URL}?shop=1&"):
        with pytest.raises(NotVerified):
            await square(sent, BODY, url=other)


async def test_zendesk_signs_its_time_as_it_is_written_and_a_body_that_may_be_empty() -> None:
    secret = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="
    for at, body in (("2026-01-31T12:00:00Z", b""), ("2026-01-31T13:00:00+01:00", BODY)):
        sent = {
            "x-zendesk-webhook-signature": mac(at.encode() + body, secret),
            "x-zendesk-webhook-signature-timestamp": at,
            "x-zendesk-webhook-invocation-id": "01GJ",
        }
        assert (await zendesk(sent, body)).dedupe_key == "01GJ"
        with pytest.raises(NotVerified):
            await zendesk(sent | {"x-zendesk-webhook-signature-timestamp": "2026-01-31T12:00:01Z"}, body)


@pytest.mark.parametrize("at", ["1769860800", "2026-01-31", "2026-01-31 12:00:00Z", "2026-02-30T12:00:00Z", "now", " "])
async def test_trap_1_a_time_of_zendesks_that_is_none_is_rejected(at: str) -> None:
    sent = {
        "x-zendesk-webhook-signature": mac(at.encode(), "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="),
        "x-zendesk-webhook-signature-timestamp": at,
    }
    with pytest.raises(NotVerified):
        await zendesk(sent)
