"""The scheme of docs/how-to/add-a-signature-scheme.md: its very text verifies, signs and answers."""

import re
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from hookline.sdk.schemes import Scheme
from hookline.service.signed_samples import UnsignedMessage, sign
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "add-a-signature-scheme.md"
SECRETS = {"secrets": ["a new and long secret", "the old and long one"]}
BODY = b'{"order": 17}'


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(text)


def plugin() -> ModuleType:
    module = ModuleType("hookline_acme")
    exec(compile(block("python"), str(PAGE), "exec"), module.__dict__)
    return module


def contract() -> Any:
    """The tests of the page's plugin."""
    sys.modules["hookline_acme"] = plugin()
    try:
        tests: dict[str, Any] = {"__name__": "test_acme"}
        exec(compile(block("text"), str(PAGE), "exec"), tests)
    finally:
        del sys.modules["hookline_acme"]
    return tests["TestAcme"]


TestAcme = contract()


@pytest.fixture(scope="module")
def acme() -> Scheme[Any, Any]:
    (scheme,) = plugin().register_schemes()
    assert isinstance(scheme, Scheme)
    return scheme


def over_memory(scheme: Scheme[Any, Any]) -> HookOverMemory:
    assert scheme.credential is not None
    flow = webhook_flow(scheme=scheme, credential="key")
    return HookOverMemory(flow, credentials={"key": ("acme", scheme.credential.model_validate(SECRETS))})


def headers(hook: HookOverMemory, scheme: Scheme[Any, Any], secret: str, back: int = 0) -> list[tuple[bytes, bytes]]:
    assert scheme.credential is not None
    credential = scheme.credential.model_validate({"secrets": [secret]})
    at = hook.clock.now() - timedelta(seconds=back)
    signed = sign(scheme, credential, scheme.settings(), UnsignedMessage(BODY), "https://hooks.example/hook/orders", at)
    return [(name.encode(), value.encode()) for name, value in signed.headers]


@pytest.mark.parametrize("secret", SECRETS["secrets"])
async def test_what_it_signs_it_takes_under_each_secret(acme: Scheme[Any, Any], secret: str) -> None:
    hook = over_memory(acme)
    assert (await hook.send(BODY, headers=headers(hook, acme, secret))).status == 202
    assert len(hook.intake.accepted) == 1


async def test_what_is_wrong_is_rejected_and_never_a_defect(acme: Scheme[Any, Any]) -> None:
    hook = over_memory(acme)
    right = headers(hook, acme, SECRETS["secrets"][0])
    (name, value), *_ = right
    wrong = [
        [],
        right * 2,
        headers(hook, acme, "another and long secret"),
        headers(hook, acme, SECRETS["secrets"][0], back=301),
        *([(name, text)] for text in (b"", b"v1", b";", b"9" * 400 + value, value + b"\n", b"\xff" + value)),
    ]
    for given in wrong:
        assert (await hook.send(BODY, headers=given)).status == 401
    assert (await hook.send(BODY + b" ", headers=right)).status == 401
    assert hook.intake.accepted == []


async def test_its_handshake_is_answered_as_text(acme: Scheme[Any, Any]) -> None:
    hook = over_memory(acme)
    reply = await hook.send(method="GET", content_type=None, query=b"echo=%3Cb%3E")
    assert (reply.status, reply.body) == (200, b"<b>")
    assert (await hook.send(method="GET", content_type=None, query=b"echo=")).status == 401
    assert (await hook.send(method="GET", content_type=None, query=b"")).status == 405
    assert hook.intake.accepted == []


@pytest.mark.parametrize("secrets", [[], [""], ["short"]])
def test_a_short_secret_is_rejected_when_stored(acme: Scheme[Any, Any], secrets: list[str]) -> None:
    assert acme.credential is not None
    with pytest.raises(ValidationError):
        acme.credential.model_validate({"secrets": secrets})
