"""What nodes tell each other: events while somebody listens, and replies for callers of other nodes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.engine.two_engines import two_engines
from tests.integration.engine_harness import Harness

from hookline.engine import Engine
from hookline.executions.waiting_callers import stored_reply
from hookline.model.execution import ExecutionFilter
from hookline.service.hooks import reply_wait
from hookline.service.hooks.reply_wait import ReplyWaiter
from hookline.testing.envelopes import Envelopes

pytestmark = pytest.mark.postgres

WEBHOOK = {"use": "webhook", "with": {"verify": "none", "respond": "finished"}}


@pytest.fixture
async def engines(tmp_path: Path, tables: str) -> AsyncIterator[list[Engine]]:
    harness = Harness(tmp_path)
    harness.flow("answering", [{"use": "map", "with": {"body": {"sum": "{{ body.a + 1 }}"}}}], trigger=WEBHOOK)
    harness.flow("failing", [{"use": "fail", "with": {"message": "no"}}], trigger=WEBHOOK)
    async with two_engines(tmp_path, tables, ("webhook", "worker")) as engines:
        for engine in engines:
            async with asyncio.timeout(20):
                while engine.membership.alone:  # noqa: ASYNC110 - another node does it
                    await asyncio.sleep(0.02)
        yield engines


async def _answer(engine: Engine, flow_id: str) -> tuple[int, bytes]:
    """Send a message to a node, and wait for the reply as its service does."""
    waiter = ReplyWaiter(engine.replies, engine.store, engine.blobs, engine.redaction, engine.membership)
    flow = engine.intake.flow(flow_id)
    webhook = flow.trigger.webhook
    assert webhook is not None
    envelope = Envelopes(engine.clock).make(flow_id, {"a": 1})
    response = await waiter.response(envelope.execution_id, webhook, lambda: engine.intake.accept(flow, envelope))
    return response.status, response.body


@pytest.mark.cluster_rule("C11")
async def test_a_caller_hears_at_once_of_a_reply_or_a_failure_on_another_node(
    engines: list[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    # It doesn't look by itself.
    monkeypatch.setattr(reply_wait, "_LOOK", 600.0)
    accepting, _ = engines
    async with asyncio.timeout(20):
        assert await _answer(accepting, "answering") == (200, b'{"sum":2}')
        assert (await _answer(accepting, "failing"))[0] == 502
        # That the caller got it is noted afterwards.
        (answered,) = (await accepting.store.executions(ExecutionFilter(flow_id="answering"))).items
        while True:
            *_, entry = await accepting.store.journal(answered.execution.id)
            assert entry.output is not None
            if b'"delivered":true' in entry.output:
                break
            await asyncio.sleep(0.02)
        reply = await stored_reply(accepting.store, answered.execution.id, exact=False)
        assert reply is not None
        assert (reply.reply.body, reply.reply.delivered) == ({"sum": 2}, True)


@pytest.mark.cluster_rule("C11")
async def test_events_of_any_node_come_to_a_listener_of_each_while_somebody_listens(engines: list[Engine]) -> None:
    accepting, running = engines
    assert not running.events.listening
    with accepting.events.listen() as here:
        async with asyncio.timeout(20):
            while not running.events.listening:  # noqa: ASYNC110 - another node does it
                await asyncio.sleep(0.02)
        await _answer(accepting, "answering")
        kinds: list[str] = []
        async with asyncio.timeout(20):
            while "execution.ended" not in kinds:
                await here.wait(accepting.clock, 1.0)
                kinds += [event.kind for event in here.take()]
    assert kinds == ["execution.queued", "execution.started", "step.finished", "step.finished", "execution.ended"]


async def test_one_node_reports_the_metrics_of_the_database(engines: list[Engine]) -> None:
    async with asyncio.timeout(20):
        while not any(engine.reports_database for engine in engines):  # noqa: ASYNC110 - a task does it
            await asyncio.sleep(0.02)
    assert [engine.reports_database for engine in engines].count(True) == 1
