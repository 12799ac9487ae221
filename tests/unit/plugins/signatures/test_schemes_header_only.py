"""`basic` and `api-key`: who shows the right secret is known."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.plugins.signatures.scheme_cases import case

from hookline.api import NotVerified, Scheme, SignedRequest, Verified
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow
from hookline_signatures.generic.header_only import ApiKey, Basic


async def verify(scheme: Scheme[Any, Any], credential: Any, settings: Any, *headers: tuple[str, str]) -> Verified:
    assert scheme.credential is not None
    request = SignedRequest("POST", "https://h.example/hook/a", headers, datetime(2026, 1, 1, tzinfo=UTC), None)  # type: ignore[arg-type] # fetches nothing
    check = scheme.open(request, scheme.credential.model_validate(credential), scheme.settings.model_validate(settings))
    return await check.finish()


def basic(text: str, encoding: str = "utf-8") -> tuple[str, str]:
    return "authorization", "Basic " + b64encode(text.encode(encoding)).decode()


@pytest.mark.parametrize("password", ["password", "pa:ss:word", "::::::", "pässwörd", "пароль", " spaced "])
async def test_trap_6_any_password_is_compared_as_bytes(password: str) -> None:
    credential = {"username": "shop", "password": password}
    await verify(Basic(), credential, {}, basic(f"shop:{password}"))
    for wrong in (f"shop:{password}x", f"shop:{password[:-1]}", f"sho:p{password}", f"SHOP:{password}", "shop:", ""):
        with pytest.raises(NotVerified):
            await verify(Basic(), credential, {}, basic(wrong))


async def test_the_word_basic_is_read_in_any_case() -> None:
    _, value = basic("shop:password")
    credential = {"username": "shop", "password": "password"}
    await verify(Basic(), credential, {}, ("authorization", value.replace("Basic", "BASIC")))
    with pytest.raises(NotVerified):
        await verify(Basic(), credential, {}, ("authorization", value.replace("Basic", "Bearer")))


async def test_a_user_name_has_no_colon() -> None:
    with pytest.raises(ValidationError):
        await verify(Basic(), {"username": "a:b", "password": "password"}, {}, basic("a:b:password"))


async def test_trap_12_old_and_new_secret_are_both_taken() -> None:
    for secret in ("old secret", "new secret"):
        passwords = {"username": "shop", "password": ["new secret", "old secret"]}
        await verify(Basic(), passwords, {}, basic(f"shop:{secret}"))
        await verify(ApiKey(), {"key": ["new secret", "old secret"]}, {}, ("x-api-key", secret))


async def test_the_key_is_in_the_header_that_the_flow_says() -> None:
    settings = {"header": "Authorization", "prefix": "Bearer "}
    await verify(ApiKey(), {"key": "k-123456"}, settings, ("authorization", "Bearer k-123456"))
    for value in ("k-123456", "bearer k-123456", "Bearer  k-123456", "Bearer k-1234567", "Bearer "):
        with pytest.raises(NotVerified):
            await verify(ApiKey(), {"key": "k-123456"}, settings, ("authorization", value))
    with pytest.raises(NotVerified):
        await verify(ApiKey(), {"key": "k-123456"}, settings, ("x-api-key", "Bearer k-123456"))


@pytest.mark.parametrize("name", ["", "x api", "x:api", "x-é", "a\nb"])
def test_a_header_name_that_cannot_be_one_is_rejected(name: str) -> None:
    with pytest.raises(ValidationError, match="letters, digits and dashes"):
        ApiKey.settings.model_validate({"header": name})


@pytest.mark.parametrize("secret", ["", "    ", "abcd", [], ["good secret", ""]])
def test_trap_7_and_8_no_secret_or_a_short_one_is_rejected_when_stored(secret: Any) -> None:
    for model, values in (
        (ApiKey.credential, {"key": secret}),
        (Basic.credential, {"username": "a", "password": secret}),
    ):
        assert model is not None
        with pytest.raises(ValidationError):
            model.model_validate(values)


def test_a_credential_without_its_secret_is_rejected() -> None:
    for model in (ApiKey.credential, Basic.credential):
        assert model is not None
        with pytest.raises(ValidationError):
            model.model_validate({})


@pytest.mark.parametrize(
    ("name", "challenge"),
    [
        ("basic", b'Basic realm="hookline", charset="UTF-8"'),
        ("bearer", b'Bearer realm="hookline"'),
        ("jwt, secret", b'Bearer realm="hookline"'),
        ("api-key", None),
        ("github", None),
    ],
)
async def test_a_401_says_how_to_authenticate_where_http_has_a_name_for_it(name: str, challenge: bytes | None) -> None:
    """RFC 9110, 11.6.1: a 401 has a challenge; the same one whatever was wrong."""
    scheme, credential, chosen = case(name)
    flow = webhook_flow(
        scheme=scheme, credential="c", scheme_settings=chosen, allow_from=["192.0.2.0/24"], client_rate="3/h"
    )
    hook = HookOverMemory(flow, credentials={"c": (scheme.name, credential)})
    replies = [await hook.send(b"{}"), await hook.send(b"{}", headers=[(b"authorization", b"Basic x")])]
    hook.credentials.clear()
    unknown = await hook.send(b"{}")
    assert [(reply.status, dict(reply.headers).get(b"www-authenticate")) for reply in replies] == [(401, challenge)] * 2
    assert (unknown.status, b"www-authenticate" in dict(unknown.headers)) == (503, False)
