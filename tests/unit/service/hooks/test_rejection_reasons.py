"""A request that can't be verified: the record says why, its sender learns nothing, and no secret is told to either."""

import ast
import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from tests.unit.plugins.signatures.scheme_cases import (
    CASES,
    NOW,
    SHARED_SECRETS,
    TIMED,
    case,
    complete,
    request,
    signed,
)

import hookline_signatures
from hookline.api import NotVerified, SignedRequest
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

NOTHING_SAID = NotVerified().message
NO_SIGNATURE_HEADER = ("sns", "mailgun", "microsoft-graph")


def why(name: str, sent: SignedRequest, body: bytes) -> str:
    scheme, credential, chosen = case(name)

    async def judge() -> None:
        check = scheme.open(sent, credential, chosen)
        check.feed(body)
        await check.finish()

    with pytest.raises(NotVerified) as rejected:
        asyncio.run(judge())
    return rejected.value.message


def secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for item in value.__dict__.values():
            yield from secrets(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from secrets(item)


def check_says(reason: str, name: str, headers: list[tuple[str, str]]) -> None:
    assert reason != NOTHING_SAID
    assert 10 < len(reason) <= 300
    for secret in (*secrets(case(name)[1]), *(value for key, value in headers if "id" not in key and len(value) > 20)):
        assert secret not in reason


@pytest.mark.parametrize("name", CASES)
def test_a_request_without_anything_is_rejected_with_a_reason_that_names_what_is_missing(name: str) -> None:
    reason = why(name, request(), b"{}")
    check_says(reason, name, [])
    if not name.startswith(NO_SIGNATURE_HEADER):
        assert reason.startswith("there is no header ")


@pytest.mark.parametrize("name", TIMED)
def test_a_stale_request_is_rejected_with_how_far_its_time_is_off(name: str) -> None:
    body = complete(name, b"{}")
    headers = signed(name, body)
    late = NOW + timedelta(days=1, seconds=1000)
    reason = why(name, request(headers, at=late), body)
    check_says(reason, name, headers)
    assert ("is 87400 s before that of receipt" in reason) != ("webhookTimestamp is more than" in reason)


@pytest.mark.parametrize("name", SHARED_SECRETS)
def test_a_request_signed_with_another_secret_is_rejected_as_such(name: str) -> None:
    scheme, _, chosen = case(name)
    assert scheme.credential is not None
    other = scheme.credential.model_validate(SHARED_SECRETS[name])
    body = scheme.complete(request(), complete(name, b"{}"), other, chosen)
    headers = list(scheme.sign(request(), body, other, chosen))
    reason = why(name, request(headers), body)
    check_says(reason, name, headers)
    assert ("is wrong" in reason and "clock" not in reason) or "made with another key" in reason
    for secret in secrets(other):
        assert secret not in reason


def test_every_rejection_of_the_shipped_schemes_has_a_reason() -> None:
    raised = [
        (f"{path.name}:{node.lineno}", node.exc)
        for path in Path(hookline_signatures.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise) and "NotVerified" in ast.unparse(node)
    ]
    assert len(raised) > 50, "there are many, in subfolders too"
    assert [place for place, error in raised if isinstance(error, ast.Name)] == []


async def test_the_record_says_which_problem_it_was_and_the_sender_is_told_the_same_for_each() -> None:
    scheme, credential, chosen = case("slack")
    flow = webhook_flow(scheme=scheme, credential="slack", scheme_settings=chosen)
    hook = HookOverMemory(flow, credentials={"slack": ("slack", credential)})
    fresh = [(name.encode(), value.encode()) for name, value in signed("slack", b"{}", at=hook.clock.at)]
    stale = signed("slack", b"{}", at=hook.clock.at - timedelta(seconds=4000))
    replies = [
        await hook.send(b"{}"),
        await hook.send(b"{}", headers=[(name.encode(), value.encode()) for name, value in stale]),
        await hook.send(b"{} ", headers=fresh),
        await hook.send(b"{}", headers=[*fresh, *fresh]),
    ]
    assert {reply.status for reply in replies} == {401}
    assert len({reply.body for reply in replies}) == 1
    assert [rejected["detail"].partition("; ")[2] for rejected in hook.rejections] == [
        "there is no header x-slack-request-timestamp",
        "the time of sending is 4000 s before that of receipt, and 300 s are allowed: it was delayed or repeated, or a "
        "clock is wrong",
        "the signature doesn't match: it was made with another key, or of other bytes",
        "the header x-slack-request-timestamp appears 2 times",
    ]
