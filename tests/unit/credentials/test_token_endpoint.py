"""A token request: what is sent, and what each kind of answer means."""

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.authorization_server import AuthorizationService
from tests.integration.oauth2_acme import AcmeKey, acme, values

from hookline.credentials.stored_credentials import OAuth2Credential
from hookline.credentials.token_endpoint import request_tokens
from hookline.kernel.errors import StepError
from hookline.sdk.http_client import Response
from hookline.testing.clock import START, ManualClock

FORM = {"grant_type": "refresh_token", "refresh_token": "the-old-one"}


class Says:
    """Answers one thing, and keeps what it was asked."""

    def __init__(self, status: int = 200, body: str = '{"access_token": "abcdef"}', **headers: str) -> None:
        self._response = Response(status, headers, body.encode())
        self.asked: dict[str, Any] = {}

    async def request(self, method: str, url: str, **options: Any) -> Response:
        self.asked = {"method": method, "url": url, **options}
        return self._response


async def ask(http: Any, oauth2: Any = None, **key: Any) -> Any:
    connector = acme(**(oauth2 or {}))
    assert connector.oauth2 is not None
    service = AuthorizationService(lambda: datetime.now(UTC))
    service.url = "https://acme.example"
    value = AcmeKey.model_validate(values(service, **key))
    credential = OAuth2Credential("prod", value, connector.oauth2, None, None)
    return await request_tokens(http, ManualClock(), credential, "authorization_code", FORM)


async def test_id_and_secret_are_encoded_before_they_are_joined() -> None:
    http = Says()
    await ask(http, client_id="my id", client_secret="a:b/c%+ü")
    scheme, _, encoded = http.asked["headers"]["Authorization"].partition(" ")
    assert (scheme, b64decode(encoded)) == ("Basic", b"my%20id:a%3Ab%2Fc%25%2B%C3%BC")
    assert http.asked["form"] == FORM
    assert (http.asked["url"], http.asked["redirects"]) == ("https://acme.example/token", 0)


async def test_a_client_without_a_secret_sends_its_id_alone() -> None:
    http = Says()
    await ask(http, client_secret=None)
    assert "Authorization" not in http.asked["headers"]
    assert http.asked["form"] == {**FORM, "client_id": "hookline-client"}


async def test_a_refresh_token_that_is_not_replaced_stays() -> None:
    assert (await ask(Says())).refresh_token == "the-old-one"
    assert (await ask(Says(body='{"access_token": "abcdef", "refresh_token": ""}'))).refresh_token == "the-old-one"
    assert (await ask(Says(body='{"access_token": "abcdef", "refresh_token": "new"}'))).refresh_token == "new"


@pytest.mark.parametrize(
    ("lasts", "known"),
    [("3600", 3600), (3600, 3600), (0.5, 0.5), (1e300, 3650 * 86400), ("inf", 3650 * 86400)]
    + [(one, None) for one in (None, "soon", "", -1, 0, True, "nan", [], {})],
)
async def test_a_life_that_makes_no_sense_is_unknown(lasts: Any, known: float | None) -> None:
    tokens = await ask(Says(body=json.dumps({"access_token": "abcdef", "expires_in": lasts})))
    assert tokens.expires_at == (None if known is None else START + timedelta(seconds=known))


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (302, "", "oauth2.answer", "token requests don't follow redirects"),
        (200, "<html>", "oauth2.answer", "without an access token"),
        (200, "[]", "oauth2.answer", "without an access token"),
        (200, '{"access_token": 7}', "oauth2.answer", "without an access token"),
        (200, '{"access_token": ""}', "oauth2.answer", "without an access token"),
        (200, '{"access_token": "a\\r\\nX-Evil: 1"}', "oauth2.answer", "without an access token"),
        (200, '{"access_token": "a", "token_type": "DPoP"}', "oauth2.answer", "only bearer tokens"),
        (200, '{"ok": false, "error": "bad_thing"}', "oauth2.rejected", "bad_thing"),
        (
            400,
            '{"error": "invalid_scope", "error_description": "none\\u0000 \\n such"}',
            "oauth2.rejected",
            ": none such)",
        ),
        (400, '{"error": {"deep": 1}}', "oauth2.rejected", "answered 400"),
        (404, "not here", "oauth2.rejected", "answered 404"),
        (401, "", "oauth2.client", "rejects the client"),
        (400, '{"error": "unauthorized_client"}', "oauth2.client", "rejects the client"),
    ],
)
async def test_an_answer_that_is_no_token_is_an_error_that_says_what_came(
    status: int, body: str, code: str, said: str
) -> None:
    with pytest.raises(StepError) as caught:
        await ask(Says(status, body))
    error = caught.value
    assert (error.error_code, error.retryable, said in error.message) == (code, False, True), error.message
    assert error.message.startswith("no access token for credential 'prod': https://acme.example")


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (500, "", "oauth2.unavailable"),
        (503, "{", "oauth2.unavailable"),
        (408, "", "oauth2.unavailable"),
        (400, '{"error": "slow_down"}', "oauth2.unavailable"),
        (429, '{"error": "invalid_grant"}', "oauth2.rate_limited"),
    ],
)
async def test_what_may_work_later_is_retryable_and_says_when(status: int, body: str, code: str) -> None:
    http = Says(status, body, **{"retry-after": "Sat, 31 Jan 2026 08:00:30 GMT"})
    with pytest.raises(StepError) as caught:
        await ask(http)
    error = caught.value
    assert (error.error_code, error.retryable, error.retry_after) == (code, True, 30)


async def test_a_failure_of_the_token_request_is_none_of_what_the_token_is_for() -> None:
    class Breaks:
        async def request(self, *_: Any, **__: Any) -> Response:
            raise StepError("cut off after the-old-one", code="http.disconnected", retryable=True, outcome_unknown=True)

    with pytest.raises(StepError) as caught:
        await ask(Breaks())
    error = caught.value
    assert (error.retryable, error.outcome_unknown) == (True, False)
    assert error.message == "no access token for credential 'prod': cut off after ***"


@pytest.mark.parametrize(
    ("oauth2", "key", "said"),
    [
        ({"token_url": lambda key: "acme.example"}, {}, "token_url must be a URL"),
        ({"token_url": lambda key: "ftp://acme.example"}, {}, "token_url must be a URL"),
        ({"token_url": lambda key: None}, {}, "token_url must be a URL"),
        ({"token_url": lambda key: "https://[x"}, {}, "token_url must be a URL"),
        ({}, {"client_id": ""}, "the credential has no client_id"),
    ],
)
async def test_a_credential_that_can_not_be_used_says_what_is_wrong(oauth2: Any, key: Any, said: str) -> None:
    with pytest.raises(StepError) as caught:
        await ask(Says(), oauth2, **key)
    assert (caught.value.error_code, said in caught.value.message) == ("oauth2.config", True)
