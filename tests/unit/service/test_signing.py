"""What the admin API signs for others: signatures, and nothing that shows a secret."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from hookline.credentials.stored_credentials import FoundCredential
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.kernel.errors import CannotSign, CredentialError
from hookline.sdk.schemes import NoSettings, RequestVerifier, Scheme, SignedRequest
from hookline.secrets.credential_reach import HostRule
from hookline.service.signed_samples import (
    SignedMessage,
    UnsignedMessage,
    hook_url,
    sign,
    sign_without_secrets,
    verifying_credential,
)
from hookline.testing.hook_over_memory import webhook_flow

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECRET = "hunter2-hunter2-hunter2"
URL = "https://hooks.example/hook/orders"
SHARED = b64encode(bytes(range(24))).decode()

#: The credential of each scheme that the API may sign for.
SIGNED_FOR: Mapping[str, Mapping[str, Any]] = {
    "github": {"secret": [SECRET, "another secret"]},
    "intercom": {"secret": SECRET},
    "linear": {"secret": SECRET},
    "meta": {"secret": SECRET, "verify_token": "another secret"},
    "standard-webhooks": {"secret": f"whsec_{SHARED}"},
    "zoom": {"secret": SECRET},
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


def credential(registry: Registry, name: str, values: Mapping[str, Any]) -> BaseModel:
    model = registry.schemes[name].credential
    assert model is not None
    return model.model_validate(values)


@pytest.mark.parametrize("name", SIGNED_FOR)
async def test_what_is_signed_for_a_flow_its_scheme_verifies(registry: Registry, name: str) -> None:
    scheme, key = registry.schemes[name], credential(registry, name, SIGNED_FOR[name])
    signed = sign_without_secrets(
        webhook_flow(scheme=scheme, credential="key"), key, UnsignedMessage(b'{"a":1}'), URL, NOW
    )
    assert signed.scheme == name
    request = SignedRequest("POST", URL, tuple(signed.headers), NOW, None)  # type: ignore[arg-type] # fetches nothing
    check = scheme.open(request, key, scheme.settings())
    check.feed(signed.body)
    await check.finish()
    told = repr(signed)
    assert SECRET not in told
    assert SHARED not in told


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("basic", {"username": "shop", "password": SECRET}),
        ("api-key", {"key": SECRET}),
        ("gitlab", {"token": SECRET}),
        ("microsoft-graph", {"client_state": SECRET}),
    ],
)
def test_what_would_show_the_secret_is_not_signed_for_others(
    registry: Registry, name: str, values: Mapping[str, Any]
) -> None:
    flow, key = webhook_flow(scheme=registry.schemes[name], credential="key"), credential(registry, name, values)
    message = UnsignedMessage(b'{"value":[{}]}')
    with pytest.raises(CannotSign, match="--secret") as caught:
        sign_without_secrets(flow, key, message, URL, NOW)
    assert SECRET not in caught.value.message
    # Who has the secret may do it.
    assert sign(registry.schemes[name], key, registry.schemes[name].settings(), message, URL, NOW).scheme == name


class Careless(Scheme[Any, NoSettings]):
    """It sends its secret, and doesn't say so."""

    name = "careless"
    title = "Careless"

    class credential(BaseModel):  # noqa: N801 - the name is the contract's
        model_config = ConfigDict(frozen=True)

        parts: tuple[SecretStr, ...]

    def open(self, request: SignedRequest, credential: Any, settings: NoSettings) -> RequestVerifier:
        raise NotImplementedError

    def sign(
        self, request: SignedRequest, body: bytes, credential: Any, settings: NoSettings
    ) -> Sequence[tuple[str, str]]:
        return [("x-key", f"key={credential.parts[1].get_secret_value()}")]


def test_a_scheme_that_does_not_declare_its_secret_does_not_give_it_away_either() -> None:
    key = Careless.credential(parts=(SecretStr("first"), SecretStr(SECRET)))
    with pytest.raises(CannotSign):
        sign_without_secrets(webhook_flow(scheme=Careless(), credential="key"), key, UnsignedMessage(), URL, NOW)


def test_where_nothing_is_verified_nothing_is_signed() -> None:
    assert sign_without_secrets(webhook_flow(), None, UnsignedMessage(b"x"), URL, NOW) == SignedMessage(
        "none", [], b"x"
    )


def test_a_body_that_cannot_be_the_providers_is_named(registry: Registry) -> None:
    linear = registry.schemes["linear"]
    with pytest.raises(CannotSign, match="isn't a JSON object"):
        sign(
            linear,
            credential(registry, "linear", {"secret": SECRET}),
            linear.settings(),
            UnsignedMessage(b"x"),
            URL,
            NOW,
        )


def test_who_has_a_public_key_only_cannot_sign(registry: Registry) -> None:
    scheme = registry.schemes["standard-webhooks"]
    key = credential(registry, "standard-webhooks", {"secret": "whpk_" + b64encode(bytes(32)).decode()})
    with pytest.raises(CannotSign, match="only the provider itself"):
        sign(scheme, key, scheme.settings(), UnsignedMessage(b"x"), URL, NOW)


def test_the_url_that_is_signed_is_the_one_that_the_message_goes_to() -> None:
    assert hook_url("https://a.example/", "orders", UnsignedMessage()) == "https://a.example/hook/orders"
    message = UnsignedMessage(base_url="https://b.example/", rest="/paid?x=1")
    assert hook_url("https://a.example", "orders", message) == "https://b.example/hook/orders/paid?x=1"


def test_a_credential_of_another_type_is_rejected(registry: Registry) -> None:
    flow = webhook_flow(scheme=registry.schemes["github"], credential="key")
    key = credential(registry, "github", {"secret": SECRET})

    def found(type: str, value: Any) -> Callable[[str, str], FoundCredential]:
        return lambda name, flow_id: FoundCredential(type, value, HostRule(name))

    assert verifying_credential(flow, found("github", key)) is key
    with pytest.raises(CredentialError, match="not 'github'"):
        verifying_credential(flow, found("basic", credential(registry, "api-key", {"key": SECRET})))
    assert verifying_credential(webhook_flow(), found("github", key)) is None
