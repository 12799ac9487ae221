"""Triggers whose requests have a form of their own: one message, several, none, or a rejection."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from tests.unit.service.hooks.hook_harness import Key, LastByte, document

from hookline.bodies.media_types import read_media
from hookline.flows.schemas.body_schema import compile_schema
from hookline.kernel.errors import Malformed, PossiblyStored, Problem, TooManyRequests
from hookline.model.message import Attachment
from hookline.model.webhook import BodyMode
from hookline.sdk.schemes import WebhookResponse
from hookline.sdk.triggers import IncomingMessage, NewFile, ParsedRequest, RequestTrigger
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow


class Lines:
    """Reads a text of lines: each is a message, whose first word is its id. Remembers what it was given."""

    def __init__(self) -> None:
        self.seen: list[ParsedRequest] = []

    def read(self, request: ParsedRequest, settings: Any) -> Sequence[IncomingMessage]:
        self.seen.append(request)
        if not isinstance(request.body, str):
            return [IncomingMessage({"file": True}, None, request.attachments)]
        lines = request.body.splitlines()
        wrong = [
            Problem("a line has an id", f"/{index}", "no_id")
            for index, line in enumerate(lines)
            if line.startswith(" ")
        ]
        if wrong:
            raise Malformed("The lines can't be read.", problems=wrong)
        return [
            IncomingMessage(
                {"line": line}, line.split()[0], files=(NewFile("line", "text/plain", line.encode(), "../a.txt"),)
            )
            for line in lines
        ]

    def body_mode(self, media_type: str, settings: Any) -> BodyMode:
        return "raw" if media_type == "image/png" else "text"

    def options(self, headers: Mapping[str, str], settings: Any) -> WebhookResponse | None:
        return WebhookResponse(200, headers=[("X-Hello", headers["x-hello"])]) if "x-hello" in headers else None


def hook(lines: Lines, **settings: Any) -> HookOverMemory:
    trigger = RequestTrigger(
        name="lines", title="Lines", read=lines.read, body_mode=lines.body_mode, options=lines.options
    )
    return HookOverMemory(webhook_flow(request=trigger, **settings))


async def test_one_message_is_answered_as_ever_and_has_what_was_read() -> None:
    lines = Lines()
    made = hook(lines)
    reply = await made.send(b"1 a", "application/xml", headers=[(b"x-a", b"b")])
    assert reply.status == 202
    assert json.loads(reply.body)["status"] == "queued"
    (envelope,) = made.intake.accepted
    message = envelope.message
    assert message.body == {"line": "1 a"}
    assert message.headers["x-a"] == "b"
    assert envelope.raw == b"1 a"
    assert envelope.dedupe_key == "m:1"
    (file,) = message.attachments
    assert (file.name, file.filename, file.type, file.size) == ("line", "a.txt", "text/plain", 3)
    assert made.memory_blobs.kept[file.id] == b"1 a"
    (seen,) = lines.seen
    assert (seen.method, seen.media_type, seen.content_type) == ("POST", "application/xml", "application/xml")
    assert ("x-a", "b") in seen.headers


async def test_several_messages_are_executions_of_their_own() -> None:
    made = hook(Lines())
    reply = await made.send(b"1 a\n2 b\n1 c", "text/plain")
    assert reply.status == 202
    value = json.loads(reply.body)
    first, second = made.intake.accepted
    assert [first.message.body, second.message.body] == [{"line": "1 a"}, {"line": "2 b"}]
    assert value == {
        "flow_id": "orders",
        "status": "queued",
        "executions": [
            {"execution_id": first.execution_id, "status": "queued"},
            {"execution_id": second.execution_id, "status": "queued"},
            {"execution_id": first.execution_id, "status": "duplicate"},
        ],
    }
    assert first.raw is None
    again = await made.send(b"1 a\n2 b\n1 c", "text/plain")
    assert again.status == 200
    assert json.loads(again.body)["status"] == "duplicate"


async def test_no_message_is_no_failure_and_leaves_nothing() -> None:
    made = hook(Lines())
    reply = await made.send(b"", "text/plain")
    assert (reply.status, json.loads(reply.body)) == (200, {"flow_id": "orders", "status": "ignored", "executions": []})
    assert made.intake.accepted == []
    assert made.memory_blobs.kept == {}


async def test_what_the_trigger_rejects_is_rejected_with_every_problem() -> None:
    made = hook(Lines())
    value = document(await made.send(b" a\n2 b\n c", "text/plain"))
    assert (value["status"], value["code"]) == (400, "request.malformed")
    assert [problem["pointer"] for problem in value["problems"]] == ["/0", "/2"]
    assert made.intake.accepted == []


async def test_files_of_the_request_stay_files() -> None:
    made = hook(Lines())
    assert (await made.send(b"png", "image/png")).status == 202
    (attachment,) = made.intake.accepted[0].message.attachments
    assert isinstance(attachment, Attachment)
    assert made.memory_blobs.kept[attachment.id] == b"png"


async def test_the_schema_is_that_of_each_message() -> None:
    schema, problems = compile_schema({"properties": {"line": {"pattern": "a"}}})
    assert problems == []
    made = hook(Lines(), schema=schema)
    value = document(await made.send(b"1 a\n2 b\n3 c", "text/plain"))
    assert value["status"] == 422
    assert [problem["pointer"] for problem in value["problems"]] == ["/1/line", "/2/line"]
    assert document(await made.send(b"2 b", "text/plain"))["problems"][0]["pointer"] == "/line"
    assert made.intake.accepted == []
    assert made.memory_blobs.kept == {}


async def test_several_messages_get_no_answer_of_a_flow() -> None:
    made = hook(Lines(), respond="reply")
    value = document(await made.send(b"1 a\n2 b", "text/plain"))
    assert value["status"] == 415
    assert made.intake.accepted == []


async def test_a_message_in_doubt_counts_more_than_one_that_isnt_stored() -> None:
    made = hook(Lines())
    failures: Iterator[Exception] = iter([TooManyRequests("full", retry_after=1), PossiblyStored(retry_after=5)])

    async def fail(_flow: Any, _envelope: Any) -> Any:
        raise next(failures)

    made.intake.accept = fail  # type: ignore[method-assign]  # it fails for each message in its own way
    assert document(await made.send(b"1 a\n2 b", "text/plain"))["code"] == "request.possibly_stored"


async def test_files_of_accepted_messages_stay_where_others_are_rejected() -> None:
    made = hook(Lines())
    accept, calls = made.intake.accept, 0

    async def second_fails(flow: Any, envelope: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise TooManyRequests("full", retry_after=1)
        return await accept(flow, envelope)

    made.intake.accept = second_fails  # type: ignore[method-assign]  # the second message finds it full
    assert (await made.send(b"1 a\n2 b", "text/plain")).status == 429
    (envelope,) = made.intake.accepted
    assert envelope.message.attachments[0].id in made.memory_blobs.kept
    reply = json.loads((await made.send(b"1 a\n2 b", "text/plain")).body)
    assert [one["status"] for one in reply["executions"]] == ["duplicate", "queued"]


async def test_the_id_of_a_request_tells_none_of_its_messages_apart() -> None:
    lines = Lines()
    trigger = RequestTrigger(
        name="lines", title="Lines", read=lambda request, _: [IncomingMessage("a"), IncomingMessage("b")]
    )
    made = HookOverMemory(
        webhook_flow(scheme=LastByte("of-the-request"), credential="key", request=trigger),
        credentials={"key": ("last-byte", Key(secret="}"))},
    )
    assert (await made.send(b"{}")).status == 202
    assert [envelope.dedupe_key for envelope in made.intake.accepted] == [None, None]
    assert lines.seen == []


async def test_options_is_answered_by_the_trigger_where_it_has_something_to_say() -> None:
    made = hook(Lines())
    reply = await made.send(method="OPTIONS", headers=[(b"x-hello", b"there")])
    assert (reply.status, dict(reply.headers)[b"x-hello"]) == (200, b"there")
    plain = await made.send(method="OPTIONS")
    assert plain.status == 204


@pytest.mark.parametrize("content_type", ["image/png", None, "application/json"])
async def test_a_flow_may_read_any_body_as_text(content_type: str | None) -> None:
    assert read_media(content_type, "text").kind == "text"
    made = HookOverMemory(webhook_flow(body="text"))
    await made.send("Straße".encode(), content_type)
    assert made.intake.accepted[0].message.body == "Straße"
