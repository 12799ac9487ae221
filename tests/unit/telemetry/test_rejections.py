"""The record of rejected requests: what the hook says of them, and what a flood of them costs."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import structlog

from hookline.api import NoSettings, NotVerified, RequestVerifier, Scheme, SignedRequest, Verified
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.schemas.body_schema import compile_schema
from hookline.intake.backlog import Backlog
from hookline.intake.intake import Intake
from hookline.kernel.errors import FlowInvalid, FlowNotFound, StoreError, TooManyRequests
from hookline.kernel.ids import Ids
from hookline.model.rejection import BODY_KEPT, TEXT_KEPT
from hookline.service.hook_request_and_response import HookRequest
from hookline.service.hooks import rejection as rejecting
from hookline.storage.change_declarations import Change, Reject
from hookline.telemetry.metrics import Metrics
from hookline.telemetry.rejections import FLOWS, PER_FLOW, RejectionRecord
from hookline.telemetry.store_problem import StoreProblem
from hookline.testing.clock import ManualClock
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow


class Shown(Scheme[Any, NoSettings]):
    """Reads the body, and takes what says so."""

    name = "shown"
    title = "Shown"

    def open(self, request: SignedRequest, credential: Any, settings: NoSettings) -> RequestVerifier:
        if request.header("x-reject") is not None:
            raise NotVerified("the header rejects")
        return _Shown()

    def secret_fields(self, settings: NoSettings) -> tuple[str, ...]:
        return ("/token",)


class Unseen(Scheme[Any, NoSettings]):
    """Judges by the headers alone, and takes none."""

    name = "unseen"
    title = "Unseen"
    reads_body = False

    def open(self, request: SignedRequest, credential: Any, settings: NoSettings) -> RequestVerifier:
        raise NotVerified("no header will do")


class Confused(Shown):
    def secret_fields(self, settings: NoSettings) -> tuple[str, ...]:
        raise KeyError("defect")


class _Shown:
    def __init__(self) -> None:
        self._body = b""

    def feed(self, chunk: bytes) -> None:
        self._body += chunk

    async def finish(self) -> Verified:
        if b"right" not in self._body:
            raise NotVerified("the body doesn't show the right token")
        return Verified()


def only(hook: HookOverMemory) -> dict[str, Any]:
    (one,) = hook.rejections
    return one


@pytest.mark.rule(40)
async def test_a_rejected_request_is_recorded_with_what_the_sender_isnt_told() -> None:
    hook = HookOverMemory(webhook_flow(scheme=Shown()))
    reply = await hook.send(b'{"token": "wrong"}', path="orders/eu", query=b"secret=1")
    assert b"right token" not in reply.body
    assert only(hook) == {
        "flow_id": "orders",
        "code": "request.not_verified",
        "status": 401,
        "detail": "The sender could not be verified; the body doesn't show the right token",
        "method": "POST",
        "path": "orders/eu",
        "size": 18,
        "client": "192.0.2.1",
        "body": None,
    }


@pytest.mark.parametrize(
    ("sent", "status", "flow_id", "size"),
    [
        ({"path": "nobody/x", "body": b"{}"}, 404, "-", 2),
        ({"method": "PUT", "body": b"{}"}, 405, "orders", 2),
        ({"body": b"x" * 101}, 413, "orders", 101),
        ({"body": [b"x" * 60, b"x" * 60], "declare": False}, 413, "orders", 120),
        ({"body": b"{"}, 400, "orders", 1),
        ({"body": b"<a/>", "content_type": "application/xml"}, 415, "orders", 4),
    ],
)
async def test_each_rejection_is_recorded_and_unknown_flows_are_one(
    sent: dict[str, Any], status: int, flow_id: str, size: int
) -> None:
    hook = HookOverMemory(webhook_flow(max_body=100, media_types=["application/json"]))
    reply = await hook.send(**sent)
    recorded = only(hook)
    assert (reply.status, recorded["status"], recorded["flow_id"], recorded["size"]) == (status, status, flow_id, size)
    assert recorded["code"] == json.loads(reply.body)["code"]


async def test_what_is_accepted_or_a_duplicate_is_not_recorded() -> None:
    hook = HookOverMemory(webhook_flow())
    assert (await hook.send(b"{}")).status == 202
    assert hook.rejections == []


async def test_what_the_store_or_the_bounds_reject_is_recorded() -> None:
    hook = HookOverMemory(webhook_flow())
    for failure, status in ((TooManyRequests(), 429), (StoreError(), 503), (KeyError(), 503)):
        hook.intake.failure = failure
        assert (await hook.send(b"{}")).status == status
    assert [one["status"] for one in hook.rejections] == [429, 503, 503]


async def test_a_body_that_breaks_the_schema_is_recorded_by_its_places_not_its_values() -> None:
    schema, _ = compile_schema({"properties": {"pin": {"type": "integer"}}})
    hook = HookOverMemory(webhook_flow(schema=schema))
    assert (await hook.send(b'{"pin": "s3cr3t"}')).status == 422
    assert "/pin (schema." in only(hook)["detail"]
    assert "s3cr3t" not in repr(hook.rejections)


@pytest.mark.rule(40)
async def test_no_body_is_kept_unless_the_flow_asks_for_it() -> None:
    kept = HookOverMemory(webhook_flow(keep_rejected_bodies=True))
    await kept.send(b"{not json")
    assert only(kept)["body"] == b"{not json"
    not_kept = HookOverMemory(webhook_flow())
    await not_kept.send(b"{not json")
    assert only(not_kept)["body"] is None


async def test_of_a_body_the_beginning_is_kept() -> None:
    hook = HookOverMemory(webhook_flow(keep_rejected_bodies=True))
    pieces = [b"x" * 3000, b"y" * 3000, b"z" * 3000]
    await hook.send(pieces)
    assert only(hook)["body"] == b"".join(pieces)[:BODY_KEPT]
    assert only(hook)["size"] == 9000


@pytest.mark.rule(33)
@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"token": "s3cr3t", "n": 1}', b'{"token":"***","n":1}'),
        (b'{"n": 1}', b'{"n":1}'),
        # What secret is where can't be told: nothing of it is kept.
        (b'{"token": "s3cr3t"', None),
        (b"token=s3cr3t", None),
        (b"[" * 3000, None),
        (b'{"token": "s3cr3t", "x": "' + b"x" * BODY_KEPT + b'"}', None),
        (b"", None),
    ],
    ids=["masked", "nothing secret", "half", "a form", "deep", "long", "empty"],
)
async def test_secret_fields_of_a_rejected_body_are_masked_or_it_isnt_kept(body: bytes, kept: bytes | None) -> None:
    hook = HookOverMemory(webhook_flow(scheme=Shown(), keep_rejected_bodies=True))
    assert (await hook.send(body)).status == 401
    assert only(hook)["body"] == kept


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"headers": [(b"x-reject", b"1")]}, 401),
        ({"content_type": "application/xml"}, 415),
        ({"body": b'{"token": "s3cr3t", "n": "' + b"x" * 200 + b'"}'}, 413),
        ({"headers": [(b"content-encoding", b"rot13")]}, 415),
    ],
    ids=["no signature", "type", "announced size", "coding"],
)
async def test_the_beginning_is_kept_also_of_what_is_rejected_before_it_is_read(
    sent: dict[str, Any], status: int
) -> None:
    scheme = Shown()
    flow = webhook_flow(scheme=scheme, keep_rejected_bodies=True, media_types=["application/json"], max_body=100)
    hook = HookOverMemory(flow)
    whole = sent.pop("body", b'{"token": "s3cr3t", "n": 1}')
    assert (await hook.send(whole, **sent)).status == status
    kept = only(hook)["body"]
    assert kept is not None
    assert kept == whole.replace(b"s3cr3t", b"***").replace(b": ", b":").replace(b", ", b",")


async def test_the_beginning_is_kept_of_what_a_header_alone_or_the_rate_of_its_sender_rejects() -> None:
    hook = HookOverMemory(webhook_flow(scheme=Unseen(), keep_rejected_bodies=True, client_rate="1/h"))
    assert (await hook.send(b"one")).status == 401
    assert (await hook.send([b"two", b"x" * 5000, b"never read"])).status == 429
    assert [one["body"] for one in hook.rejections] == [b"one", (b"two" + b"x" * 5000)[:BODY_KEPT]]


async def test_a_body_that_does_not_come_is_not_waited_for_long_nor_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejecting, "PREFIX_SECONDS", 0.01)
    asked = 0

    async def silent() -> AsyncIterator[bytes]:
        nonlocal asked
        asked += 1
        yield b"be"
        await asyncio.Event().wait()

    hook = HookOverMemory(webhook_flow(keep_rejected_bodies=True, media_types=["text/csv"]))
    plain = [(b"content-type", b"application/json")]
    for headers in (plain, [*plain, (b"expect", b"100-continue")]):
        request = HookRequest("POST", "orders", b"/hook/orders", b"", headers, silent(), "192.0.2.1")
        assert (await hook.hook.handle(request)).status == 415
    assert [one["body"] for one in hook.rejections] == [b"be", None]
    assert asked == 1


async def test_of_a_scheme_that_cannot_say_what_is_secret_nothing_is_kept() -> None:
    hook = HookOverMemory(webhook_flow(scheme=Confused(), keep_rejected_bodies=True))
    assert (await hook.send(b'{"token": "s3cr3t"}')).status == 503
    assert only(hook)["body"] is None


@pytest.mark.parametrize(("state", "status", "why"), [("stopped", 404, "; the flow is stopped"), ("broken", 503, "")])
async def test_a_rejection_of_a_flow_that_is_stopped_or_cannot_run_is_recorded_under_its_name(
    state: str, status: int, why: str
) -> None:
    def current(flow_id: str) -> CompiledFlow:
        if flow_id != "orders":
            raise FlowNotFound(flow_id)
        if state == "broken":
            raise FlowInvalid([], "it is broken")
        flow = webhook_flow()
        return replace(flow, settings=replace(flow.settings, state="stopped"))

    nothing: Any = None
    real = Intake(
        store=nothing,
        queue=nothing,
        clock=ManualClock(),
        metrics=Metrics(),
        current=current,
        backlog=Backlog(ManualClock(), 1, 1),
    )
    real.open = True
    hook = HookOverMemory()
    hook.intake.flow = real.flow  # type: ignore[method-assign] # the intake's own, over nothing
    replies = [await hook.send(b"{}"), await hook.send(b"{}", path="nobody")]
    assert [reply.status for reply in replies] == [status, 404]
    assert [one["flow_id"] for one in hook.rejections] == ["orders", "-"]
    assert [flow_id for flow_id, _ in hook.metrics] == ["orders", "-"]
    assert hook.rejections[0]["detail"].endswith(why)
    assert b"stopped" not in replies[0].body


class Kept:
    """A store that counts commits, and fails when it is told to."""

    def __init__(self) -> None:
        self.commits: list[Reject] = []
        self.asked = 0
        self.failure: Exception | None = None

    async def commit(self, changes: Sequence[Change]) -> Sequence[None]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        for change in changes:
            assert isinstance(change, Reject)
            self.commits.append(change)
        return [None]


def recorder(store: Kept, clock: ManualClock) -> RejectionRecord:
    log: Any = structlog.get_logger()
    kept: Any = store
    return RejectionRecord(kept, clock, Ids(clock), log, StoreProblem(kept, kept, clock, log))


def reject(record: RejectionRecord, flow_id: str, place: int = 0) -> None:
    record.add(flow_id, code="c", status=401, detail="d", method="POST", path=str(place), size=0)


async def test_of_long_texts_the_beginning_is_kept() -> None:
    store = Kept()
    record = recorder(store, ManualClock())
    for place in range(2):
        long = str(place) * (TEXT_KEPT + 1)
        record.add("f", code="c", status=401, detail=long, method=long, path=long, size=0, body=b"x" * (BODY_KEPT + 1))
    await record.flush()
    for place, one in enumerate(store.commits[0].requests):
        assert [one.detail, one.method, one.path] == [str(place) * TEXT_KEPT] * 3
        assert one.body == b"x" * BODY_KEPT


@pytest.mark.rule(40)
async def test_a_flood_is_written_ever_less_often_and_no_more_than_a_bounded_number() -> None:
    store, clock = Kept(), ManualClock()
    record = recorder(store, clock)
    running = asyncio.create_task(record.run())
    for time, wait in enumerate((2.0, 4.0, 8.0, 10.0, 10.0)):
        for place in range(5000):
            reject(record, "flooded", time * 5000 + place)
        reject(record, "quiet")
        await clock.until_sleeping()
        assert len(store.commits) == time + 1
        clock.advance(wait - 0.1)
        await asyncio.sleep(0)
        assert clock.sleepers == 1, "it waits longer each time"
        clock.advance(0.1)
    reject(record, "quiet")
    await clock.until_sleeping()
    clock.advance(1.0)
    reject(record, "quiet")
    await clock.until_sleeping()
    assert len(store.commits) == 7, "when it is over, a second is enough"
    running.cancel()
    await asyncio.wait({running})
    for time, commit in enumerate(store.commits[:5]):
        flooded = [int(one.path) for one in commit.requests if one.flow_id == "flooded"]
        assert flooded == list(range((time + 1) * 5000 - PER_FLOW, (time + 1) * 5000))
        assert [one.flow_id for one in commit.requests].count("quiet") == 1


async def test_what_is_held_is_bounded_however_many_flows_there_are() -> None:
    store, clock = Kept(), ManualClock()
    record = recorder(store, clock)
    for flow in range(FLOWS * 2):
        for _ in range(PER_FLOW * 2):
            reject(record, f"flow-{flow}")
    await record.flush()
    (commit,) = store.commits
    assert len(commit.requests) == FLOWS * PER_FLOW


async def test_nothing_is_written_where_nothing_was_rejected() -> None:
    store, clock = Kept(), ManualClock()
    record = recorder(store, clock)
    await record.flush()
    assert store.asked == 0


async def test_what_a_store_couldnt_take_is_written_once_it_can() -> None:
    store, clock = Kept(), ManualClock()
    record = recorder(store, clock)
    running = asyncio.create_task(record.run())
    store.failure = StoreError()
    reject(record, "orders", 1)
    await clock.until_sleeping()
    reject(record, "orders", 2)
    store.failure = None
    clock.advance(1.0)
    await clock.until_sleeping()
    running.cancel()
    await asyncio.wait({running})
    assert [one.path for commit in store.commits for one in commit.requests] == ["1", "2"]


async def test_what_was_rejected_last_is_written_when_the_server_stops_and_a_failure_doesnt_keep_it_up() -> None:
    store, clock = Kept(), ManualClock()
    record = recorder(store, clock)
    reject(record, "orders", 1)
    await record.close()
    assert len(store.commits) == 1
    store.failure = StoreError()
    reject(record, "orders", 2)
    await record.close()
    assert store.asked == 2
