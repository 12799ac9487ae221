"""What senders are answered: at once, by the flow, or not in time. Over the engine, and the application over ASGI."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError
from tests.integration.engine_harness import Harness, act
from tests.integration.store_trouble import holds

from hookline.cli.actor import local_user
from hookline.engine import Engine
from hookline.executions.delivery.runner import Runner
from hookline.kernel.errors import StoreError
from hookline.kernel.json import decode, encode
from hookline.model.execution import Execution, ExecutionFilter, State
from hookline.model.webhook import AcceptedAnswer
from hookline.sdk.schemes import WebhookResponse
from hookline.service.app import create_endpoints
from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.hooks.immediate_responses import scheme_response
from hookline.storage.change_declarations import Change, CommitResult, End, Purge, RecordSteps

REPLY = {"use": "reply", "with": {"status": 201, "headers": {"X-Total": "3"}, "body": {"total": "$.body.n"}}}


@dataclass
class Caller:
    """Sends requests to the hook of an engine."""

    engine: Engine

    def __post_init__(self) -> None:
        self.hook = create_endpoints(self.engine, HookOptions("http://127.0.0.1")).hook

    async def send(
        self, body: Any, flow_id: str = "f", method: str = "POST", headers: Mapping[str, str] | None = None
    ) -> HookResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield encode(body)

        given = {"content-type": "application/json", **(headers or {})}
        return await self.hook.handle(
            HookRequest(
                method=method,
                path=flow_id,
                raw_path=f"/hook/{flow_id}".encode(),
                query=b"",
                headers=[(name.encode(), value.encode()) for name, value in given.items()],
                body=chunks(),
            )
        )


def header(reply: HookResponse, name: str) -> str | None:
    return next((value.decode("latin-1") for key, value in reply.headers if key == name.encode()), None)


def flow(harness: Harness, steps: list[Any], **webhook: Any) -> None:
    harness.flow("f", steps, trigger={"use": "webhook", "with": {"verify": "none", **webhook}})


@asynccontextmanager
async def calling(harness: Harness) -> AsyncIterator[Caller]:
    async with harness.engine() as engine:
        yield Caller(engine)


async def test_a_reply_step_answers_the_caller_and_the_flow_goes_on(harness: Harness) -> None:
    flow(harness, [REPLY, {"id": "after", "use": "probe.act", "with": {"value": "$.body"}}], respond="reply")
    async with calling(harness) as caller:
        reply = await caller.send({"n": 3})
        assert (reply.status, decode(reply.body)) == (201, {"total": 3})
        assert header(reply, "x-total") == "3"
        assert header(reply, "content-type") == "application/json"
        execution_id = header(reply, "hookline-execution-id")
        assert execution_id is not None
        await harness.until(caller.engine, execution_id)
        journal = await harness.journal(caller.engine, execution_id)
        assert decode(journal["reply"].output or b"")["delivered"] is True
    assert harness.probe.calls[0][3] == {"n": 3}, "the message passes on"


@pytest.mark.promise(1)
@pytest.mark.parametrize(("respond", "kind", "status"), [("reply", RecordSteps, 201), ("finished", End, 200)])
async def test_a_reply_whose_commit_took_place_although_it_failed_is_given(
    harness: Harness, respond: str, kind: type, status: int
) -> None:
    flow(harness, [REPLY] if respond == "reply" else [act("one")], respond=respond, respond_timeout="5s")
    async with calling(harness) as caller:
        commit, lost = caller.engine.store.commit, False

        async def lose(changes: Sequence[Change]) -> Sequence[CommitResult]:
            nonlocal lost
            results = await commit(changes)
            if not lost and holds(kind)(changes):
                lost = True
                raise StoreError("the connection is lost")
            return results

        caller.engine.store.commit = lose  # type: ignore[method-assign]
        answer = asyncio.create_task(caller.send({"n": 3}))
        while not answer.done():
            harness.clock.advance(1)
            await asyncio.sleep(0.01)
    assert lost
    assert answer.result().status == status


SERVERS_HEADERS = (
    "Hookline-Execution-Id",
    "Hookline-Other",
    "Date",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
)


ORIGINS_HEADERS = (
    "Set-Cookie",
    "Clear-Site-Data",
    "Strict-Transport-Security",
    "Alt-Svc",
    "NEL",
    "Service-Worker-Allowed",
    "Content-Security-Policy-Report-Only",
)


@pytest.mark.rule(54)
@pytest.mark.console_rule("K6")
@pytest.mark.parametrize("name", ORIGINS_HEADERS)
async def test_a_flow_does_not_set_headers_with_power_over_other_pages(harness: Harness, name: str) -> None:
    flow(harness, [{"use": "reply", "with": {"headers": {name: "1"}, "body": 1}}], respond="reply")
    async with calling(harness) as caller:
        reply = await caller.send({})
        assert (reply.status, header(reply, name.lower())) == (502, None), "the step fails"
    with pytest.raises(ValidationError, match="affects other pages"):
        AcceptedAnswer.model_validate({"headers": {name.lower(): "1"}})
    made = scheme_response(WebhookResponse(headers=((name, "1"), ("X-Own", "2"))))
    assert made.headers == ((b"x-own", b"2"),)


@pytest.mark.parametrize("name", [*SERVERS_HEADERS, "X-Content-Type-Options", "Content-Security-Policy"])
async def test_a_flow_does_not_set_the_headers_of_the_server(harness: Harness, name: str) -> None:
    flow(harness, [{"use": "reply", "with": {"headers": {name: "1"}, "body": 1}}], respond="reply")
    async with calling(harness) as caller:
        assert (await caller.send({})).status == 502, "the step fails"
    with pytest.raises(ValidationError, match="the server itself sets"):
        AcceptedAnswer.model_validate({"headers": {name.upper(): "1"}})


async def test_a_flow_that_answers_when_it_has_finished_gives_its_last_body(harness: Harness) -> None:
    flow(harness, [{"id": "m", "use": "map", "with": {"body": {"twice": "{{ body.n * 2 }}"}}}], respond="finished")
    async with calling(harness) as caller:
        reply = await caller.send({"n": 4})
        assert (reply.status, decode(reply.body)) == (200, {"twice": 8})


@pytest.mark.parametrize("respond", ["finished", "reply"])
async def test_a_flow_that_ends_without_an_answer_says_so(harness: Harness, respond: str) -> None:
    no = {"use": "filter", "with": {"keep": "{{ body.n != 1 }}"}}
    fail = {"use": "fail", "with": {"message": "the customer's name is secret"}}
    flow(harness, [no, fail], respond=respond)
    async with calling(harness) as caller:
        assert (await caller.send({"n": 1})).status == 204
        failed = await caller.send({"n": 2})
        document = decode(failed.body)
        assert (failed.status, document["code"]) == (502, "reply.none")
        assert document["execution_id"] == header(failed, "hookline-execution-id")
        assert b"secret" not in failed.body


async def test_a_caller_hears_at_once_of_an_execution_that_is_cancelled_before_it_starts(harness: Harness) -> None:
    trigger = {"use": "webhook", "with": {"verify": "none", "respond": "finished"}}
    harness.flow("f", [act("slow")], trigger=trigger, concurrency=1)
    go = asyncio.Event()

    async def slow(value: Any) -> Any:
        await go.wait()
        return value

    harness.probe.does["slow"] = slow
    async with calling(harness) as caller:
        store = caller.engine.store
        first = asyncio.create_task(caller.send({"n": 1}))
        await harness.until_calls(1)
        second = asyncio.create_task(caller.send({"n": 2}))
        queued = ExecutionFilter(state=State.QUEUED)
        async with asyncio.timeout(30):
            while not (page := await store.executions(queued)).items:  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
        await caller.engine.operations.cancel(page.items[0].execution.id, by=local_user())
        cancelled = await second
        assert (cancelled.status, decode(cancelled.body)["code"]) == (502, "reply.none")
        go.set()
        assert (await first).status == 200


async def test_a_caller_hears_at_once_of_an_execution_that_the_engine_cannot_run(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow(harness, [REPLY], respond="finished")

    async def defective(*_: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Runner, "_run_flow", defective)
    async with calling(harness) as caller:
        reply = await caller.send({"n": 1})
        assert (reply.status, decode(reply.body)["code"]) == (502, "reply.none")


@pytest.mark.rule(30)
async def test_who_waits_too_long_gets_504_with_the_execution_and_the_flow_goes_on(harness: Harness) -> None:
    flow(harness, [{"id": "slow", "use": "probe.act"}, REPLY], respond="reply", respond_timeout="20ms")
    go = asyncio.Event()

    async def slow(value: Any) -> Any:
        await go.wait()
        return {"n": 1}

    harness.probe.does["slow"] = slow
    async with calling(harness) as caller:
        late = await caller.send({"n": 1})
        document = decode(late.body)
        assert (late.status, document["code"]) == (504, "reply.timeout")
        go.set()
        execution = await harness.until(caller.engine, document["execution_id"])
        assert execution.state is State.SUCCEEDED
        output = decode((await harness.journal(caller.engine, execution.id))["reply"].output or b"")
        assert "delivered" not in output, "nobody waited for it, and its step succeeded"


@pytest.mark.rule(9)
async def test_a_duplicate_gets_the_stored_reply_or_waits_for_it(harness: Harness) -> None:
    flow(
        harness,
        [{"id": "slow", "use": "probe.act", "with": {"value": "$.body"}}, REPLY],
        respond="reply",
        dedupe_key="$.body.id",
    )
    go, reached = asyncio.Event(), asyncio.Event()

    async def slow(value: Any) -> Any:
        reached.set()
        await go.wait()
        return value

    harness.probe.does["slow"] = slow
    async with calling(harness) as caller:
        first = asyncio.create_task(caller.send({"id": "a", "n": 5}))
        await reached.wait()
        second = asyncio.create_task(caller.send({"id": "a", "n": 6}))
        await asyncio.sleep(0)
        go.set()
        answers = [await first, await second, await caller.send({"id": "a", "n": 7})]
        assert [decode(answer.body) for answer in answers] == [{"total": 5}] * 3
        assert len({header(answer, "hookline-execution-id") for answer in answers}) == 1


async def test_a_duplicate_gets_the_reply_of_a_flow_that_ends_while_it_is_looked_for(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = {"id": "slow", "use": "probe.act", "with": {"value": "$.body"}}
    flow(harness, [slow, REPLY], respond="reply", dedupe_key="$.body.id")
    go, reached = asyncio.Event(), asyncio.Event()

    async def wait(value: Any) -> Any:
        reached.set()
        await go.wait()
        return value

    harness.probe.does["slow"] = wait
    async with calling(harness) as caller:
        store = caller.engine.store
        journal = store.journal

        async def before_the_end(execution_id: str, *bounds: Any) -> Any:
            found = await journal(execution_id, *bounds)
            go.set()
            await harness.until(caller.engine, execution_id)
            return found

        first = asyncio.create_task(caller.send({"id": "a", "n": 5}))
        await reached.wait()
        monkeypatch.setattr(store, "journal", before_the_end)
        second = await caller.send({"id": "a", "n": 6})
        assert (second.status, decode(second.body)) == (201, {"total": 5})
        assert (await first).status == 201
    assert len(harness.probe.calls) == 1
    async with calling(harness) as caller:
        assert decode((await caller.send({"id": "a", "n": 8})).body) == {"total": 5}, "after a restart, too"


@pytest.mark.rule(41)
async def test_a_stop_while_somebody_waits_answers_504_with_the_id_and_loses_nothing(harness: Harness) -> None:
    flow(harness, [{"id": "slow", "use": "probe.act", "with": {"value": "$.body"}}, REPLY], respond="reply")
    reached = asyncio.Event()

    async def hang(value: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    harness.probe.does["slow"] = hang
    async with calling(harness) as caller:
        waiting = asyncio.create_task(caller.send({"n": 1}))
        await reached.wait()
        await caller.engine.stop()
        reply = await waiting
        assert (reply.status, decode(reply.body)["code"]) == (504, "reply.timeout")
        execution_id = header(reply, "hookline-execution-id")
    del harness.probe.does["slow"]
    async with calling(harness) as caller:
        executions = (await caller.engine.store.executions()).items
        assert [one.execution.id for one in executions] == [execution_id]
        assert (await caller.engine.store.rejected()).items == (), "it is stored, so that it wasn't rejected"
        assert (await harness.until(caller.engine, executions[0].execution.id)).state is State.SUCCEEDED


@pytest.mark.parametrize(("cause", "status"), [("stopping", 504), ("store", 503)])
async def test_a_duplicate_whose_answer_cant_be_given_now_is_told_so_and_isnt_rejected(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, cause: str, status: int
) -> None:
    flow(harness, [REPLY], respond="reply", dedupe_key="$.body.id")
    async with calling(harness) as caller:
        first = await caller.send({"id": "a", "n": 5})
        if cause == "store":

            async def unreadable(*_: Any) -> Any:
                raise StoreError

            monkeypatch.setattr(caller.engine.store, "execution", unreadable)
        else:
            caller.engine.replies.close()
            # It hasn't answered yet.
            monkeypatch.setattr(caller.engine.store, "journal", empty)
            running = await caller.engine.store.execution(header(first, "hookline-execution-id") or "")
            assert running is not None
            running = msgspec.structs.replace(running, state=State.RUNNING)
            monkeypatch.setattr(caller.engine.store, "execution", partial(_gives, running))
        again = await caller.send({"id": "a", "n": 5})
        assert again.status == status
        assert header(again, "hookline-execution-id") == header(first, "hookline-execution-id")
        await caller.engine.rejections.flush()
        assert (await caller.engine.store.rejected()).items == ()


async def empty(*_: Any) -> tuple[()]:
    return ()


async def _gives(execution: Execution, _: str) -> Execution:
    return execution


async def test_a_duplicate_of_what_is_kept_no_more_is_answered_with_nothing(harness: Harness) -> None:
    flow(harness, [REPLY], respond="reply", dedupe_key="$.body.id")
    async with calling(harness) as caller:
        first = await caller.send({"id": "a", "n": 5})
        id_ = header(first, "hookline-execution-id")
        assert id_ is not None
        await harness.until(caller.engine, id_)
        await caller.engine.store.commit([Purge((id_,), harness.clock.now())])
        again = await caller.send({"id": "a", "n": 5})
        assert (again.status, header(again, "hookline-execution-id")) == (204, id_)


async def test_an_attachment_is_streamed_back(harness: Harness) -> None:
    flow(
        harness,
        [{"use": "reply", "with": {"attachment": "$.attachments[0]"}}],
        respond="reply",
    )
    async with calling(harness) as caller:
        reply = await caller.send("x" * 10, headers={"content-type": "application/pdf"})
        assert reply.file is not None
        assert reply.chunks is not None
        assert header(reply, "content-type") == "application/pdf"
        content = b"".join([chunk async for chunk in reply.chunks])
        assert content == encode("x" * 10)
        assert reply.file.size == len(content)
        assert header(reply, "content-disposition") is None


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, "attachment; filename*=UTF-8''Z%C3%B6%22.pdf"), ({"Content-Disposition": "inline"}, "inline")],
    ids=["its name", "the flow's own"],
)
async def test_an_attachment_with_a_name_is_given_back_under_it(
    harness: Harness, given: dict[str, str], said: str
) -> None:
    flow(
        harness,
        [{"use": "reply", "with": {"attachment": "$.attachments[0]", "headers": given}}],
        respond="reply",
    )
    sent = {
        "content-type": "application/pdf",
        "content-disposition": "attachment; filename*=UTF-8''Z%C3%B6%22%0D%0A.pdf",
    }
    async with calling(harness) as caller:
        reply = await caller.send("x", headers=sent)
        assert reply.file is not None
        assert header(reply, "content-disposition") == said


@pytest.mark.parametrize(
    ("accepted", "status", "body", "kind"),
    [
        ({}, 200, b"", None),
        ({"status": 204}, 204, b"", None),
        ({"body": "ok"}, 200, b"ok", "text/plain; charset=utf-8"),
        ({"status": 201, "body": {"received": True}}, 201, b'{"received":true}', "application/json"),
        ({"body": "<Response/>", "headers": {"Content-Type": "text/xml"}}, 200, b"<Response/>", "text/xml"),
    ],
)
async def test_a_sender_that_insists_gets_its_own_accepted_answer(
    harness: Harness, accepted: dict[str, Any], status: int, body: bytes, kind: str | None
) -> None:
    flow(harness, [], accepted=accepted, dedupe_key="$.body.id")
    async with calling(harness) as caller:
        for _ in range(2):
            reply = await caller.send({"id": 1})
            assert (reply.status, reply.body, header(reply, "content-type")) == (status, body, kind)
            assert header(reply, "hookline-execution-id")


async def test_pages_of_allowed_origins_may_send_and_read_rejections(harness: Harness) -> None:
    flow(harness, [], cors={"origins": ["https://shop.example"], "headers": ["Content-Type", "X-Cart"]})
    ours, other = {"origin": "https://shop.example"}, {"origin": "https://evil.example"}
    asking = {"access-control-request-method": "POST"}
    async with calling(harness) as caller:
        preflight = await caller.send(None, method="OPTIONS", headers=ours | asking)
        assert preflight.status == 204
        assert header(preflight, "access-control-allow-origin") == "https://shop.example"
        assert header(preflight, "access-control-allow-methods") == "POST"
        assert header(preflight, "access-control-allow-headers") == "Content-Type, X-Cart"
        assert header(preflight, "access-control-max-age") == "3600"
        rejected = await caller.send(None, method="OPTIONS", headers=other | asking)
        assert header(rejected, "access-control-allow-origin") is None
        for headers, status in ((ours, 202), (ours | {"content-encoding": "unheard-of"}, 415)):
            reply = await caller.send({}, headers=headers)
            assert (reply.status, header(reply, "access-control-allow-origin")) == (status, "https://shop.example")
            assert header(reply, "vary") == "Origin"
        assert header(await caller.send({}, headers=other), "access-control-allow-origin") is None
        assert header(await caller.send({}), "vary") is None


@pytest.mark.parametrize(
    ("own", "varies"), [("Accept", "Accept, Origin"), ("Accept, origin", "Accept, origin"), ("*", "*")]
)
async def test_what_a_reply_says_of_origins_gives_way_to_what_the_hook_lets(
    harness: Harness, own: str, varies: str
) -> None:
    headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "X-Total", "Vary": own}
    reply = {"use": "reply", "with": {"headers": headers, "body": 1}}
    flow(harness, [reply], respond="reply", cors={"origins": ["https://shop.example"]})
    async with calling(harness) as caller:
        for origin, allowed in (("https://shop.example", [b"https://shop.example"]), ("https://evil.example", [])):
            answer = await caller.send({}, headers={"origin": origin})
            assert [value for name, value in answer.headers if name == b"access-control-allow-origin"] == allowed
            assert [value for name, value in answer.headers if name == b"vary"] == [varies.encode()]
            assert header(answer, "access-control-expose-headers") == "X-Total"


async def test_options_says_what_the_hook_takes(harness: Harness) -> None:
    flow(harness, [], methods=["POST", "PUT"])
    async with calling(harness) as caller:
        reply = await caller.send(None, method="OPTIONS")
        assert (reply.status, header(reply, "allow")) == (204, "POST, PUT, HEAD, OPTIONS")


@pytest.mark.parametrize("headers", [{"Content-Length": "3"}, {"X": "a\r\nSet-Cookie: b"}, {"a b": "c"}])
async def test_a_reply_cannot_break_the_framing_of_its_answer(harness: Harness, headers: dict[str, str]) -> None:
    flow(harness, [{"use": "reply", "with": {"headers": headers, "body": "x"}}], respond="reply")
    async with calling(harness) as caller:
        assert (await caller.send({})).status == 502
