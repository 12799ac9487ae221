"""An engine over a folder, with a connector whose actions do what a test says, and time that the test sets."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from hookline.api import Connector, Context, StepError, hookimpl
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.model.execution import FINAL, Execution, ExecutionFilter, State, StepRecord
from hookline.model.message import Arrival, Envelope, Message
from hookline.secrets.encryption import generate_key, read_keys
from hookline.sources.source import SourceStatus
from hookline.storage.change_declarations import Accepted, Duplicate
from hookline.testing.clock import ManualClock

KEYS = read_keys(generate_key())
SLEEPERS = 4
"""What sleeps in an idle engine: the timers, the sweeper, the statistics and the problems of the node."""


def act(step_id: str, value: Any = "$.body", **settings: Any) -> dict[str, Any]:
    """A step that calls the probe."""
    return {"id": step_id, "use": "probe.act", "with": {"value": value}, **settings}


def each(*steps: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """A foreach over the body."""
    return {"id": "each", "foreach": "$.body", "steps": list(steps), **settings}


class ProbeKey(BaseModel):
    """The credential of the probe."""

    token: SecretStr


class Probe:
    """A plugin whose actions record their calls and do what `does` says, by step id."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, str, Any]] = []
        """Step id, attempt, idempotency key, value."""
        self.does: dict[str, Callable[[Any], Awaitable[Any]]] = {}
        self.connector = Connector("probe", credential=ProbeKey)
        connector = self.connector

        @connector.action
        async def act(ctx: Context[ProbeKey | None], value: Any = None) -> Any:
            """Do what the test says; by default, give the value back."""
            self.calls.append((ctx.step_id, ctx.attempt, ctx.idempotency_key, value))
            await asyncio.sleep(0)
            does = self.does.get(ctx.step_id)
            return value if does is None else await does(value)

        @connector.action
        async def secret(ctx: Context[ProbeKey], password: SecretStr) -> str:
            """Use a credential and a secret setting."""
            return f"{ctx.credential.token} {password}"

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        """The probe."""
        return [self.connector]

    def steps(self) -> list[str]:
        """Ids of the steps that were called, in order."""
        return [call[0] for call in self.calls]


def fails(times: int, *, retryable: bool = True, retry_after: float | None = None) -> Callable[[Any], Awaitable[Any]]:
    """Fail so many times, then give the value back."""
    left = times

    async def run(value: Any) -> Any:
        nonlocal left
        if left > 0:
            left -= 1
            raise StepError("away", code="probe.away", retryable=retryable, retry_after=retry_after)
        return value

    return run


class Hang:
    """What an action does that never ends by itself."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def __call__(self, value: Any) -> Any:
        """Set `reached`, and hang."""
        self.reached.set()
        await asyncio.Event().wait()


class Harness:
    """Engines over one folder, one after the other."""

    def __init__(self, folder: Path, clock: ManualClock | None = None, db: str | None = None) -> None:
        """`db`: the URL of their database, instead of a file in the folder."""
        self.folder = folder
        self.db = db or f"sqlite:///{folder}/hookline.db"
        self.clock = clock or ManualClock()
        self.probe = Probe()
        self.plugins: list[object] = []
        """Others that engines have besides it."""
        for name in ("flows", "files"):
            (folder / name).mkdir(exist_ok=True)

    def flow(self, flow_id: str, steps: Sequence[Mapping[str, Any]], **settings: Any) -> None:
        """Write a flow's file."""
        document = {
            "id": flow_id,
            "trigger": {"use": "webhook", "with": {"verify": "none"}},
            **settings,
            "steps": steps,
        }
        (self.folder / "flows" / f"{flow_id}.json").write_text(json.dumps(document), encoding="utf-8")

    def engine(self, **options: Any) -> Engine:
        """A new engine; one at a time."""
        given = {
            "db": self.db,
            "blobs": f"file://{self.folder}/blobs",
            "flows": self.folder / "flows",
            "secret_keys": KEYS,
            "watch": False,
            "files_root": self.folder / "files",
            "grace": 0.2,
            **options,
        }
        return Engine(load_plugins(extra_plugins=[self.probe, *self.plugins]), EngineOptions(**given), clock=self.clock)

    async def send(self, engine: Engine, flow_id: str, body: Any, dedupe_key: str | None = None) -> str:
        """Accept a message; gives the execution's id."""
        return (await self.put(engine, flow_id, body, dedupe_key)).execution_id

    async def put(self, engine: Engine, flow_id: str, body: Any, dedupe_key: str | None = None) -> Accepted | Duplicate:
        """Accept a message."""
        now = self.clock.now()
        return await engine.intake.accept(
            engine.intake.flow(flow_id),
            Envelope(
                execution_id=engine.ids.new(),
                flow_id=flow_id,
                message=Message(body),
                arrival=Arrival("webhook", method="POST", received_at=now),
                accepted_at=now,
                dedupe_key=dedupe_key,
                dedupe_until=None if dedupe_key is None else now.replace(year=now.year + 1),
            ),
        )

    async def until(self, engine: Engine, execution_id: str, *states: State) -> Execution:
        """An execution once it is in one of the states, any final one by default."""
        wanted = frozenset(states) or FINAL
        async with asyncio.timeout(30):
            while True:
                execution = await engine.store.execution(execution_id)
                if execution is not None and execution.state in wanted:
                    return execution
                await asyncio.sleep(0.002)

    async def advance_until(self, engine: Engine, execution_id: str, *states: State, seconds: float = 1) -> Execution:
        """The same, while time passes, so many seconds at once."""
        task = asyncio.ensure_future(self.until(engine, execution_id, *states))
        while not task.done():
            await asyncio.wait((task,), timeout=0.02)
            self.clock.advance(seconds)
        return await task

    async def until_calls(self, count: int) -> None:
        """Return once the probe was called so often."""
        async with asyncio.timeout(30):
            while len(self.probe.calls) < count:  # noqa: ASYNC110 - what is waited for is several tasks away
                await asyncio.sleep(0.002)

    async def bodies(self, engine: Engine, flow_id: str, count: int = 0) -> list[Any]:
        """What the messages of a flow's executions hold, in the order of their ids, once there are so many."""
        async with asyncio.timeout(30):
            while True:
                page = (await engine.store.executions(ExecutionFilter(flow_id=flow_id), limit=200)).items
                if len(page) >= count:
                    break
                await asyncio.sleep(0.002)
        envelopes = [await engine.store.envelope(one.execution.id) for one in reversed(page)]
        return [envelope.message.body for envelope in envelopes if envelope is not None]

    async def looked(self, engine: Engine, flow_id: str) -> SourceStatus:
        """How a flow's schedule or poll is doing, once it waits for its next time."""
        async with asyncio.timeout(30):
            while True:
                status = engine.sources.status(flow_id)
                if status is not None and status.next_at is not None and status.next_at > self.clock.now():
                    return status
                await asyncio.sleep(0.002)

    async def without_source(self, engine: Engine, flow_id: str) -> None:
        """Return once no schedule or poll runs for a flow."""
        async with asyncio.timeout(30):
            while engine.sources.status(flow_id) is not None:  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)

    async def journal(self, engine: Engine, execution_id: str) -> dict[str, StepRecord]:
        """The last entry of each step."""
        return {record.path: record for record in await engine.store.journal(execution_id)}
