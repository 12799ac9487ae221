"""GitLab: a token that is compared, a signature by Standard Webhooks, or both."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
from pydantic import ValidationError

from hookline.api import NotVerified, SignedRequest, Verified
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow
from hookline_signatures.generic.standard_webhooks import StandardSettings
from hookline_signatures.shared_secret.gitlab import GitLab, GitLabCredential

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
BODY = b'{"object_kind":"push"}'
TOKEN = "tökén"
SIGNING = "whsec_" + b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + b64encode(bytes(range(1, 33))).decode()
ID = "e5b8f4d2-29a0-4a4f-9a2f-0a0b5a5c6d7e"


async def verify(credential: Any, headers: dict[str, str], body: bytes = BODY) -> Verified:
    request = SignedRequest("POST", "https://h.example/hook/a", tuple(headers.items()), NOW, None)  # type: ignore[arg-type] # fetches nothing
    check = GitLab().open(request, GitLabCredential.model_validate(credential), StandardSettings())
    check.feed(body)
    return await check.finish()


def shown(token: str) -> dict[str, str]:
    return {"x-gitlab-token": token.encode().decode("latin-1"), "idempotency-key": ID}


def signed(secret: str = SIGNING) -> dict[str, str]:
    return {
        "idempotency-key": ID,
        "webhook-id": ID,
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(secret).sign(ID, NOW, BODY.decode()),
    }


async def test_trap_6_a_token_is_compared_as_bytes_and_its_dedupe_key_is_the_idempotency_key() -> None:
    assert await verify({"token": TOKEN}, shown(TOKEN)) == Verified(ID)
    assert await verify({"token": TOKEN}, {"x-gitlab-token": shown(TOKEN)["x-gitlab-token"]}) == Verified()
    for wrong in ("", "t", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "token"):
        with pytest.raises(NotVerified):
            await verify({"token": TOKEN}, shown(wrong))
    with pytest.raises(NotVerified):
        await verify({"token": TOKEN}, {"idempotency-key": ID})


async def test_what_the_official_package_of_standard_webhooks_signs_holds() -> None:
    assert await verify({"signing_token": SIGNING}, signed()) == Verified(ID)
    with pytest.raises(NotVerified):
        await verify({"signing_token": SIGNING}, signed(), BODY + b" ")
    with pytest.raises(NotVerified):
        await verify({"signing_token": SIGNING}, signed(OTHER))


async def test_where_there_is_a_signing_token_a_shown_token_is_not_enough() -> None:
    with pytest.raises(NotVerified):
        await verify({"signing_token": SIGNING}, shown(SIGNING))
    both = {"token": TOKEN, "signing_token": SIGNING}
    await verify(both, signed() | shown(TOKEN))
    for headers in (shown(TOKEN), signed(), signed() | shown("wrong"), signed(OTHER) | shown(TOKEN)):
        with pytest.raises(NotVerified):
            await verify(both, headers)


async def test_trap_12_old_and_new_secrets_are_both_taken() -> None:
    for token in ("new token", "old token"):
        await verify({"token": ["new token", "old token"]}, shown(token))
    for secret in (SIGNING, OTHER):
        await verify({"signing_token": [OTHER, SIGNING]}, signed(secret))


@pytest.mark.parametrize("id", ["", "two words", "x" * 201, "é"])
async def test_an_id_that_cannot_be_one_is_rejected(id: str) -> None:
    with pytest.raises(NotVerified):
        await verify({"token": TOKEN}, shown(TOKEN) | {"idempotency-key": id})


@pytest.mark.parametrize(
    "credential",
    [{}, {"token": ""}, {"token": "1234"}, {"token": []}, {"signing_token": "whsec_"}, {"signing_token": "plain text"}],
)
def test_trap_7_a_key_that_is_missing_or_short_is_rejected_when_stored(credential: Any) -> None:
    with pytest.raises(ValidationError):
        GitLabCredential.model_validate(credential)


@pytest.mark.rule(33)
async def test_the_token_is_not_stored() -> None:
    flow = webhook_flow(scheme=GitLab(), credential="key")
    credential = GitLabCredential.model_validate({"token": "topsecret"})
    hook = HookOverMemory(flow, credentials={"key": ("gitlab", credential)})
    reply = await hook.send(BODY, headers=[(b"x-gitlab-token", b"topsecret"), (b"x-gitlab-event", b"Push Hook")])
    assert reply.status == 202
    (envelope,) = hook.intake.accepted
    assert envelope.message.headers["x-gitlab-token"] == "***"
    assert envelope.message.headers["x-gitlab-event"] == "Push Hook"
    assert "topsecret" not in repr(envelope)
