"""Schemes that read in the body: Linear's time, Graph's state, Zoom's and Xero's handshakes."""

import hmac
import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from hookline.api import NotVerified, Scheme, SignedRequest, Verified, WebhookResponse
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow
from hookline_signatures.building_blocks.json_body import LONGEST
from hookline_signatures.shared_secret.body_mac.dropbox import Dropbox
from hookline_signatures.shared_secret.body_mac.xero import Xero
from hookline_signatures.shared_secret.linear import Linear
from hookline_signatures.shared_secret.microsoft_graph import MicrosoftGraph
from hookline_signatures.shared_secret.zoom import Zoom

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MILLISECONDS = int(NOW.timestamp() * 1000)
SECRET = "topsecret"
KEY = {"secret": SECRET}
STATE = {"client_state": ["topsecret", "older one"]}
URL = "https://h.example/hook/a"


def request(headers: Any = (), method: str = "POST", query: str = "") -> SignedRequest:
    return SignedRequest(method, f"{URL}?{query}" if query else URL, tuple(headers), NOW, None)  # type: ignore[arg-type] # fetches nothing


async def verify(scheme: Scheme[Any, Any], credential: Any, sent: SignedRequest, body: bytes = b"") -> Verified:
    assert scheme.credential is not None
    check = scheme.open(sent, scheme.credential.model_validate(credential), scheme.settings())
    check.feed(body)
    return await check.finish()


def linear(body: bytes) -> SignedRequest:
    return request([("linear-signature", hmac.new(SECRET.encode(), body, "sha256").hexdigest())])


async def test_linears_time_is_read_in_the_body() -> None:
    body = b'{"action":"create","webhookTimestamp":%d}' % MILLISECONDS
    sent = request([*linear(body).headers, ("linear-delivery", "234d1a4e-b617")])
    assert await verify(Linear(), KEY, sent, body) == Verified("234d1a4e-b617")


@pytest.mark.parametrize(
    "body",
    [
        b'{"action":"create"}',
        b'{"webhookTimestamp":null}',
        b'{"webhookTimestamp":"%d"}' % MILLISECONDS,
        b'{"webhookTimestamp":%d}' % (MILLISECONDS // 1000),
        b'{"webhookTimestamp":%d}' % (MILLISECONDS - 60_001),
        b'{"webhookTimestamp":%d}' % (MILLISECONDS + 60_001),
        b'{"webhookTimestamp":1%s}' % (b"0" * 400),
        b'{"webhookTimestamp":1e999}',
        b'[{"webhookTimestamp":%d}]' % MILLISECONDS,
        b"webhookTimestamp",
        b"\xff",
        b"",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"webhookTimestamp":%d,"a":"%s"}' % (MILLISECONDS, b"a" * LONGEST),
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_trap_1_what_linear_signed_without_a_time_that_is_right_is_rejected(body: bytes) -> None:
    with pytest.raises(NotVerified):
        await verify(Linear(), KEY, linear(body), body)


async def test_linears_time_may_be_a_minute_off_and_no_more() -> None:
    for off in (-60_000, 60_000):
        body = b'{"webhookTimestamp":%d}' % (MILLISECONDS + off)
        await verify(Linear(), KEY, linear(body), body)


def test_a_body_is_completed_without_changing_the_rest() -> None:
    assert Linear.credential is not None
    credential = Linear.credential.model_validate(KEY)
    completed = Linear().complete(request(), b'{"z":1.10,"webhookTimestamp":0,"a":[ ]}', credential, Linear.settings())  # type: ignore[arg-type] # the models are the scheme's own
    assert completed == b'{"z":1.10,"webhookTimestamp":%d,"a":[ ]}' % MILLISECONDS
    with pytest.raises(ValueError, match="isn't a JSON object"):
        Linear().complete(request(), b"[]", credential, Linear.settings())  # type: ignore[arg-type] # as above


def notifications(*states: Any) -> bytes:
    return json.dumps({"value": [{"changeType": "created", "clientState": state} for state in states]}).encode()


async def test_trap_12_graphs_notifications_show_one_of_the_states() -> None:
    for body in (notifications("topsecret"), notifications("older one"), notifications("topsecret", "older one")):
        assert await verify(MicrosoftGraph(), STATE, request(), body) == Verified()


@pytest.mark.parametrize(
    "body",
    [
        notifications("wrong"),
        notifications("topsecret", "wrong"),
        notifications("wrong", "topsecret"),
        notifications("topsecret", None),
        notifications(["topsecret"]),
        notifications("Topsecret"),
        notifications(""),
        notifications(),
        b'{"value":[{"clientState":"topsecret"},{}]}',
        b'{"value":{"clientState":"topsecret"}}',
        b'{"clientState":"topsecret"}',
        b'{"value":[{"clientState":"topsecret"}],"value":[{"clientState":"wrong"}]}',
        b'{"value":[{"clientState":"\\ud800"}]}',
        b"null",
        b"topsecret",
        b"",
    ],
)
async def test_trap_1_graphs_notifications_without_the_right_state_are_rejected(body: bytes) -> None:
    with pytest.raises(NotVerified):
        await verify(MicrosoftGraph(), STATE, request(), body)


async def test_graphs_validation_token_is_given_back_as_text() -> None:
    # The example of Microsoft's documentation, encoded as it is sent.
    sent = request(query="validationToken=Validation%3a+Testing+client+application+reachability+for+%C3%A9")
    verified = await verify(MicrosoftGraph(), STATE, sent)
    assert verified.response == WebhookResponse(
        200, "Validation: Testing client application reachability for é".encode(), "text/plain; charset=utf-8"
    )


@pytest.mark.parametrize("query", ["validationToken=", "validationToken=a&validationToken=b", "validationToken=%ff"])
async def test_no_other_validation_token_is_answered(query: str) -> None:
    with pytest.raises(NotVerified):
        await verify(MicrosoftGraph(), STATE, request(query=query), notifications("topsecret"))


def zoom(body: bytes, secret: str = SECRET) -> SignedRequest:
    seconds = str(int(NOW.timestamp()))
    mac = hmac.new(secret.encode(), f"v0:{seconds}:".encode() + body, "sha256").hexdigest()
    return request([("x-zm-request-timestamp", seconds), ("x-zm-signature", f"v0={mac}")])


VALIDATION = (
    b'{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}'
)


@pytest.mark.parametrize("used", ["topsecret", "older one"])
async def test_trap_12_zooms_validation_is_answered_with_the_secret_that_signed_it(used: str) -> None:
    verified = await verify(Zoom(), {"secret": ["topsecret", "older one"]}, zoom(VALIDATION, used), VALIDATION)
    assert verified.response is not None
    token = "qgg8vlvZRS6UYooatFL8Aw"
    proof = hmac.new(used.encode(), token.encode(), "sha256").hexdigest()
    assert json.loads(verified.response.body) == {"plainToken": token, "encryptedToken": proof}
    assert (verified.response.status, verified.response.media_type) == (200, "application/json")


async def test_trap_4_no_forged_validation_is_answered() -> None:
    # An answer to a token of an attacker's choice would be a signature for a body of their choice.
    with pytest.raises(NotVerified):
        await verify(Zoom(), KEY, zoom(VALIDATION, "another secret"), VALIDATION)
    with pytest.raises(NotVerified):
        await verify(Zoom(), KEY, request(), VALIDATION)


@pytest.mark.parametrize(
    "body",
    [
        b'{"event":"meeting.started","payload":{"plainToken":"x"}}',
        b'{"event":"endpoint.url_validation"}',
        b'{"event":"endpoint.url_validation","payload":{"plainToken":7}}',
        b'{"event":["endpoint.url_validation"]}',
        b"not JSON",
    ],
)
async def test_what_zoom_signs_otherwise_is_a_message(body: bytes) -> None:
    assert await verify(Zoom(), KEY, zoom(body), body) == Verified()


async def test_trap_2_zooms_time_is_signed_as_received() -> None:
    body, seconds = b"{}", f"0{int(NOW.timestamp())}"
    mac = hmac.new(SECRET.encode(), f"v0:{seconds}:".encode() + body, "sha256").hexdigest()
    await verify(Zoom(), KEY, request([("x-zm-request-timestamp", seconds), ("x-zm-signature", f"v0={mac}")]), body)


def xero(body: bytes) -> list[tuple[str, str]]:
    return [("x-xero-signature", b64encode(hmac.new(SECRET.encode(), body, "sha256").digest()).decode())]


INTENT = b'{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4N0m3t3xt"}'
EVENTS = b'{"events":[{"resourceId":"717f2bfc"}],"firstEventSequence":1,"lastEventSequence":1,"entropy":"x"}'


async def test_xeros_intent_to_receive_is_answered_and_events_are_messages() -> None:
    assert (await verify(Xero(), KEY, request(xero(INTENT)), INTENT)).response == WebhookResponse(200)
    for body in (EVENTS, b"{}", b'{"events":null}', b"not JSON"):
        assert await verify(Xero(), KEY, request(xero(body)), body) == Verified()


async def test_trap_4_a_wrong_intent_to_receive_is_rejected() -> None:
    with pytest.raises(NotVerified):
        await verify(Xero(), KEY, request(xero(EVENTS)), INTENT)


def over_memory(scheme: Scheme[Any, Any], credential: Any, **settings: Any) -> HookOverMemory:
    assert scheme.credential is not None
    flow = webhook_flow(scheme=scheme, credential="key", **settings)
    hook = HookOverMemory(flow, credentials={"key": (scheme.name, scheme.credential.model_validate(credential))})
    hook.clock.at = NOW
    return hook


def raw(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


async def test_xero_gets_no_body_and_200_where_anything_is_accepted() -> None:
    hook = over_memory(Xero(), KEY)
    for body, stored in ((INTENT, 0), (EVENTS, 1), (EVENTS, 2)):
        reply = await hook.send(body, headers=raw(xero(body)))
        assert (reply.status, reply.body, len(hook.intake.accepted)) == (200, b"", stored)
        assert b"content-type" not in dict(reply.headers)
    assert dict(reply.headers)[b"hookline-execution-id"] == hook.intake.accepted[-1].execution_id.encode()


@pytest.mark.parametrize("scheme", [Dropbox(), Linear(), Xero(), Zoom()])
async def test_what_a_flow_answers_itself_goes_before_what_its_provider_wants(scheme: Scheme[Any, Any]) -> None:
    hook = over_memory(scheme, KEY, accepted={"status": 201, "body": "taken"})
    assert scheme.credential is not None
    credential, chosen = scheme.credential.model_validate(KEY), scheme.settings()
    body = scheme.complete(request(), b'{"a":1}', credential, chosen)
    headers = raw(scheme.sign(request(), body, credential, chosen))
    assert ((reply := await hook.send(body, headers=headers)).status, reply.body) == (201, b"taken")
    without = over_memory(scheme, KEY)
    assert ((reply := await without.send(body, headers=headers)).status, reply.body) == (200, b"")


async def test_xero_gets_no_body_and_401_where_a_signature_is_wrong() -> None:
    hook = over_memory(Xero(), KEY)
    for headers in (xero(b"x"), [], xero(INTENT) * 2):
        reply = await hook.send(INTENT, headers=raw(headers))
        assert (reply.status, reply.body) == (401, b"")
        assert b"content-type" not in dict(reply.headers)
    assert hook.intake.accepted == []


async def test_graphs_validation_is_answered_before_a_body_is_parsed_and_stores_nothing() -> None:
    hook = over_memory(MicrosoftGraph(), STATE)
    reply = await hook.send(b"", "text/plain; charset=utf-8", query=b"validationToken=a%3Cb%3E")
    assert (reply.status, reply.body) == (200, b"a<b>")
    assert dict(reply.headers)[b"content-type"] == b"text/plain; charset=utf-8"
    assert hook.intake.accepted == []
    assert (await hook.send(notifications("topsecret"))).status == 202


async def test_dropboxs_challenge_is_answered_though_the_flow_takes_no_get() -> None:
    hook = over_memory(Dropbox(), KEY)
    reply = await hook.send(method="GET", content_type=None, query=b"challenge=%3Cscript%3E")
    assert (reply.status, reply.body) == (200, b"<script>")
    assert dict(reply.headers)[b"content-type"] == b"text/plain; charset=utf-8"
    for query, status in ((b"", 405), (b"other=a", 405), (b"challenge=", 401), (b"challenge=a&challenge=b", 401)):
        assert (await hook.send(method="GET", content_type=None, query=query)).status == status
    assert hook.intake.accepted == []


async def test_a_dropbox_notification_holds_by_its_signature_and_is_answered_with_200() -> None:
    hook, body = over_memory(Dropbox(), KEY), b'{"list_folder": {"accounts": ["dbid:AAH4f99"]}}'
    signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    assert (
        await hook.send(body, headers=raw([("x-dropbox-signature", signature)]), query=b"challenge=a")
    ).status == 200
    assert len(hook.intake.accepted) == 1
    assert (await hook.send(body + b" ", headers=raw([("x-dropbox-signature", signature)]))).status == 401


@pytest.mark.parametrize("scheme", [Dropbox, Linear, Xero, Zoom])
@pytest.mark.parametrize("secret", ["", "1234", [], ["12345", " "]])
def test_trap_7_a_short_secret_is_rejected_when_stored(scheme: type[Scheme[Any, Any]], secret: Any) -> None:
    assert scheme.credential is not None
    with pytest.raises(ValidationError):
        scheme.credential.model_validate({"secret": secret})


@pytest.mark.parametrize("state", ["", "1234", [], ["12345", ""]])
def test_trap_7_a_short_state_is_rejected_when_stored(state: Any) -> None:
    assert MicrosoftGraph.credential is not None
    with pytest.raises(ValidationError):
        MicrosoftGraph.credential.model_validate({"client_state": state})
