"""What holds for every scheme's secrets: never short or missing, compared in constant time, changed without a gap."""

import hmac
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from tests.unit.plugins.signatures.scheme_cases import (
    CASES,
    CERTIFICATE,
    NOW,
    SCHEMES,
    SHAPES,
    SHARED_SECRETS,
    case,
    complete,
    request,
    signed,
    verify,
)

from hookline.api import NotVerified, Verified
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.compiler.compile import compile_flow
from hookline.kernel.errors import FlowInvalid
from hookline.kernel.json import encode
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.views.components import setting_views
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow


@pytest.mark.rule(33)
def test_the_headers_that_hold_secrets_are_declared() -> None:
    declared = {}
    for name in CASES:
        scheme, _, chosen = case(name)
        declared[name] = scheme.secret_headers(chosen)
    secret = {name: headers for name, headers in declared.items() if headers}
    assert secret == {
        "basic": {"authorization"},
        "api-key": {"x-api-key"},
        "api-key, prefixed": {"authorization"},
        "bearer": {"authorization"},
        "jwt, secret": {"authorization"},
        "jwt, public key": {"x-api-key"},
        **{f"gitlab, {kind}": {"x-gitlab-token"} for kind in ("token", "signed", "both")},
    }


@pytest.mark.parametrize("name", CASES)
def test_no_credential_shows_its_secrets(name: str) -> None:
    _, credential, _ = case(name)
    secrets = [
        value for values in CASES[name][1].values() for value in ([values] if isinstance(values, str) else values)
    ]
    shown = repr(credential) + str(credential.model_dump_json())
    public = {"shop", "1JE4", CERTIFICATE}
    assert not [secret for secret in secrets if secret not in public and secret in shown]


@pytest.mark.parametrize("name", SHARED_SECRETS)
async def test_what_another_secret_signs_is_rejected(name: str) -> None:
    scheme, _, chosen = case(name)
    assert scheme.credential is not None
    other = scheme.credential.model_validate(SHARED_SECRETS[name])
    body = scheme.complete(request(), SHAPES.get(scheme.name, bytes)(b"{}"), other, chosen)
    with pytest.raises(NotVerified):
        await verify(name, request(scheme.sign(request(), body, other, chosen)), body)
    # And holds where it is the secret: the case is a right one.
    check = scheme.open(request(scheme.sign(request(), body, other, chosen)), other, chosen)
    check.feed(body)
    assert isinstance(await check.finish(), Verified)


@pytest.mark.parametrize("name", SHARED_SECRETS)
@pytest.mark.parametrize("right", [True, False])
async def test_trap_6_a_shared_secret_is_compared_in_constant_time_as_bytes(
    name: str, right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[Any, Any]] = []
    compare = hmac.compare_digest

    def spy(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return compare(one, other)

    scheme, credential, chosen = case(name)
    if not right:
        assert scheme.credential is not None
        credential = scheme.credential.model_validate(SHARED_SECRETS[name])
    body = scheme.complete(request(), SHAPES.get(scheme.name, bytes)(b"{}"), credential, chosen)
    sent = request(scheme.sign(request(), body, credential, chosen))
    monkeypatch.setattr(hmac, "compare_digest", spy)
    if right:
        await verify(name, sent, body)
    else:
        with pytest.raises(NotVerified):
            await verify(name, sent, body)
    assert compared
    assert {type(value) for pair in compared for value in pair} == {bytes}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("short", ["", "   ", "a", " a  \n", "whsec_", "="])
def test_trap_7_a_secret_that_is_empty_or_cut_off_is_rejected_when_stored(name: str, short: str) -> None:
    scheme, _, _ = case(name)
    model, values = scheme.credential, CASES[name][1]
    assert model is not None
    secret = [one.name for one in setting_views(model) if "secret" in one.type and one.name in values]
    assert secret
    for key in secret:
        with pytest.raises(ValidationError):
            model.model_validate({**values, key: short})
        if isinstance(values[key], list):
            with pytest.raises(ValidationError):
                model.model_validate({**values, key: [*values[key], short]})


def _model(name: str) -> type[BaseModel]:
    model = SCHEMES[name].credential
    assert model is not None
    return model


#: Amazon SNS has no secret: its published certificate verifies where the credential names none.
@pytest.mark.parametrize("name", sorted(SCHEMES.keys() - {"sns"}))
def test_trap_8_a_credential_without_a_secret_is_rejected_when_stored(name: str) -> None:
    for values in ({}, {"secret": []}, {"secret": None}):
        with pytest.raises(ValidationError):
            _model(name).model_validate(values)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


@pytest.mark.parametrize("name", CASES)
def test_trap_8_a_flow_without_a_credential_is_an_error(registry: Registry, name: str) -> None:
    scheme, _, chosen = CASES[name]
    verifies = {"scheme": scheme, **chosen}
    document = {"id": "a", "trigger": {"use": "webhook", "with": {"verify": verifies}}, "steps": [{"use": "stop"}]}
    if scheme == "sns":
        assert compile_flow(encode(document), registry).trigger.credential is None
    else:
        with pytest.raises(FlowInvalid, match="needs a credential"):
            compile_flow(encode(document), registry)
    verifies["credential"] = "key"
    assert compile_flow(encode(document), registry).trigger.credential == "key"


@pytest.mark.parametrize("name", CASES)
async def test_trap_8_where_the_credential_is_missing_or_of_another_type_nothing_is_taken(name: str) -> None:
    scheme, _, chosen = case(name)
    body = complete(name, b"{}")
    headers = [(key.encode(), value.encode("latin-1")) for key, value in signed(name, body)]
    other = _model("github" if scheme.name == "basic" else "basic")
    values = {"secret": "topsecret"} if scheme.name == "basic" else {"username": "shop", "password": "topsecret"}
    for credentials in ({}, {"key": ("basic", other.model_validate(values))}):
        flow = webhook_flow("shop", scheme=scheme, credential="key", scheme_settings=chosen)
        hook = HookOverMemory(flow, credentials=credentials, options=HookOptions("https://hooks.example"))
        hook.clock.at = NOW
        reply = await hook.send(body, path="shop", headers=headers)
        assert (reply.status, hook.intake.accepted, hook.memory_blobs.kept) == (503, [], {})


@pytest.mark.parametrize(("name", "query"), [("dropbox", b"challenge=x"), ("slack", b"ssl_check=1")])
async def test_trap_8_no_handshake_is_answered_without_a_credential(name: str, query: bytes) -> None:
    hook = HookOverMemory(webhook_flow(scheme=SCHEMES[name]))
    assert (await hook.send(method="GET", content_type=None, query=query)).status == 503


@pytest.mark.parametrize("name", SHARED_SECRETS)
async def test_trap_12_old_and_new_secret_are_both_taken_in_either_order(name: str) -> None:
    scheme, _, chosen = case(name)
    model, ours, others = _model(scheme.name), CASES[name][1], SHARED_SECRETS[name]
    single = {key: value for key, value in ours.items() if key == "username"}
    for first, second in ((ours, others), (others, ours)):
        # `list` flattens what is a list of old and new already.
        both = {key: [*_listed(first[key]), *_listed(second[key])] for key in ours if key not in single}
        credential = model.model_validate({**both, **single})
        for values in (ours, others):
            signer = model.model_validate(values)
            body = scheme.complete(request(), SHAPES.get(scheme.name, bytes)(b"{}"), signer, chosen)
            check = scheme.open(request(scheme.sign(request(), body, signer, chosen)), credential, chosen)
            check.feed(body)
            assert isinstance(await check.finish(), Verified)


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]
