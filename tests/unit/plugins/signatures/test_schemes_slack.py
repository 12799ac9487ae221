"""`slack`: signatures, and its questions about the URL."""

import json
from datetime import UTC, datetime

import pytest
from tests.unit.plugins.signatures.scheme_harness import SECONDS, SchemeHarness

from hookline.api import NotVerified, WebhookResponse
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow
from hookline_signatures.generic.body_mac import MacCredential
from hookline_signatures.shared_secret.slack import Slack

#: From Slack's documentation of its signatures.
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
COMMAND = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SENT = {
    "x-slack-request-timestamp": "1531420618",
    "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
}
AT = datetime.fromtimestamp(1531420618, UTC)
slack = SchemeHarness(Slack(), {"secret": SECRET})


async def test_the_documented_vector_holds_and_a_command_has_no_dedupe_key() -> None:
    verified = await slack(SENT, COMMAND, at=AT)
    assert (verified.dedupe_key, verified.response) == (None, None)


async def test_what_slacks_own_library_signs_holds_and_the_event_is_the_dedupe_key() -> None:
    library = pytest.importorskip("slack_sdk.signature")
    body = '{"type": "event_callback", "event_id": "Ev1", "event": {"text": "Zoë"}}'
    signature = library.SignatureVerifier(SECRET).generate_signature(timestamp=SECONDS, body=body)
    sent = {"x-slack-request-timestamp": SECONDS, "x-slack-signature": signature}
    assert (await slack(sent, body.encode())).dedupe_key == "Ev1"


def test_slacks_own_library_takes_what_the_scheme_signs() -> None:
    library = pytest.importorskip("slack_sdk.signature")

    class Clock:
        def now(self) -> float:
            return float(SECONDS)

    verifier = library.SignatureVerifier(SECRET, clock=Clock())
    assert verifier.is_valid_request(COMMAND, slack.sign(COMMAND))


async def test_url_verification_is_answered_with_its_challenge() -> None:
    body = json.dumps({"type": "url_verification", "token": "t", "challenge": "3eZbrw1a<b>"}).encode()
    verified = await slack(slack.sign(body), body)
    assert verified.response == WebhookResponse(200, b"3eZbrw1a<b>", "text/plain; charset=utf-8")
    assert verified.dedupe_key is None


async def test_trap_4_a_forged_url_verification_is_rejected() -> None:
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1a"}).encode()
    with pytest.raises(NotVerified):
        await slack({**slack.sign(body), "x-slack-signature": "v0=" + "0" * 64}, body)
    with pytest.raises(NotVerified):
        await slack({}, body)


async def test_its_check_of_the_certificate_gets_a_200_and_any_other_get_is_judged() -> None:
    verified = await slack({}, method="GET", url="https://hooks.example/hook/shop?token=t&ssl_check=1")
    assert verified.response == WebhookResponse()
    for query in ("", "?ssl_check=0", "?ssl_check=1&ssl_check=1"):
        with pytest.raises(NotVerified):
            await slack({}, method="GET", url=f"https://hooks.example/hook/shop{query}")
    with pytest.raises(NotVerified):
        await slack({}, method="POST", url="https://hooks.example/hook/shop?ssl_check=1")


FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


async def test_its_check_of_the_certificate_by_a_form_gets_a_200_and_starts_nothing_signed_or_not() -> None:
    """Slack's own Bolt answers it before it verifies anything."""
    for body in (b"ssl_check=1&token=t", b"token=t&ssl_check=1"):
        for headers in (FORM, {**FORM, **slack.sign(body)}, {**FORM, "x-slack-signature": "v0=00"}):
            assert (await slack(headers, body)).response == WebhookResponse()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (FORM, b"ssl_check=0&token=t"),
        (FORM, b"ssl_check=1&ssl_check=1"),
        (FORM, b"text=ssl_check%3D1"),
        (FORM, b"ssl_check=1&text=" + b"x" * 1000),
        (FORM, b"\xffssl_check=1"),
        ({}, b"ssl_check=1&token=t"),
        ({"content-type": "application/json"}, b"ssl_check=1&token=t"),
    ],
)
async def test_no_other_form_passes_for_a_check_of_the_certificate(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(NotVerified):
        await slack(headers, body)
    assert (await slack({**headers, **slack.sign(body)}, body)).response is None


async def test_a_check_of_the_certificate_is_answered_by_the_hook_and_no_execution_starts() -> None:
    flow = webhook_flow(scheme=Slack(), credential="slack")
    hook = HookOverMemory(flow, credentials={"slack": ("slack", MacCredential.model_validate({"secret": SECRET}))})
    reply = await hook.send(b"ssl_check=1&token=t", FORM["content-type"])
    assert (reply.status, reply.body, hook.intake.accepted) == (200, b"", [])


def test_what_is_accepted_is_answered_with_an_empty_200() -> None:
    assert Slack.accepted == WebhookResponse(200, b"")
