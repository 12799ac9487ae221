"""Files go when the executions that use them ended long ago, and never before."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import SLEEPERS, Harness

from hookline.api import Context, StepError
from hookline.cli.options_from_settings import engine_options, hook_options
from hookline.engine import Engine
from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange
from hookline.maintenance.retention import Purger
from hookline.maintenance.sweeper import Sweeper
from hookline.model.access import SYSTEM
from hookline.model.execution import State
from hookline.model.message import Arrival, Attachment, Envelope, Message
from hookline.server_settings import Settings
from hookline.service.app import create_endpoints
from hookline.service.hook_request_and_response import HookRequest
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.views.executions import execution_view
from hookline.storage.change_declarations import Accept, Change, CommitResult, ForgetFiles, Purge
from hookline.testing.contracts.blobs import put, read

RETENTION = timedelta(days=30)
LONG = timedelta(days=10_000)
"""For how long executions are kept here."""


def sweeper(engine: Engine) -> Sweeper:
    longest = engine.options.max_request_time
    purger = Purger(engine.store, engine.blobs, engine.clock, engine.log, engine.retention_of)
    return Sweeper(engine.store, engine.blobs, engine.clock, engine.log, RETENTION, longest, purger, LONG)


async def upload(harness: Harness, engine: Engine, flow_id: str, data: bytes) -> tuple[str, str]:
    """Accept a message with a file; gives the ids of the execution and the blob."""
    blob = await put(engine.blobs, data)
    now = harness.clock.now()
    envelope = Envelope(
        execution_id=engine.ids.new(),
        flow_id=flow_id,
        message=Message(None, {}, (Attachment(blob.id, "file", "a.txt", "text/plain", blob.size, blob.sha256),)),
        arrival=Arrival("webhook", method="POST", received_at=now),
        accepted_at=now,
    )
    await engine.intake.accept(engine.intake.flow(flow_id), envelope)
    return envelope.execution_id, blob.id


async def kept(engine: Engine, blob_id: str) -> bool:
    return [one async for one in engine.blobs.older_than(engine.clock.now() + timedelta(days=1))].count(blob_id) == 1


async def test_files_are_removed_once_their_execution_ended_long_enough_ago(harness: Harness) -> None:
    harness.flow("files", [{"id": "act", "use": "probe.act"}])
    async with harness.engine(retention=LONG) as engine:
        execution_id, blob_id = await upload(harness, engine, "files", b"x")
        await harness.until(engine, execution_id, State.SUCCEEDED)
        harness.clock.advance(RETENTION.total_seconds() - 1)
        await sweeper(engine).sweep()
        assert await kept(engine, blob_id)
        harness.clock.advance(2)
        await sweeper(engine).sweep()
        assert not await kept(engine, blob_id)
        # The row stays, and says when.
        view = await execution_view(engine.store, execution_id)
        assert view is not None
        assert (view.state, view.files_removed_at) == ("succeeded", "2026-03-02T08:00:01.000000Z")
        envelope = await engine.store.envelope(execution_id)
        assert envelope is not None
        assert [one.id for one in envelope.message.attachments] == [blob_id]


async def test_files_of_what_hasnt_ended_are_never_removed(harness: Harness) -> None:
    hold = asyncio.Event()

    async def wait(value: Any) -> Any:
        await hold.wait()
        return value

    harness.probe.does["held"] = wait
    harness.flow("running", [{"id": "held", "use": "probe.act"}])
    harness.flow("waiting", [{"id": "key", "use": "probe.secret", "with": {"password": "x"}, "credential": "missing"}])
    harness.flow("queued", [{"id": "act", "use": "probe.act"}], state="paused")
    async with harness.engine(file_retention=RETENTION, retention=LONG) as engine:
        made = {
            flow_id: await upload(harness, engine, flow_id, flow_id.encode())
            for flow_id in ("running", "waiting", "queued")
        }
        await harness.until(engine, made["waiting"][0], State.WAITING)
        await harness.until(engine, made["running"][0], State.RUNNING)
        harness.clock.advance(10 * RETENTION.total_seconds())
        await sweeper(engine).sweep()
        for execution_id, blob_id in made.values():
            execution = await engine.store.execution(execution_id)
            assert execution is not None
            assert execution.files_removed_at is None
            assert await kept(engine, blob_id)
        hold.set()


async def test_what_opens_a_file_that_was_removed_fails_at_once_and_says_why(harness: Harness) -> None:
    async def fail(_: Any) -> Any:
        raise StepError("away")

    connector = harness.probe.connector

    @connector.action
    async def open_file(ctx: Context[None]) -> str:
        """Read the attachment."""
        return (await read(ctx.blobs, ctx.message.attachments[0].id)).decode()  # type: ignore[arg-type]  # a Blobs

    harness.probe.does["act"] = fail
    harness.flow(
        "files",
        [{"id": "act", "use": "probe.act"}, {"id": "read", "use": "probe.open_file", "retry": {"attempts": 5}}],
    )
    async with harness.engine(retention=LONG) as engine:
        execution_id, blob_id = await upload(harness, engine, "files", b"text")
        await harness.until(engine, execution_id, State.FAILED)
        harness.clock.advance(RETENTION.total_seconds() + 1)
        await sweeper(engine).sweep()
        assert await kept(engine, blob_id), "nobody has decided on the dead letter"
        await engine.operations.discard(execution_id, by=SYSTEM)
        await sweeper(engine).sweep()
        del harness.probe.does["act"]
        await engine.operations.retry(execution_id, by=SYSTEM)
        execution = await harness.until(engine, execution_id)
        assert execution.error is not None
        assert (execution.error.code, execution.error.retryable) == ("store.blob_gone", False)
        assert blob_id in execution.error.message
        assert "file_retention" in execution.error.message
        assert (await harness.journal(engine, execution_id))["read"].attempt == 1


async def test_a_file_that_two_executions_use_stays_as_long_as_one_needs_it(harness: Harness) -> None:
    harness.flow("files", [{"id": "act", "use": "probe.act"}])
    async with harness.engine(retention=LONG) as engine:
        first, blob_id = await upload(harness, engine, "files", b"x")
        await harness.until(engine, first, State.SUCCEEDED)
        harness.clock.advance(RETENTION.total_seconds() - 1)
        envelope = await engine.store.envelope(first)
        assert envelope is not None
        now = harness.clock.now()
        again = Envelope(engine.ids.new(), "files", envelope.message, Arrival("webhook"), now)
        await engine.intake.accept(engine.intake.flow("files"), again)
        await harness.until(engine, again.execution_id, State.SUCCEEDED)
        harness.clock.advance(2)
        await sweeper(engine).sweep()
        assert await kept(engine, blob_id)
        harness.clock.advance(RETENTION.total_seconds())
        await sweeper(engine).sweep()
        assert not await kept(engine, blob_id)


@pytest.mark.parametrize("first", ["removal", "replay"])
@pytest.mark.parametrize("step", [None, "act"])
@pytest.mark.parametrize("how", ["purge", "sweep"])
async def test_a_replay_beside_the_removal_of_its_file_has_the_file_or_is_rejected(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, how: str, step: str | None, first: str
) -> None:
    """The replay has read the execution, and the removal knows the file, when one of them commits."""
    harness.flow("files", [{"id": "act", "use": "probe.act"}])
    async with harness.engine(retention=LONG, file_retention=LONG) as engine:
        execution_id, blob_id = await upload(harness, engine, "files", b"x")
        await harness.until(engine, execution_id, State.SUCCEEDED)
        harness.clock.advance(RETENTION.total_seconds() + 1)
        commit = engine.store.commit
        purger = Purger(engine.store, engine.blobs, engine.clock, engine.log, engine.retention_of)

        async def second(changes: Sequence[Change]) -> Sequence[CommitResult]:
            if not any(isinstance(change, Accept | Purge | ForgetFiles) for change in changes):
                return await commit(changes)
            monkeypatch.setattr(engine.store, "commit", commit)
            if first == "replay":
                made.append(await engine.operations.replay(execution_id, step=step, by=SYSTEM))
            elif how == "purge":
                await purger.free("files", 1)
            else:
                await sweeper(engine).sweep()
            return await commit(changes)

        made: list[str] = []
        monkeypatch.setattr(engine.store, "commit", second)
        if first == "removal":
            with pytest.raises(ExecutionNotFound if how == "purge" else IllegalStateChange):
                await engine.operations.replay(execution_id, step=step, by=SYSTEM)
        else:
            await (purger.free("files", 1) if how == "purge" else sweeper(engine).sweep())
        assert await kept(engine, blob_id) == (first == "replay")
        for again in made:
            assert (await harness.until(engine, again)).state is State.SUCCEEDED
        assert len((await engine.store.executions()).items) == len(made) + (how == "sweep")


async def test_the_engine_sweeps_by_its_setting(harness: Harness) -> None:
    harness.flow("files", [{"id": "act", "use": "probe.act"}])
    async with harness.engine(file_retention=timedelta(hours=2), retention=LONG) as engine:
        execution_id, blob_id = await upload(harness, engine, "files", b"x")
        await harness.until(engine, execution_id, State.SUCCEEDED)
        await harness.clock.until_sleeping(SLEEPERS)
        harness.clock.advance(3 * 3600)
        async with asyncio.timeout(30):
            while await kept(engine, blob_id):  # noqa: ASYNC110 - what is waited for is several tasks away
                await asyncio.sleep(0.002)


BOUNDARY = b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"


@pytest.mark.rule(5)
@pytest.mark.parametrize("longest", [timedelta(minutes=30), timedelta(hours=12)])
async def test_a_file_that_came_first_outlives_the_sweeps_until_its_request_has_come_or_is_rejected(
    harness: Harness, longest: timedelta
) -> None:
    harness.flow("forms", [], trigger={"use": "webhook", "with": {"verify": "none"}})
    async with harness.engine(max_request_time=longest, file_retention=RETENTION, retention=LONG) as engine:
        hook = create_endpoints(engine, HookOptions("http://x", max_request_time=longest.total_seconds())).hook

        async def send(seconds: float) -> int:
            async def chunks() -> AsyncIterator[bytes]:
                yield BOUNDARY + b"one\r\n" + BOUNDARY
                harness.clock.advance(seconds)
                yield b"tw"
                await engine._sweeper.sweep()
                yield b"o\r\n--x--"

            headers = [(b"content-type", b"multipart/form-data; boundary=x")]
            request = HookRequest("POST", "forms", b"/hook/forms", b"", headers, chunks())
            return (await hook.handle(request)).status

        assert await send(longest.total_seconds() - 1) == 202
        blobs = [blob_id async for blob_id in engine.blobs.older_than(harness.clock.now() + timedelta(days=1))]
        assert [await read(engine.blobs, blob_id) for blob_id in sorted(blobs)] in ([b"one", b"two"], [b"two", b"one"])
        assert await send(longest.total_seconds() + 1) == 408


@pytest.mark.rule(5)
def test_what_a_request_may_take_is_the_same_to_the_hook_and_to_the_sweep(tmp_path: Path) -> None:
    settings = Settings(db=f"sqlite:///{tmp_path}/hookline.db", max_request_time="2h", secret_key="A" * 43)
    assert hook_options(settings, "http://x").max_request_time == 7200
    assert engine_options(settings, "http://x").max_request_time == timedelta(hours=2)
