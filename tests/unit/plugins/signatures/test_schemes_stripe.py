"""`stripe`: a header of several entries."""

import hmac
import json

import pytest
from tests.unit.plugins.signatures.scheme_harness import NOW, SECONDS, SchemeHarness

from hookline.api import NotVerified
from hookline_signatures.shared_secret.stripe import Stripe

SECRET = "whsec_topsecret"
BODY = '{"id": "evt_1", "object": "event", "data": {"customer": "Zoë"}}'
MAC = hmac.new(SECRET.encode(), f"{SECONDS}.{BODY}".encode(), "sha256").hexdigest()
stripe = SchemeHarness(Stripe(), {"secret": SECRET})


async def test_what_stripes_own_library_signs_holds_and_the_event_is_the_dedupe_key() -> None:
    library = pytest.importorskip("stripe")
    header = library.WebhookSignature.generate_signature_header(BODY, SECRET, timestamp=int(SECONDS))
    assert (await stripe({"stripe-signature": header}, BODY.encode())).dedupe_key == "evt_1"


def test_stripes_own_library_takes_what_the_scheme_signs() -> None:
    library = pytest.importorskip("stripe")
    header = SchemeHarness(Stripe(), {"secret": ["whsec_new_one", SECRET]}).sign(BODY.encode())["stripe-signature"]
    for secret in (SECRET, "whsec_new_one"):
        assert library.WebhookSignature.verify_header(BODY, header, secret)


@pytest.mark.parametrize(
    "header",
    [
        f"t={SECONDS},v1=00,v1={MAC}",
        f"t={SECONDS},v1={MAC},v1=zz",
        f"v1={MAC},t={SECONDS}",
        f"t={SECONDS}, v0=ff, v1={MAC}",
        f"t={SECONDS},v1,v2={MAC},v1={MAC},=,",
    ],
)
async def test_trap_3_wrong_entries_do_not_hide_a_right_one(header: str) -> None:
    assert (await stripe({"stripe-signature": header}, BODY.encode())).dedupe_key == "evt_1"


@pytest.mark.parametrize(
    "header",
    [
        f"v1={MAC}",
        f"t={SECONDS}",
        f"t={SECONDS},v1=",
        f"t={SECONDS},v1={MAC[:-2]}",
        f"t={SECONDS},v1={MAC}00",
        f"t={SECONDS},v0={MAC}",
        f"t={SECONDS},t={SECONDS},v1={MAC}",
        f"t=0{SECONDS},v1={MAC}",
        f"t= {SECONDS},v1={MAC}",
        f"t={SECONDS}.0,v1={MAC}",
        f"t={int(SECONDS) + 1},v1={MAC}",
        f"t=²,v1={MAC}",
        "t=,v1=,",
        "," * 500,
        f"t={SECONDS}," + "v1=00," * 40 + f"v1={MAC}",
    ],
)
async def test_trap_1_a_malformed_header_is_rejected(header: str) -> None:
    with pytest.raises(NotVerified):
        await stripe({"stripe-signature": header}, BODY.encode())


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[]", b'{"id": 7}', b'{"object": "event"}', b"[" * 100_000])
async def test_trap_4_a_body_without_an_id_holds_and_has_no_dedupe_key(body: bytes) -> None:
    assert (await stripe(stripe.sign(body), body)).dedupe_key is None


async def test_trap_12_a_rolled_secret_is_taken_with_the_old_one() -> None:
    both = SchemeHarness(Stripe(), {"secret": ["whsec_new_one", SECRET]})
    await both({"stripe-signature": f"t={SECONDS},v1={MAC}"}, BODY.encode())
    with pytest.raises(NotVerified):
        await SchemeHarness(Stripe(), {"secret": "whsec_new_one"})(
            {"stripe-signature": f"t={SECONDS},v1={MAC}"}, BODY.encode()
        )


async def test_a_large_event_holds_without_a_dedupe_key() -> None:
    body = json.dumps({"id": "evt_1", "text": "x" * 5_000_000}).encode()
    assert (await stripe(stripe.sign(body), body, at=NOW)).dedupe_key is None
