"""Flows that are started by what a broker delivers: acknowledged once it is durable, bounded, shown when it fails."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import structlog
from pydantic import BaseModel, SecretStr
from tests.integration.engine_harness import Hang, Harness, act
from tests.metric_samples import sample

from hookline.api import BrokerMessage, Connector, ConsumeContext, Payload, StepError, hookimpl
from hookline.engine import Engine
from hookline.kernel.errors import StoreError
from hookline.model.access import SYSTEM
from hookline.model.execution import ExecutionFilter
from hookline.sources.source import SourceStatus
from hookline.storage.change_declarations import Accept, Change, CommitResult


class BusKey(BaseModel):
    token: SecretStr


class Bus:
    """A plugin over a broker in memory: what isn't acknowledged comes again over the next connection."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str | None, Any]] = []
        """Id and body of what the broker holds that isn't handed out."""
        self.out: list[tuple[str | None, Any]] = []
        """The messages that are delivered, and not acknowledged."""
        self.acknowledged: list[str | None] = []
        self.rejected: list[tuple[str | None, str]] = []
        self.connections: list[str] = []
        """The token of each."""
        self.fails: list[BaseException] = []
        """The errors of the next connections, one after the other."""
        self.most_out = 0
        self.forgetful = False
        """It wants no acknowledgement, and delivers nothing twice."""
        self.cut = asyncio.Event()
        self.some = asyncio.Event()
        self.before_acknowledging: Callable[[], Awaitable[None]] | None = None
        self.does: Callable[[ConsumeContext[Any]], AsyncGenerator[Any, None]] | None = None
        bus = Connector("bus", credential=BusKey)
        self.connector = bus

        @bus.consume
        async def messages(
            ctx: ConsumeContext[BusKey | None], queue: str = "in"
        ) -> AsyncGenerator[BrokerMessage, None]:
            """Starts an execution for each message."""
            async for delivery in (self.does or self._deliver)(ctx):
                yield delivery

        @bus.consume(name="locked")
        async def locked(ctx: ConsumeContext[BusKey]) -> AsyncGenerator[BrokerMessage, None]:
            """Needs a key."""
            async for delivery in self._deliver(ctx):
                yield delivery

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        return [self.connector]

    def send(self, *bodies: Any, ids: Sequence[str | None] | None = None) -> None:
        self.waiting += [(str(body), body) for body in bodies] if ids is None else zip(ids, bodies, strict=True)
        self.some.set()

    async def _deliver(self, ctx: ConsumeContext[Any]) -> AsyncGenerator[BrokerMessage, None]:
        self.connections.append(ctx.credential.token.get_secret_value() if ctx.credential else "")
        if self.fails:
            raise self.fails.pop(0)
        self.waiting = self.out + self.waiting
        self.out = []
        self.cut.clear()
        ctx.listening()
        while True:
            while not self.waiting:
                self.some.clear()
                waits = [asyncio.ensure_future(event.wait()) for event in (self.some, self.cut)]
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in waits:
                        wait.cancel()
                if self.cut.is_set():
                    raise StepError("the connection is lost", code="bus.lost", retryable=True)
            one = self.waiting.pop(0)
            if self.forgetful:
                yield BrokerMessage(one[1])
                continue
            self.out.append(one)
            self.most_out = max(self.most_out, len(self.out))
            yield BrokerMessage(
                one[1],
                id=one[0],
                accepted=lambda one=one: self._ack(one),
                rejected=lambda why, one=one: self._no(one, why),
            )

    async def _ack(self, one: tuple[str | None, Any]) -> None:
        if self.before_acknowledging is not None:
            await self.before_acknowledging()
        if one in self.out:
            self.out.remove(one)
            self.acknowledged.append(one[0])

    async def _no(self, one: tuple[str | None, Any], why: str) -> None:
        self.out.remove(one)
        self.rejected.append((one[0], why))


@pytest.fixture
def bus(harness: Harness) -> Bus:
    made = Bus()
    harness.plugins.append(made)
    return made


def bus_flow(harness: Harness, flow_id: str = "f", trigger: Any = None, **settings: Any) -> None:
    harness.flow(flow_id, [act("one")], trigger=trigger or {"use": "bus.messages"}, **settings)


async def until(holds: Callable[[], Any], what: str = "it holds") -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - it is several tasks away
            await asyncio.sleep(0.002)


async def listens(engine: Engine, flow_id: str = "f", listening: bool = True) -> SourceStatus:
    def status() -> SourceStatus | None:
        return engine.sources.status(flow_id)

    await until(lambda: (one := status()) is not None and one.listening is listening and (listening or one.error))
    found = status()
    assert found is not None
    return found


async def test_each_message_starts_an_execution_in_order_and_is_acknowledged(harness: Harness, bus: Bus) -> None:
    bus.send(*range(60))
    bus_flow(harness, trigger={"use": "bus.messages", "with": {"prefetch": 10}}, concurrency=1)
    async with harness.engine():
        await until(lambda: len(bus.acknowledged) == 60)
        await harness.until_calls(60)
    assert [value for _, _, _, value in harness.probe.calls] == list(range(60))
    assert bus.acknowledged == [str(n) for n in range(60)]
    assert bus.most_out <= 21, "those that are acknowledged just now, as many that came meanwhile, and one that waits"


async def test_nothing_is_acknowledged_before_it_is_durable_and_many_share_a_commit(
    harness: Harness, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus_flow(harness)
    commits: list[int] = []
    async with harness.engine() as engine:
        await listens(engine)
        real, gate = engine.store.commit, asyncio.Event()

        async def held(changes: Sequence[Change]) -> Sequence[CommitResult]:
            accepts = sum(isinstance(change, Accept) for change in changes)
            if accepts:
                commits.append(accepts)
                await gate.wait()
            return await real(changes)

        monkeypatch.setattr(engine.store, "commit", held)
        bus.send(*range(40))
        await until(lambda: commits and len(bus.out) == 40)
        assert bus.acknowledged == []
        gate.set()
        await until(lambda: len(bus.acknowledged) == 40)
    assert len(commits) <= 3, "what comes while a commit is under way shares the next"


async def test_what_comes_again_with_its_id_starts_nothing(harness: Harness, bus: Bus) -> None:
    bus.send("a", "b", "a", ids=["1", "2", "1"])
    bus_flow(harness)
    async with harness.engine() as engine:
        await until(lambda: len(bus.acknowledged) == 3)
        bus.send("a", ids=["1"])
        await until(lambda: len(bus.acknowledged) == 4)
        assert sorted(await harness.bodies(engine, "f")) == ["a", "b"]
        await harness.until_calls(2)
        assert engine.intake.backlog("f") == 0


async def test_a_flow_may_say_by_what_messages_are_known_again(harness: Harness, bus: Bus) -> None:
    bus.send({"n": 1}, {"n": 1}, {"n": 2}, ids=[None, None, None])
    bus_flow(harness, trigger={"use": "bus.messages", "with": {"dedupe_key": "$.body.n"}})
    async with harness.engine() as engine:
        await until(lambda: len(bus.acknowledged) == 3)
        assert [body["n"] for body in await harness.bodies(engine, "f")] == [1, 2]


async def test_without_ids_each_message_counts(harness: Harness, bus: Bus) -> None:
    bus.send("x", "x", ids=[None, None])
    bus_flow(harness)
    async with harness.engine() as engine:
        assert await harness.bodies(engine, "f", 2) == ["x", "x"]


async def test_what_was_not_acknowledged_comes_again_and_runs_once(harness: Harness, bus: Bus) -> None:
    """The commit took place, and then the connection was lost."""

    async def lost() -> None:
        raise ConnectionError("away")

    bus.before_acknowledging = lost
    bus.send("a", "b")
    bus_flow(harness)
    async with harness.engine() as engine:
        status = await listens(engine, listening=False)
        assert "can't be acknowledged" in (status.error or "")
        bus.before_acknowledging = None
        harness.clock.advance(1)
        await until(lambda: bus.acknowledged == ["a", "b"])
        assert await harness.bodies(engine, "f") == ["a", "b"]


async def test_a_lost_connection_is_shown_and_made_again_with_growing_waits(harness: Harness, bus: Bus) -> None:
    away = StepError("nobody answers", code="bus.away", retryable=True)
    bus.fails = [away] * 8
    bus_flow(harness)
    async with harness.engine() as engine:
        waits = []
        for count in range(1, 9):
            await until(lambda count=count: (s := engine.sources.status("f")) and s.failures == count)
            status = await listens(engine, listening=False)
            assert status.error == "bus.away: nobody answers"
            assert status.next_at is not None
            waits.append((status.next_at - harness.clock.now()).total_seconds())
            harness.clock.advance(waits[-1])
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
        status = await listens(engine)
        assert (status.error, status.failures, status.next_at) == (None, 0, None)
        assert sample(engine.metrics.exposition(), "hookline_broker_listening", flow="f") == 1.0
        bus.cut.set()
        status = await listens(engine, listening=False)
        assert status.error == "bus.lost: the connection is lost"
        exposed = engine.metrics.exposition()
        assert sample(exposed, "hookline_broker_listening", flow="f") == 0.0
        assert sample(exposed, "hookline_broker_connections_total", flow="f", result="failed") == 8.0
        assert sample(exposed, "hookline_broker_connections_total", flow="f", result="lost") == 1.0


async def test_one_flows_broker_stops_no_other_flow(harness: Harness, bus: Bus) -> None:
    bus.fails = [ZeroDivisionError("by zero")]
    bus_flow(harness, "broken")
    async with harness.engine() as engine:
        await listens(engine, "broken", listening=False)
        bus_flow(harness, "well", trigger={"use": "bus.messages", "with": {"queue": "other"}})
        await engine.version_switch.refresh()
        bus.send("a")
        assert await harness.bodies(engine, "well", 1) == ["a"]


def yields(*given: Any) -> Callable[[ConsumeContext[Any]], AsyncGenerator[Any, None]]:
    async def does(ctx: ConsumeContext[Any]) -> AsyncGenerator[Any, None]:
        ctx.listening()
        for one in given:
            if isinstance(one, BaseException):
                raise one
            yield one

    return does


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (ZeroDivisionError("by zero"), "has a defect: ZeroDivisionError: by zero"),
        (asyncio.CancelledError(), "has a defect: CancelledError"),
        (SystemExit(3), "has a defect: SystemExit: 3"),
        ("text", "it yielded str instead of a BrokerMessage"),
        (None, "it yielded NoneType instead of a BrokerMessage"),
    ],
)
async def test_a_defect_of_a_trigger_is_its_plugins_and_ends_nothing(
    harness: Harness, bus: Bus, given: Any, error: str
) -> None:
    bus.does = yields(given)
    bus_flow(harness)
    async with harness.engine() as engine:
        status = await listens(engine, listening=False)
        assert error in (status.error or "")
        assert "Bus" in (status.error or ""), "whose it is"
        bus.does = None
        bus.send("well")
        harness.clock.advance(1)
        assert await harness.bodies(engine, "f", 1) == ["well"]


async def test_a_function_that_ends_has_a_defect_and_keeps_what_it_gave(harness: Harness, bus: Bus) -> None:
    bus.does = yields(BrokerMessage("kept"))
    bus_flow(harness)
    async with harness.engine() as engine:
        status = await listens(engine, listening=False)
        assert "it returned; it must yield while it is connected" in (status.error or "")
        assert await harness.bodies(engine, "f", 1) == ["kept"]


@pytest.mark.parametrize(
    ("delivery", "error"),
    [
        (BrokerMessage(object(), id="x"), "which has no JSON form"),
        (BrokerMessage(1, id=7), "the id of a BrokerMessage is int"),  # type: ignore[arg-type]
        (BrokerMessage(1, headers="x"), "the headers or attachments of a BrokerMessage are invalid"),  # type: ignore[arg-type]
        (BrokerMessage(1, attachments=("x",)), "'x' is not an Attachment"),  # type: ignore[arg-type]
        (BrokerMessage("x\udc80"), "a text in the body is no Unicode"),
        (BrokerMessage({"x\udc80": 1}, id="x\udc80"), "a text in the body is no Unicode"),
        (BrokerMessage({"x\udc80": object()}), "which has no JSON form"),
        (BrokerMessage(Payload(None)), "the data of a Payload is NoneType"),  # type: ignore[arg-type]
        (BrokerMessage(Payload("text")), "the data of a Payload is str"),  # type: ignore[arg-type]
    ],
)
async def test_a_delivery_that_is_none_is_rejected_and_the_next_is_taken(
    harness: Harness, bus: Bus, delivery: BrokerMessage, error: str
) -> None:
    async def does(ctx: ConsumeContext[Any]) -> AsyncGenerator[BrokerMessage, None]:
        yield delivery
        yield BrokerMessage("next")
        await asyncio.Event().wait()

    bus.does = does
    bus_flow(harness)
    async with harness.engine() as engine:
        assert await harness.bodies(engine, "f", 1) == ["next"]
        await engine.rejections.flush()
        (rejected,) = (await engine.store.rejected(flow_id="f")).items
        assert error in rejected.detail
        assert "Bus" in rejected.detail


async def test_what_never_listens_has_failed_and_what_never_ends_is_left_alone(
    harness: Harness, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookline.sources.consume._CLOSE", 0.05)
    began, end = 0, asyncio.Event()

    async def hangs(_ctx: Any) -> AsyncGenerator[BrokerMessage, None]:
        nonlocal began
        began += 1
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue
        yield BrokerMessage("late")

    bus.does = hangs
    bus_flow(harness, trigger={"use": "bus.messages", "with": {"connect_timeout": "1s"}})
    async with AsyncExitStack() as stack:
        # Whatever fails below: the function has to end, or the event loop waits for it.
        stack.callback(end.set)
        engine = await stack.enter_async_context(harness.engine())
        status = await listens(engine, listening=False)
        assert status.error == "bus.messages doesn't listen after 1 s"
        while status.failures < 2:
            harness.clock.advance(1)
            await asyncio.sleep(0.01)
        assert "it still runs although it was cancelled" in (status.error or "")
        assert "Bus" in (status.error or "")
        assert began == 1, "not one more with each try"
        end.set()
        bus.does = None
        await asyncio.sleep(0.01)
        harness.clock.advance(10)
        bus.send("a")
        assert await harness.bodies(engine, "f", 1) == ["a"]


async def test_what_lacks_its_credential_listens_once_it_is_there_and_anew_where_it_changes(
    harness: Harness, bus: Bus
) -> None:
    bus_flow(harness, trigger={"use": "bus.locked", "credential": "key"})
    async with harness.engine() as engine:
        status = await listens(engine, listening=False)
        assert "key" in (status.error or "")
        await engine.credentials.put("key", "bus", {"token": "first"}, by=SYSTEM)
        await listens(engine)
        await engine.credentials.put("other", "bus", {"token": "no matter"}, by=SYSTEM)
        await engine.credentials.put("key", "bus", {"token": "second"}, by=SYSTEM)
        await until(lambda: bus.connections == ["first", "second"])
        bus.send("a")
        assert await harness.bodies(engine, "f", 1) == ["a"]


async def test_what_the_schema_rejects_is_recorded_and_rejected_and_the_others_are_taken(
    harness: Harness, bus: Bus
) -> None:
    bus.send("text", 2, ids=["a", "b"])
    bus_flow(
        harness, schema={"type": "integer"}, trigger={"use": "bus.messages", "with": {"keep_rejected_bodies": True}}
    )
    async with harness.engine() as engine:
        assert await harness.bodies(engine, "f", 1) == [2]
        await until(lambda: bus.acknowledged == ["b"])
        ((name, why),) = bus.rejected
        assert name == "a"
        assert "integer" in why
        await engine.rejections.flush()
        (rejected,) = (await engine.store.rejected(flow_id="f")).items
        assert (rejected.code, rejected.path, rejected.method, rejected.body) == (
            "request.schema",
            "a",
            "bus.messages",
            b'"text"',
        )
        assert sample(engine.metrics.exposition(), "hookline_rejected_total", flow="f", reason="request.schema") == 1.0


PAYLOADS = [
    (Payload(b'{"a": 1}', "application/json"), {"a": 1}),
    (Payload(b'{"a": 1}', "application/vnd.acme+json; charset=utf-8"), {"a": 1}),
    (Payload(b"<a>1</a>", "application/xml"), {"a": "1"}),
    (Payload(b"a=1&b=2", "application/x-www-form-urlencoded"), {"a": "1", "b": "2"}),
    (Payload("größer".encode("latin-1"), "text/plain; charset=iso-8859-1"), "größer"),
    (Payload(b"21.5"), 21.5),
    (Payload(b""), None),
    (Payload(b"on"), "on"),
]


async def test_bytes_are_read_as_their_type_says(harness: Harness, bus: Bus) -> None:
    bus.send(*(payload for payload, _ in PAYLOADS))
    bus_flow(harness)
    async with harness.engine() as engine:
        assert await harness.bodies(engine, "f", len(PAYLOADS)) == [body for _, body in PAYLOADS]


@pytest.mark.parametrize(
    ("payload", "mode", "media_type"),
    [
        (Payload(b"\x00\x01", None), "auto", "application/octet-stream"),
        (Payload(b"%PDF-1.7", "application/pdf", "a.pdf"), "auto", "application/pdf"),
        (Payload(b"[1]", "application/json"), "raw", "application/json"),
    ],
)
async def test_other_bytes_are_an_attachment(
    harness: Harness, bus: Bus, payload: Payload, mode: str, media_type: str
) -> None:
    bus.send(payload, ids=["x"])
    bus_flow(harness, trigger={"use": "bus.messages", "with": {"body": mode}})
    async with harness.engine() as engine:
        assert await harness.bodies(engine, "f", 1) == [None]
        (summary,) = (await engine.store.executions(ExecutionFilter(flow_id="f"))).items
        envelope = await engine.store.envelope(summary.execution.id)
        assert envelope is not None
        (file,) = envelope.message.attachments
        assert (file.name, file.type, file.filename, file.size) == (
            "body",
            media_type,
            payload.filename,
            len(payload.data),
        )
        assert b"".join([chunk async for chunk in engine.blobs.open(file.id)]) == payload.data


POISON = [
    (Payload(b"{nope", "application/json"), "request.malformed"),
    (Payload(b"\xff", "text/plain"), "request.malformed"),
    (Payload(b'"1234567890"', "application/json"), "request.too_large"),
    (Payload(b"[" * 5 + b"!", "application/json"), "request.malformed"),
]


async def test_a_body_that_cannot_be_read_is_rejected_and_holds_nothing_up(harness: Harness, bus: Bus) -> None:
    bus.send(*(payload for payload, _ in POISON), "next", ids=["0", "1", "2", "3", "n"])
    bus_flow(harness, trigger={"use": "bus.messages", "with": {"max_body": 10}})
    async with harness.engine() as engine:
        assert await harness.bodies(engine, "f", 1) == ["next"]
        await until(lambda: bus.acknowledged == ["n"])
        assert [name for name, _ in bus.rejected] == ["0", "1", "2", "3"]
        await engine.rejections.flush()
        rejected = (await engine.store.rejected(flow_id="f")).items
        assert [(one.path, one.code, one.body) for one in reversed(rejected)] == [
            (str(n), code, None) for n, (_, code) in enumerate(POISON)
        ]


async def test_what_says_no_type_is_json_where_the_flow_says_so(harness: Harness, bus: Bus) -> None:
    bus.send(Payload(b"{nope"), Payload(b"[1]", "text/plain"), ids=["a", "b"])
    bus_flow(harness, trigger={"use": "bus.messages", "with": {"body": "json"}})
    async with harness.engine() as engine:
        assert await harness.bodies(engine, "f", 1) == [[1]]
        await until(lambda: [name for name, _ in bus.rejected] == ["a"])


async def test_fractions_stay_exact_where_the_flow_says_so(harness: Harness, bus: Bus) -> None:
    bus.send(Payload(b"0.10000000000000000001", "application/json"), ids=["x"])
    bus_flow(harness, trigger={"use": "bus.messages", "with": {"numbers": "exact"}})
    async with harness.engine():
        await harness.until_calls(1)
    assert harness.probe.calls[0][3] == Decimal("0.10000000000000000001")


async def test_a_full_flow_holds_back_acknowledging_and_reading(harness: Harness, bus: Bus) -> None:
    hang = Hang()
    harness.probe.does["one"] = hang
    bus.send(*range(20))
    bus_flow(harness, trigger={"use": "bus.messages", "with": {"prefetch": 4}}, concurrency=1, max_queued=3)
    async with harness.engine() as engine:
        await hang.reached.wait()
        for _ in range(20):
            harness.clock.advance(1)
            await asyncio.sleep(0.005)
        assert engine.intake.backlog("f") == 3
        assert len(await harness.bodies(engine, "f")) == 4, "one runs, three are queued"
        assert len(bus.acknowledged) == 4
        assert len(bus.out) <= 5, "no more than are held, and one that waits to be"
        del harness.probe.does["one"]
        (running,) = [
            s
            for s in (await engine.store.executions(ExecutionFilter(flow_id="f"))).items
            if s.execution.state == "running"
        ]
        await engine.operations.cancel(running.execution.id, by=SYSTEM)
        async with asyncio.timeout(30):
            while len(bus.acknowledged) < 20:
                harness.clock.advance(1)
                await asyncio.sleep(0.002)


async def test_a_flow_keeps_to_its_rate(harness: Harness, bus: Bus) -> None:
    bus.send(*range(10))
    bus_flow(harness, rate="2/h")
    async with harness.engine() as engine:
        await until(lambda: len(bus.acknowledged) == 2)
        for _ in range(5):
            harness.clock.advance(1)
            await asyncio.sleep(0.005)
        assert len(bus.acknowledged) == 2
        harness.clock.advance(timedelta(minutes=30).total_seconds())
        await until(lambda: len(bus.acknowledged) == 3)
        assert len(await harness.bodies(engine, "f")) == 3


async def test_a_lost_connection_is_not_waited_on_while_a_flow_is_full(harness: Harness, bus: Bus) -> None:
    bus.send(*range(10))
    bus_flow(harness, rate="2/h")
    async with harness.engine() as engine:
        await until(lambda: len(bus.acknowledged) == 2 and not bus.waiting)
        bus.cut.set()
        bus.some.set()
        async with asyncio.timeout(30):
            while (status := engine.sources.status("f")) is None or status.error is None:
                harness.clock.advance(0.1)
                await asyncio.sleep(0.002)
        assert status.error == "bus.lost: the connection is lost"


async def test_a_paused_flow_leaves_messages_with_the_broker(harness: Harness, bus: Bus) -> None:
    bus_flow(harness)
    async with harness.engine() as engine:
        await listens(engine)
        await engine.version_switch.set_state("f", "paused", by=SYSTEM)
        await harness.without_source(engine, "f")
        await until(lambda: b"hookline_broker_listening{" not in engine.metrics.exposition())
        bus.send("a")
        await engine.version_switch.set_state("f", "active", by=SYSTEM)
        assert await harness.bodies(engine, "f", 1) == ["a"]


async def test_a_changed_flow_listens_anew(harness: Harness, bus: Bus) -> None:
    bus_flow(harness)
    async with harness.engine() as engine:
        await listens(engine)
        bus_flow(harness, title="only another title")
        await engine.version_switch.refresh()
        assert len(bus.connections) == 1
        bus_flow(harness, trigger={"use": "bus.messages", "with": {"queue": "other"}})
        await engine.version_switch.refresh()
        await until(lambda: len(bus.connections) == 2)


async def test_nothing_that_is_said_of_a_connection_shows_its_credential(harness: Harness, bus: Bus) -> None:
    token = "a-token-of-the-bus"
    bus.fails = [StepError(f"rejected: {token}"), StoreError(f"no file {token}"), RuntimeError(f"what is {token}")]
    bus_flow(harness, trigger={"use": "bus.locked", "credential": "key"})

    async def fails() -> None:
        raise RuntimeError(f"not with {token}")

    bus.before_acknowledging = fails
    with structlog.testing.capture_logs() as logs:
        async with harness.engine() as engine:
            await engine.credentials.put("key", "bus", {"token": token}, by=SYSTEM)
            status = await listens(engine, listening=False)
            for said in ("rejected: ***", "no file ***", "what is ***"):
                await until(lambda said=said: said in (status.error or ""))  # type: ignore[misc]
                await asyncio.sleep(0.01)
                harness.clock.advance(60)
            bus.send("a")
            assert await harness.bodies(engine, "f", 1) == ["a"]
            await until(lambda: any("not with ***" in str(line) for line in logs))
    assert token not in str(logs)


async def test_a_broker_that_can_not_be_told_and_does_not_let_go_stops_no_other_flow(
    harness: Harness, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookline.sources.consume._ACKNOWLEDGE", 0.05)
    monkeypatch.setattr("hookline.plugin_host.plugin_calls.GRACE", 0.05)
    end = asyncio.Event()

    async def hangs() -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    bus.before_acknowledging = hangs
    bus_flow(harness)
    bus.send("a")
    async with harness.engine() as engine:
        assert await harness.bodies(engine, "f", 1) == ["a"]
        status = await listens(engine, listening=False)
        assert "messages can't be acknowledged" in (status.error or "")
        bus_flow(harness, "g")
        await engine.version_switch.refresh()
        await listens(engine, "g")
        end.set()


async def test_a_stop_lets_what_is_under_way_be_acknowledged(
    harness: Harness, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus_flow(harness)
    engine = harness.engine()
    await engine.start()
    await listens(engine)
    real, gate, asked = engine.store.commit, asyncio.Event(), asyncio.Event()

    async def held(changes: Sequence[Change]) -> Sequence[CommitResult]:
        if any(isinstance(change, Accept) for change in changes):
            asked.set()
            await gate.wait()
        return await real(changes)

    monkeypatch.setattr(engine.store, "commit", held)
    bus.send("a")
    await asked.wait()
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    gate.set()
    await stopping
    assert bus.acknowledged == ["a"]


async def test_what_the_broker_has_forgotten_is_kept_when_the_engine_stops(harness: Harness, bus: Bus) -> None:
    bus.forgetful = True
    bus.send(1, 2, 3)
    bus_flow(harness, rate="1/h")
    async with harness.engine() as engine:
        await until(lambda: not bus.waiting)
        await harness.bodies(engine, "f", 1)
    async with harness.engine() as engine:
        assert await harness.bodies(engine, "f", 3) == [1, 2, 3]


async def test_a_commit_of_which_nobody_knows_is_done_again(
    harness: Harness, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those without an id, too."""
    bus_flow(harness)
    async with harness.engine() as engine:
        await listens(engine)
        commit, tries = engine.store.commit, 0

        async def unsure(changes: Sequence[Change]) -> Sequence[CommitResult]:
            nonlocal tries
            if not any(isinstance(change, Accept) for change in changes):
                return await commit(changes)
            tries += 1
            if tries == 1:
                raise StoreError("it didn't take place")
            results = await commit(changes)
            if tries == 2:
                raise StoreError("it did")
            return results

        monkeypatch.setattr(engine.store, "commit", unsure)
        bus.send("a", "b", ids=["1", None])
        async with asyncio.timeout(30):
            while len(bus.acknowledged) < 2:
                harness.clock.advance(1)
                await asyncio.sleep(0.005)
        assert tries >= 3
        assert await harness.bodies(engine, "f") == ["a", "b"]
        await harness.until_calls(2)
        assert engine.intake.backlog("f") == 0
