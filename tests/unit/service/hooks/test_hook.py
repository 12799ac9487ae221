"""The hook's answers and their statuses."""

import asyncio
import gzip
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.service.hooks.hook_harness import LastByte, document, signed

from hookline.flows.schemas.body_schema import compile_schema
from hookline.kernel.errors import Problem, ServiceUnavailable, StoreError, TooManyRequests
from hookline.service.hook_request_and_response import HookRequest
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow


async def test_a_message_that_is_accepted_gets_202_and_its_id() -> None:
    hook = HookOverMemory(webhook_flow())
    reply = await hook.send(b'{"a": 1}', path="orders/eu/7", query=b"x=1&x=2", headers=[(b"x-a", b"1"), (b"x-a", b"2")])
    (envelope,) = hook.intake.accepted
    assert reply.status == 202
    assert json.loads(reply.body) == {
        "execution_id": envelope.execution_id,
        "flow_id": "orders",
        "status": "queued",
    }
    assert dict(reply.headers)[b"hookline-execution-id"].decode() == envelope.execution_id
    assert envelope.message.body == {"a": 1}
    assert envelope.body_json == b'{"a": 1}'
    assert envelope.raw is None
    assert envelope.message.headers["x-a"] == "1, 2"
    assert envelope.raw_headers[:2] == (("x-a", "1"), ("x-a", "2"))
    arrival = envelope.arrival
    assert (arrival.use, arrival.method, arrival.path, arrival.client) == ("webhook", "POST", "eu/7", "192.0.2.1")
    assert arrival.query == {"x": ["1", "2"]}
    assert arrival.verified_by is None
    assert arrival.received_at == envelope.accepted_at == hook.clock.at


async def test_get_takes_the_query_as_its_body() -> None:
    hook = HookOverMemory(webhook_flow(methods=("GET",)))
    assert (await hook.send(method="GET", content_type=None, query=b"a=1&b=%20&b=")).status == 202
    assert hook.intake.accepted[0].message.body == {"a": "1", "b": [" ", ""]}
    reply = await hook.send(b"x", method="GET", query=b"a=1")
    assert document(reply)["code"] == "request.malformed"
    assert document(await hook.send(method="GET", query=b"a=%ff"))["code"] == "request.malformed"


async def test_head_is_200_and_runs_nothing() -> None:
    hook = HookOverMemory(webhook_flow())
    assert (await hook.send(method="HEAD", content_type=None)).status == 200
    assert (await hook.send(method="HEAD", content_type=None, path="nope")).status == 404
    assert not hook.intake.accepted


async def test_other_methods_get_405_with_allow() -> None:
    hook = HookOverMemory(webhook_flow(methods=("POST", "PUT")))
    reply = await hook.send(b"{}", method="PATCH")
    assert document(reply)["code"] == "request.method"
    assert dict(reply.headers)[b"allow"] == b"POST, PUT, HEAD, OPTIONS"
    asked = await hook.send(method="OPTIONS", content_type=None)
    assert (asked.status, dict(asked.headers)[b"allow"]) == (204, b"POST, PUT, HEAD, OPTIONS")
    assert (await hook.send(b"{}", method="PUT")).status == 202


async def test_an_unknown_flow_is_404_and_all_of_them_count_as_one() -> None:
    hook = HookOverMemory(webhook_flow())
    for path in ("nope", "", "orders2", "..", "ORDERS", "orders%2F"):
        assert document(await hook.send(b"{}", path=path))["code"] == "request.flow_unknown"
    assert set(hook.metrics) == {("-", "request.flow_unknown")}


# Each request has two faults, and the earlier one is told.
@pytest.mark.rule(4)
@pytest.mark.parametrize(
    ("expected", "change"),
    [
        ("request.flow_unknown", {"path": "nope", "method": "DELETE"}),
        ("request.method", {"method": "DELETE", "body": b"{}" * 3000}),
        ("request.too_large", {"body": b"{}" * 3000, "content_type": "text/plain"}),
        ("request.media_type", {"content_type": "text/plain", "headers": [(b"x-reject", b"1")]}),
        ("request.not_verified", {"headers": [(b"x-reject", b"1")], "body": b"{}" * 3000, "declare": False}),
        ("request.too_large", {"body": b"{}x" * 3000, "declare": False}),
        ("request.not_verified", {"body": b"not json"}),
        ("request.malformed", {"body": b"not json}"}),
        ("request.schema", {"body": b'{"id": 1}'}),
        ("request.too_many", {"body": b'{"id": "1"}'}),
    ],
)
async def test_checks_come_in_the_order_of_the_contract(expected: str, change: dict[str, Any]) -> None:
    schema, problems = compile_schema({"properties": {"id": {"type": "string"}}})
    assert not problems
    hook = signed(LastByte(), max_body=4000, media_types=("application/json",), schema=schema)
    hook.intake.failure = TooManyRequests(retry_after=2.1)
    reply = await hook.send(**({"body": b'{"id": "1"}'} | change))
    assert document(reply)["code"] == expected
    assert not hook.intake.accepted


async def test_a_body_that_breaks_the_schema_gets_every_problem() -> None:
    schema, _ = compile_schema({"required": ["a"], "properties": {"b/c": {"type": "integer", "maximum": 3}}})
    hook = HookOverMemory(webhook_flow(schema=schema))
    value = document(await hook.send(b'{"b/c": "x"}'))
    assert (value["status"], value["code"]) == (422, "request.schema")
    assert {(problem["pointer"], problem["code"]) for problem in value["problems"]} == {
        ("", "schema.required"),
        ("/b~1c", "schema.type"),
    }


@pytest.mark.rule(4)
async def test_429_and_503_say_when_to_come_again() -> None:
    hook = HookOverMemory(webhook_flow())
    hook.intake.failure = TooManyRequests("over the flow's rate", retry_after=2.1)
    reply = await hook.send(b"{}")
    assert document(reply)["status"] == 429
    assert dict(reply.headers)[b"retry-after"] == b"3"
    for failure in (ServiceUnavailable(retry_after=30), StoreError("disk full"), RuntimeError("defect")):
        hook.intake.failure = failure
        reply = await hook.send(b"{}")
        assert document(reply)["code"] == "request.unavailable"
        assert int(dict(reply.headers)[b"retry-after"]) > 0
        assert b"disk" not in reply.body
        assert b"defect" not in reply.body
    assert hook.metrics == [("orders", "request.too_many")] + [("orders", "request.unavailable")] * 3


@pytest.mark.rule(38)
async def test_a_sender_learns_that_its_message_may_be_stored() -> None:
    hook = HookOverMemory(webhook_flow())
    hook.intake.failure = StoreError("10.0.0.1 hasn't answered", in_doubt=True)
    reply = await hook.send(b"{}")
    rejected = document(reply)
    assert (rejected["status"], rejected["code"]) == (503, "request.possibly_stored")
    assert "isn't known whether" in rejected["detail"]
    assert "dedupe key" in rejected["detail"]
    assert int(dict(reply.headers)[b"retry-after"]) > 0
    assert b"10.0.0.1" not in reply.body


async def test_a_body_over_the_bound_is_413_while_it_comes() -> None:
    hook = HookOverMemory(webhook_flow(max_body=100))
    seen = []

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(100):
            seen.append(number)
            yield b" " * 60

    request = HookRequest(
        "POST", "orders", b"/hook/orders", b"", [(b"content-type", b"application/json")], chunks(), None
    )
    assert document(await hook.hook.handle(request))["status"] == 413
    assert seen == [0, 1]


async def test_media_types_are_those_that_the_flow_takes() -> None:
    hook = HookOverMemory(webhook_flow(media_types=("application/json", "text/*")))
    assert (await hook.send(b"{}", "application/json; charset=utf-8")).status == 202
    assert (await hook.send(b"hi", "TEXT/Plain")).status == 202
    assert (await hook.send(b"", None)).status == 202
    for kind in ("application/xml", None, "application/problem+json"):
        assert document(await hook.send(b"<a/>", kind))["status"] == 415


async def test_an_unknown_content_encoding_is_415_and_says_what_is_taken() -> None:
    hook = HookOverMemory(webhook_flow())
    reply = await hook.send(b"{}", headers=[(b"content-encoding", b"compress")])
    assert document(reply)["status"] == 415
    assert dict(reply.headers)[b"accept-encoding"] == b"gzip, deflate, br, zstd"
    assert (await hook.send(b"{}", headers=[(b"content-encoding", b"identity")])).status == 202


async def test_a_silent_sender_is_408() -> None:
    hook = HookOverMemory(webhook_flow(), options=HookOptions("https://hooks.example", read_timeout=0.01))

    async def chunks() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    request = HookRequest("POST", "orders", b"/hook/orders", b"", [(b"content-type", b"application/json")], chunks())
    assert document(await hook.hook.handle(request))["status"] == 408


async def test_a_trickle_is_408_although_it_never_stops() -> None:
    hook = HookOverMemory(webhook_flow())

    late = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal late
        yield b"x" * 1_000_000
        while True:
            await asyncio.sleep(0)
            await hook.clock.sleep(20)
            late += 1
            yield b" "

    assert document(await hook.hook.handle(png(chunks())))["status"] == 408
    # What it has sent before doesn't let it be slow for as long.
    assert late == 2
    assert not hook.memory_blobs.kept


async def test_a_sender_that_is_always_just_fast_enough_has_half_an_hour() -> None:
    hook = HookOverMemory(webhook_flow())

    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            await asyncio.sleep(0)
            await hook.clock.sleep(25)
            yield b"x" * 30_000

    assert (await hook.hook.handle(png(chunks(70)))).status == 202
    rejected = document(await hook.hook.handle(png(chunks(80))))
    assert (rejected["code"], rejected["detail"]) == (
        "request.timeout",
        "the request took longer than 1800 s; send less at once, or faster",
    )


async def test_time_that_storing_takes_is_not_the_senders_but_counts_for_the_whole() -> None:
    """A file that took longer could be swept before its message is stored."""
    hook = HookOverMemory(webhook_flow())

    async def chunks(seconds: float) -> AsyncIterator[bytes]:
        for _ in range(3):
            await hook.clock.sleep(seconds)
            yield b"x"

    assert (await hook.hook.handle(png(chunks(599)))).status == 202
    assert document(await hook.hook.handle(png(chunks(601))))["status"] == 408
    assert len(hook.memory_blobs.kept) == 1


@pytest.mark.rule(43)
async def test_all_requests_together_store_so_much_and_no_more() -> None:
    options = HookOptions("https://hooks.example", max_file=1000, max_file_total=100)
    hook = HookOverMemory(webhook_flow(), options=options)
    go_on = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x" * 70
        await go_on.wait()

    first = asyncio.create_task(hook.hook.handle(png(chunks())))
    await asyncio.sleep(0)
    rejected = await hook.send(b"x" * 31, "image/png")
    assert document(rejected)["code"] == "request.unavailable"
    assert dict(rejected.headers)[b"retry-after"] == b"60"
    assert (await hook.send(b"x" * 30, "image/png")).status == 202
    go_on.set()
    assert (await first).status == 202
    # What has come leaves its room to others, and so does what was rejected.
    for _ in range(2):
        assert (await hook.send([b"x" * 90, b"x" * 11], "image/png")).status == 413
    assert (await hook.send(b"x" * 100, "image/png")).status == 202


@pytest.mark.rule(43)
@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=b"])
async def test_bodies_of_all_requests_together_take_so_much_memory_and_no_more(kind: str) -> None:
    options = HookOptions("https://hooks.example", max_body=300_000, max_body_total=400_000)
    hook = HookOverMemory(webhook_flow(), options=options)
    go_on = asyncio.Event()

    def whole(size: int) -> list[bytes]:
        text = [b"x" * size]
        if kind == "text/plain":
            return text
        return [b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n", *text, b"\r\n--b--"]

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in whole(250_000)[:2]:
            yield chunk
        await go_on.wait()
        for chunk in whole(1)[2:]:
            yield chunk

    request = HookRequest("POST", "orders", b"/hook/orders", b"", [(b"content-type", kind.encode())], chunks())
    first = asyncio.create_task(hook.hook.handle(request))
    await asyncio.sleep(0)
    rejected = await hook.send(whole(200_000), kind)
    assert (document(rejected)["code"], document(rejected)["status"]) == ("request.unavailable", 503)
    # Small ones always have room.
    assert (await hook.send(whole(60_000), kind)).status == 202
    assert (await hook.send(whole(140_000), kind)).status == 202
    go_on.set()
    assert (await first).status == 202
    for _ in range(3):
        assert (await hook.send(whole(300_000), kind)).status == 202


_FORM = "application/x-www-form-urlencoded"
_PART = b"--b\r\nContent-Disposition: form-data; name=json\r\nContent-Type: application/json\r\n\r\n"


@pytest.mark.rule(43)
@pytest.mark.parametrize(
    ("kind", "many"),
    [
        ("application/json", b"[" + b"1," * 10_000 + b"1]"),
        ("application/json", b'{"a":[' + b"{}," * 7_000 + b"1]}"),
        ("application/xml", b"<r>" + b"<a/>" * 10_000 + b"</r>"),
        ("application/xml", b"<r " + b" ".join(b'a%d=""' % number for number in range(10_000)) + b"/>"),
        (_FORM, b"&".join(b"a[%d]=1" % number for number in range(5_000))),
        (_FORM, b"json=[" + b"1," * 10_000 + b"1]"),
        ("multipart/form-data; boundary=b", _PART + b"[" + b"1," * 10_000 + b"1]\r\n--b--"),
    ],
    ids=["list", "objects", "elements", "attributes", "form", "JSON in a form", "JSON in a part"],
)
async def test_the_values_that_bodies_become_take_memory_until_they_are_stored(kind: str, many: bytes) -> None:
    options = HookOptions("https://hooks.example", max_body_total=1_000_000)
    hook = HookOverMemory(webhook_flow(nested=True, json_fields=("json",)), options=options)
    stored = asyncio.Event()
    accept = hook.intake.accept

    async def slowly(*arguments: Any) -> Any:
        await stored.wait()
        return await accept(*arguments)

    hook.intake.accept = slowly  # type: ignore[method-assign]  # the store is slow
    first = asyncio.create_task(hook.send(many, kind))
    await asyncio.sleep(0)
    rejected = await hook.send(many, kind)
    assert (document(rejected)["code"], document(rejected)["status"]) == ("request.unavailable", 503)
    small = asyncio.create_task(hook.send(b"[1, 2, 3]"))
    stored.set()
    assert (await first).status == 202
    assert (await small).status == 202, "small bodies always have room"
    for _ in range(3):
        assert (await hook.send(many, kind)).status == 202


@pytest.mark.rule(43)
@pytest.mark.parametrize(
    ("kind", "headers", "begin"),
    [
        ("text/plain", {"content-encoding": "gzip"}, b"\x1f\x8b\x08\x08" + bytes(6)),
        ("multipart/form-data; boundary=b", {}, b""),
    ],
    ids=["the name in a gzip header", "text before the first part"],
)
async def test_bytes_that_are_kept_and_give_no_body_take_memory_too(
    kind: str, headers: dict[str, str], begin: bytes
) -> None:
    options = HookOptions("https://hooks.example", max_body=300_000, max_body_total=400_000)
    hook = HookOverMemory(webhook_flow(), options=options)
    go_on = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield begin
        yield b"x" * 250_000
        await go_on.wait()

    sent = [(b"content-type", kind.encode()), *((name.encode(), value.encode()) for name, value in headers.items())]
    first = asyncio.create_task(hook.hook.handle(HookRequest("POST", "orders", b"/hook/orders", b"", sent, chunks())))
    await asyncio.sleep(0)
    assert (await hook.send(b"x" * 200_000, "text/plain")).status == 503
    go_on.set()
    await first
    assert (await hook.send(b"x" * 200_000, "text/plain")).status == 202


@pytest.mark.rule(43)
async def test_a_body_whose_values_never_have_room_is_too_large() -> None:
    hook = HookOverMemory(webhook_flow(), options=HookOptions("https://hooks.example", max_body_total=500_000))
    assert (await hook.send(b"[" + b"1," * 10_000 + b"1]")).status == 413
    assert (await hook.send(b"[" + b"1," * 7_000 + b"1]")).status == 202


@pytest.mark.rule(43)
@pytest.mark.parametrize("respond", ["finished", "reply"])
async def test_a_message_whose_sender_waits_for_a_reply_is_not_kept_in_memory(respond: str) -> None:
    hook = HookOverMemory(webhook_flow(respond=respond))
    waiting = asyncio.create_task(hook.send(b'["a message"]'))
    async with asyncio.timeout(30):
        while not hook.intake.accepted:  # noqa: ASYNC110 - the hook's own
            await asyncio.sleep(0)
    message = hook.intake.accepted.pop().message
    assert sys.getrefcount(message) == 2, "others than this name and the argument refer to it"
    waiting.cancel()


async def test_what_a_body_inflates_to_takes_memory_too() -> None:
    hook = HookOverMemory(
        webhook_flow(max_body=500_000), options=HookOptions("https://h.example", max_body_total=400_000)
    )
    body = gzip.compress(b"x" * 450_000)
    assert (await hook.send(body, "text/plain", headers=[(b"content-encoding", b"gzip")])).status == 413


def png(chunks: AsyncIterator[bytes]) -> HookRequest:
    return HookRequest("POST", "orders", b"/hook/orders", b"", [(b"content-type", b"image/png")], chunks)


def test_problems_name_their_remedy_and_are_bounded() -> None:
    from hookline.kernel.errors import SchemaViolation
    from hookline.service.problem_documents import MAX_PROBLEMS, describe_code, error_kinds, rejection_response

    many = [Problem("wrong", f"/{number}", remedy="right it") for number in range(MAX_PROBLEMS + 5)]
    value = document(rejection_response(SchemaViolation(problems=many)))
    assert len(value["problems"]) == MAX_PROBLEMS
    assert value["problems"][0] == {"detail": "wrong", "pointer": "/0", "code": "invalid", "remedy": "right it"}
    assert f"of {len(many)} problems" in value["detail"]
    assert all(describe_code(code) for code in error_kinds())
    assert describe_code("nope") is None


@pytest.mark.rule(9)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"content-type", b"application/octet-stream"),
        (b"content-encoding", b"identity"),
        (b"content-length", b"2"),
        (b"content-disposition", b"attachment"),
        (b"host", b"example.com"),
        (b"origin", b"https://example.com"),
    ],
)
async def test_a_header_that_may_come_once_is_400_where_it_comes_twice(name: bytes, value: bytes) -> None:
    hook = HookOverMemory(webhook_flow())
    once = [(name, value)] if name not in (b"content-type", b"content-length") else []
    assert (await hook.send(b"{}", headers=once)).status == 202
    reply = await hook.send(b"{}", headers=[*once, (name, value)])
    assert reply.status == 400
    assert f"several {name.decode().title()} headers" in reply.body.decode()


@pytest.mark.rule(16)
async def test_too_many_header_lines_are_431() -> None:
    hook = HookOverMemory(webhook_flow())
    headers = [(b"x-a", b"%d" % number) for number in range(198)]
    assert (await hook.send(b"{}", headers=headers)).status == 202
    assert hook.intake.accepted[0].message.headers["x-a"] == ", ".join(map(str, range(198)))
    reply = await hook.send(b"{}", headers=[*headers, (b"x-b", b"")])
    assert reply.status == 431
    assert "more than 200 header lines" in reply.body.decode()
