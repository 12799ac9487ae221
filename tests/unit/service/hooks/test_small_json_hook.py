"""The direct way of a message: it stores what the other way stores, and leaves it everything else."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
from tests.unit.service.hooks.hook_harness import LastByte, Unread, document, signed

from hookline.flows.schemas.body_schema import compile_schema
from hookline.kernel.errors import ServiceUnavailable
from hookline.kernel.json import MANY
from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

JSON = (b"content-type", b"application/json")


def request(
    *headers: tuple[bytes, bytes], method: str = "POST", path: str = "orders", query: bytes = b""
) -> HookRequest:
    return HookRequest(method, path, b"/hook/" + path.encode(), query, list(headers), Unread(), "192.0.2.1")


async def arriving(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def directly(hook: HookOverMemory, asked: HookRequest, body: bytes) -> HookResponse | None:
    """The answer, or None if the request has to go the other way."""
    answers: list[HookResponse] = []
    if not hook.endpoints.direct.begin(asked, body, answers.append):
        return None
    await asyncio.sleep(0)
    (answer,) = answers
    return answer


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"a": 1.50}', (JSON,)),
        (b"\xef\xbb\xbf[1]", (JSON,)),
        ('"ä"'.encode("utf-16"), (JSON,)),
        (b" ", (JSON, (b"x-a", b"1"), (b"x-a", b"2"))),
        (b'{"a": [%s]}' % b",".join([b"1"] * 900), ((b"content-type", b"application/vnd.x+json; charset=utf-8"),)),
    ],
)
@pytest.mark.parametrize("numbers", ["binary", "exact"])
async def test_it_stores_and_answers_what_the_other_way_does(
    body: bytes, headers: tuple[tuple[bytes, bytes], ...], numbers: str
) -> None:
    length = (b"content-length", b"%d" % len(body))
    made = []
    for direct in (True, False):
        hook = HookOverMemory(webhook_flow(numbers=numbers))
        asked = request(*headers, length, path="orders/eu/7", query=b"x=1&x=2")
        usual = msgspec.structs.replace(asked, body=arriving(body))
        answer = await (directly(hook, asked, body) if direct else hook.hook.handle(usual))
        assert answer is not None
        (envelope,) = hook.intake.accepted
        id_ = envelope.execution_id
        told = json.loads(answer.body)
        assert (told.pop("execution_id"), dict(answer.headers)[b"hookline-execution-id"]) == (id_, id_.encode())
        kept = {name: getattr(envelope, name) for name in envelope.__struct_fields__ if name != "execution_id"}
        made.append((answer.status, told, kept))
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        (request(JSON, path="nope"), b"{}"),
        (request(JSON, method="PUT"), b"{}"),
        (request(JSON, method="GET"), b"{}"),
        (request(JSON, method="HEAD"), b"{}"),
        (request(), b"{}"),
        (request((b"content-type", b"text/plain")), b"{}"),
        (request(JSON, (b"content-encoding", b"gzip")), b"{}"),
        (request(JSON, JSON), b"{}"),
        (request(JSON), b"{"),
        (request(JSON), b'{"a": "not the schema\'s"}'),
        (request(JSON), b'"%s"' % (b"x" * MANY)),
        (request(JSON), b"[%s]" % b",".join([b"1"] * 2000)),
        (request(JSON), b"[" * 200 + b"]" * 200),
    ],
)
async def test_what_it_cant_accept_it_leaves_untouched(asked: HookRequest, body: bytes) -> None:
    schema, _ = compile_schema({"properties": {"a": {"type": "integer"}}})
    hook = HookOverMemory(webhook_flow(methods=("POST", "GET"), schema=schema))
    assert await directly(hook, asked, body) is None
    assert not hook.intake.accepted
    assert not hook.rejections
    assert not hook.metrics


@pytest.mark.parametrize(
    "make",
    [
        lambda: signed(LastByte()),
        lambda: HookOverMemory(webhook_flow(client_rate="1/s")),
        lambda: HookOverMemory(webhook_flow(allow_from=("192.0.2.0/24",))),
        lambda: HookOverMemory(webhook_flow(media_types=("application/json",))),
        lambda: HookOverMemory(webhook_flow(cors={"origins": ("*",)})),
        lambda: HookOverMemory(webhook_flow(accepted={"status": 200})),
        lambda: HookOverMemory(webhook_flow(respond="reply")),
        lambda: HookOverMemory(webhook_flow(keep_rejected_bodies=True)),
    ],
)
async def test_a_flow_that_asks_for_more_has_only_the_other_way(make: Callable[[], HookOverMemory]) -> None:
    assert await directly(make(), request(JSON), b"{}") is None


@pytest.mark.parametrize("failure", [ServiceUnavailable("the message can't be stored now"), KeyError()])
async def test_what_cant_be_stored_is_rejected_and_recorded(failure: Exception) -> None:
    hook = HookOverMemory(webhook_flow())
    hook.intake.failure = failure
    answer = await directly(hook, request(JSON, (b"content-length", b"2")), b"{}")
    assert answer is not None
    assert (answer.status, document(answer)["code"]) == (503, "request.unavailable")
    (recorded,) = hook.rejections
    assert (recorded["flow_id"], recorded["client"], recorded["size"]) == ("orders", "192.0.2.1", 2)
    assert hook.metrics == [("orders", "request.unavailable")]
