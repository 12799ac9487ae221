"""The hook's answers: SEMANTICS rules 4, 5, 8, 9 and 10, and the table of statuses."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from hookline.errors import (
    CannotVerify,
    MissingValue,
    NotVerified,
    Problem,
    StoreError,
    TooMany,
    Unavailable,
)
from hookline.flows.body_schema import compile_schema
from hookline.flows.keys import key_text
from hookline.scheme import Check, NoSettings, Scheme, SignedRequest, Verified
from hookline.service.exchange import HookReply, HookRequest, SenderGone
from hookline.service.hook import HookOptions
from hookline.service.staging import IN_MEMORY
from hookline.testing.hook import HookOverMemory, webhook_flow


class Key(BaseModel):
    secret: str


class LastByte(Scheme[Key, NoSettings]):
    """Holds where the body ends with the secret."""

    name = "last-byte"
    title = "Last byte"
    credential = Key

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.seen: SignedRequest | None = None

    def secret_headers(self, settings: NoSettings) -> frozenset[str]:
        return frozenset({"x-secret"})

    def open(self, request: SignedRequest, credential: Key, settings: NoSettings) -> Check:
        self.seen = request
        if request.header("x-refuse") is not None:
            raise NotVerified("the header refuses")
        return _LastByte(credential.secret.encode(), self.key)


class _LastByte:
    def __init__(self, secret: bytes, key: str | None) -> None:
        self._secret = secret
        self._key = key
        self._last = b""

    def feed(self, chunk: bytes) -> None:
        self._last = chunk[-1:]

    async def finish(self) -> Verified:
        if self._last != self._secret:
            raise NotVerified("the last byte is wrong")
        return Verified(self._key)


class Broken(LastByte):
    name = "broken"

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def open(self, request: SignedRequest, credential: Key, settings: NoSettings) -> Check:
        if self.where == "open":
            raise KeyError("defect")
        return _Broken(self.where)


class _Broken:
    def __init__(self, where: str) -> None:
        self.where = where

    def feed(self, chunk: bytes) -> None:
        if self.where == "feed":
            raise ZeroDivisionError

    async def finish(self) -> Verified:
        if self.where == "cannot":
            raise CannotVerify("the certificate can't be fetched")
        raise RuntimeError("defect")


class HeaderOnly(LastByte):
    name = "header-only"
    reads_body = False

    def open(self, request: SignedRequest, credential: Key, settings: NoSettings) -> Check:
        return _Header(request.header("x-secret") == credential.secret)


class _Header:
    def __init__(self, holds: bool) -> None:
        self._holds = holds

    def feed(self, chunk: bytes) -> None:
        raise AssertionError("a header-only scheme isn't fed")

    async def finish(self) -> Verified:
        if not self._holds:
            raise NotVerified
        return Verified()


class Unread:
    """A body that nobody may read."""

    def __aiter__(self) -> "Unread":
        return self

    async def __anext__(self) -> bytes:
        raise AssertionError("the body is read")


def signed(scheme: Scheme[Any, Any], **settings: Any) -> HookOverMemory:
    flow = webhook_flow(scheme=scheme, credential="key", **settings)
    return HookOverMemory(flow, credentials={"key": (scheme.name, Key(secret="}"))})


class Value:
    """Stands for a compiled template: gives what a function finds in the scope."""

    references = ()
    constant = False

    def __init__(self, find: Any) -> None:
        self.find = find

    def evaluate(self, scope: Any) -> Any:
        try:
            return self.find(scope)
        except KeyError as error:
            raise MissingValue(f"there is no {error}") from None


def document(reply: HookReply) -> dict[str, Any]:
    headers = dict(reply.headers)
    assert headers[b"content-type"] == b"application/problem+json"
    value: dict[str, Any] = json.loads(reply.body)
    assert {"type", "title", "status", "detail", "code"} <= value.keys()
    assert value["status"] == reply.status
    assert value["type"] == f"/problems/{value['code']}"
    return value


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
    assert dict(reply.headers)[b"allow"] == b"POST, PUT, HEAD"
    assert (await hook.send(b"{}", method="PUT")).status == 202


async def test_an_unknown_flow_is_404_and_all_of_them_count_as_one() -> None:
    hook = HookOverMemory(webhook_flow())
    for path in ("nope", "", "orders2", "..", "ORDERS", "orders%2F"):
        assert document(await hook.send(b"{}", path=path))["code"] == "request.flow_unknown"
    assert set(hook.metrics) == {("-", "request.flow_unknown")}


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"2"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"2"), (b"content-length", b"2")],
        [(b"content-length", b"+2")],
        [(b"content-length", b"2" * 30)],
        [(b"transfer-encoding", b"gzip, chunked")],
    ],
)
async def test_bad_framing_is_400_and_closes_the_connection(headers: list[tuple[bytes, bytes]]) -> None:
    hook = HookOverMemory(webhook_flow())
    reply = await hook.send(b"{}", path="nope", headers=headers, declare=False)
    assert document(reply)["code"] == "request.malformed"
    assert (b"connection", b"close") in reply.headers


# Rule 4: each request has two faults, and the earlier one is told.
@pytest.mark.parametrize(
    ("expected", "change"),
    [
        ("request.flow_unknown", {"path": "nope", "method": "DELETE"}),
        ("request.method", {"method": "DELETE", "body": b"{}" * 3000}),
        ("request.too_large", {"body": b"{}" * 3000, "content_type": "text/plain"}),
        ("request.media_type", {"content_type": "text/plain", "headers": [(b"x-refuse", b"1")]}),
        ("request.not_verified", {"headers": [(b"x-refuse", b"1")], "body": b"{}" * 3000, "declare": False}),
        ("request.too_large", {"body": b"{}x" * 3000, "declare": False}),
        ("request.not_verified", {"body": b"not json"}),
        ("request.malformed", {"body": b"not json}"}),
        ("request.schema", {"body": b'{"id": 1}'}),
        ("request.too_many", {"body": b'{"id": "1"}'}),
    ],
)
async def test_checks_come_in_the_order_of_rule_4(expected: str, change: dict[str, Any]) -> None:
    schema, problems = compile_schema({"properties": {"id": {"type": "string"}}})
    assert not problems
    hook = signed(LastByte(), max_body=4000, media_types=("application/json",), schema=schema)
    hook.intake.failure = TooMany(retry_after=2.1)
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


async def test_429_and_503_say_when_to_come_again() -> None:
    hook = HookOverMemory(webhook_flow())
    hook.intake.failure = TooMany("over the flow's rate", retry_after=2.1)
    reply = await hook.send(b"{}")
    assert document(reply)["status"] == 429
    assert dict(reply.headers)[b"retry-after"] == b"3"
    for failure in (Unavailable(retry_after=30), StoreError("disk full"), RuntimeError("defect")):
        hook.intake.failure = failure
        reply = await hook.send(b"{}")
        assert document(reply)["code"] == "request.unavailable"
        assert int(dict(reply.headers)[b"retry-after"]) > 0
        assert b"disk" not in reply.body
        assert b"defect" not in reply.body
    assert hook.metrics == [("orders", "request.too_many")] + [("orders", "request.unavailable")] * 3


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


# --- Verification ------------------------------------------------------------------------------------------------


async def test_what_schemes_sign_begins_with_the_public_url_not_with_the_host_header() -> None:
    scheme = LastByte()
    hook = signed(scheme)
    await hook.send(b"{}", path="orders/a%20b", query=b"q=%20&r", headers=[(b"host", b"evil.example")])
    assert scheme.seen is not None
    assert scheme.seen.url == "https://hooks.example/hook/orders/a%20b?q=%20&r"
    assert scheme.seen.received_at == hook.clock.at
    assert hook.intake.accepted[0].arrival.verified_by == "last-byte"


async def test_every_way_of_not_being_verified_gives_the_same_answer() -> None:
    hook = signed(LastByte())
    replies = [
        await hook.send(b"{} "),
        await hook.send(b""),
        await hook.send(b"{}", headers=[(b"x-refuse", b"1")]),
        await hook.send(b"{}", headers=[(b"x-refuse", b"1"), (b"x-refuse", b"2")]),
    ]
    assert document(replies[0])["status"] == 401
    assert all(reply == replies[0] for reply in replies)
    assert not hook.intake.accepted


@pytest.mark.parametrize("where", ["open", "feed", "finish", "cannot"])
async def test_a_scheme_that_fails_gives_503_and_accepts_nothing(where: str) -> None:
    hook = signed(Broken(where))
    reply = await hook.send(b"{}")
    assert document(reply)["code"] == "request.cannot_verify"
    assert b"retry-after" in dict(reply.headers)
    assert not hook.intake.accepted


async def test_a_missing_or_wrong_credential_is_503() -> None:
    for name, credential in (("key", None), (None, None), ("key", ("other", NoSettings()))):
        flow = webhook_flow(scheme=LastByte(), credential=name)
        hook = HookOverMemory(flow, credentials={"key": credential} if credential else {})
        assert document(await hook.send(b"{}"))["code"] == "request.cannot_verify"
        assert not hook.intake.accepted


async def test_header_only_schemes_are_judged_before_the_body_is_read() -> None:
    hook = signed(HeaderOnly())

    request = HookRequest("POST", "orders", b"/hook/orders", b"", [(b"x-secret", b"wrong")], Unread())
    assert document(await hook.hook.handle(request))["status"] == 401
    assert (await hook.send(b"{}", headers=[(b"x-secret", b"}")])).status == 202


async def test_secret_headers_are_masked_before_anything_is_stored() -> None:
    hook = signed(HeaderOnly())
    await hook.send(b"{}", headers=[(b"x-secret", b"}")])
    (envelope,) = hook.intake.accepted
    assert envelope.message.headers["x-secret"] == "***"
    assert ("x-secret", "***") in envelope.raw_headers
    assert ("x-secret", "}") not in envelope.raw_headers


async def test_a_large_signed_body_waits_on_disk_and_leaves_nothing_there() -> None:
    hook = signed(LastByte())
    text = b'{"a": "%b"}' % (b"x" * IN_MEMORY)
    pieces = [text[start : start + 60_000] for start in range(0, len(text), 60_000)]
    assert (await hook.send(pieces)).status == 202
    assert hook.intake.accepted[0].body_json == text
    assert hook.memory_blobs.made == 1
    assert (await hook.send([*pieces[:-1], b"forged"])).status == 401
    assert hook.memory_blobs.made == 1
    assert not hook.memory_blobs.kept
    assert hook.memory_blobs.open_writers == 0


async def test_a_large_signed_file_is_kept_once() -> None:
    hook = signed(LastByte())
    data = b"x" * IN_MEMORY + b"}"
    for body in (data, b"small}"):
        assert (await hook.send(body, "image/png")).status == 202
        (attachment,) = hook.intake.accepted[-1].message.attachments
        assert hook.memory_blobs.kept[attachment.id] == body
    assert hook.memory_blobs.made == 2


# --- Dedupe ------------------------------------------------------------------------------------------------------


async def test_a_duplicate_gets_200_and_the_first_id() -> None:
    flow = webhook_flow(dedupe_key=Value(lambda scope: scope["body"]["id"]))
    hook = HookOverMemory(flow)
    first = json.loads((await hook.send(b'{"id": "1"}')).body)
    again = await hook.send(b'{"id": "1", "more": true}')
    assert again.status == 200
    assert json.loads(again.body) == first | {"status": "duplicate"}
    assert (await hook.send(b'{"id": 1}')).status == 202
    (envelope, other) = hook.intake.accepted
    assert (envelope.dedupe_key, other.dedupe_key) == ("s:1", "j:1")
    assert envelope.dedupe_until is not None
    assert (envelope.dedupe_until - envelope.accepted_at).days == 7


async def test_a_duplicates_files_are_thrown_away() -> None:
    flow = webhook_flow(dedupe_key=Value(lambda scope: scope["headers"]["x-id"]))
    hook = HookOverMemory(flow)
    for status in (202, 200):
        assert (await hook.send(b"data", "image/png", headers=[(b"x-id", b"1")])).status == status
    assert len(hook.memory_blobs.kept) == 1


@pytest.mark.parametrize("body", [b"{}", b'{"id": null}'])
async def test_a_missing_or_null_dedupe_key_is_422(body: bytes) -> None:
    hook = HookOverMemory(webhook_flow(dedupe_key=Value(lambda scope: scope["body"]["id"])))
    value = document(await hook.send(body))
    assert value["status"] == 422
    assert value["problems"][0]["code"] == "dedupe_key"


async def test_without_a_dedupe_key_the_schemes_own_id_is_taken() -> None:
    hook = signed(LastByte("evt_1"))
    assert [(await hook.send(b"{}")).status for _ in range(2)] == [202, 200]
    assert hook.intake.accepted[0].dedupe_key == "v:evt_1"


async def test_a_forged_request_uses_no_key_up() -> None:
    hook = signed(LastByte("evt_1"))
    assert (await hook.send(b"forged")).status == 401
    assert (await hook.send(b"{}")).status == 202


async def test_the_dedupe_key_sees_the_trigger_and_the_vars() -> None:
    seen: dict[str, Any] = {}
    hook = HookOverMemory(webhook_flow(dedupe_key=Value(lambda scope: seen.update(scope) or "k")))
    await hook.send(b'{"a": 1}', path="orders/x", query=b"q=1")
    assert seen["body"] == seen["trigger"]["body"] == {"a": 1}
    assert (seen["trigger"]["path"], seen["trigger"]["query"]) == ("x", {"q": "1"})
    assert (seen["attachments"], seen["vars"]) == ([], {})


def test_dedupe_keys_are_unambiguous_and_bounded() -> None:
    values = ["1", 1, 1.5, True, "true", [1], ["1"], {"a": 1, "b": 2}, "j:1", "s:1", "x" * 300, "x" * 301, "a\0", "a"]
    keys = [key_text(value) for value in values]
    assert len(set(keys)) == len(values)
    assert all(len(key) <= 200 and "\0" not in key for key in keys)
    assert key_text({"b": 2, "a": 1}) == key_text({"a": 1, "b": 2})


# --- What is left behind -----------------------------------------------------------------------------------------


async def test_files_of_a_refused_request_are_deleted() -> None:
    schema, _ = compile_schema({"type": "string"})
    hook = HookOverMemory(webhook_flow(schema=schema, max_file=10))
    assert (await hook.send(b"data", "image/png")).status == 422
    assert (await hook.send([b"data", b"x" * 10], "image/png", declare=False)).status == 413
    hook.intake.failure = TooMany()
    assert not hook.memory_blobs.kept
    assert hook.memory_blobs.open_writers == 0


async def test_files_stay_where_it_is_unknown_whether_the_message_was_stored() -> None:
    hook = HookOverMemory(webhook_flow())
    hook.intake.failure = Unavailable()
    await hook.send(b"data", "image/png")
    assert len(hook.memory_blobs.kept) == 1
    hook.intake.failure = TooMany()
    await hook.send(b"data", "image/png")
    assert len(hook.memory_blobs.kept) == 1


@pytest.mark.parametrize("failure", [SenderGone, asyncio.CancelledError])
async def test_files_of_a_sender_that_goes_away_are_deleted(failure: type[BaseException]) -> None:
    hook = HookOverMemory(webhook_flow())

    async def chunks() -> AsyncIterator[bytes]:
        yield b"data"
        raise failure

    request = HookRequest("POST", "orders", b"/hook/orders", b"", [(b"content-type", b"image/png")], chunks())
    with pytest.raises(failure):
        await hook.hook.handle(request)
    assert not hook.memory_blobs.kept
    assert hook.memory_blobs.open_writers == 0


async def test_a_silent_sender_is_408() -> None:
    hook = HookOverMemory(webhook_flow(), options=HookOptions("https://hooks.example", read_timeout=0.01))

    async def chunks() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    request = HookRequest("POST", "orders", b"/hook/orders", b"", [(b"content-type", b"application/json")], chunks())
    assert document(await hook.hook.handle(request))["status"] == 408


async def test_a_trickle_is_408_although_it_never_stops() -> None:
    hook = HookOverMemory(webhook_flow())

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            await hook.clock.sleep(20)
            yield b" "

    request = HookRequest("POST", "orders", b"/hook/orders", b"", [(b"content-type", b"application/json")], chunks())
    assert document(await hook.hook.handle(request))["status"] == 408


def test_problems_name_their_remedy_and_are_bounded() -> None:
    from hookline.errors import SchemaViolation
    from hookline.service.problems import MAX_PROBLEMS, explain, kinds, refusal

    many = [Problem("wrong", f"/{number}", remedy="right it") for number in range(MAX_PROBLEMS + 5)]
    value = document(refusal(SchemaViolation(problems=many)))
    assert len(value["problems"]) == MAX_PROBLEMS
    assert value["problems"][0] == {"detail": "wrong", "pointer": "/0", "code": "invalid", "remedy": "right it"}
    assert f"of {len(many)} problems" in value["detail"]
    assert all(explain(code) for code in kinds())
    assert explain("nope") is None
