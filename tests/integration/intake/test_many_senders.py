"""Many senders at once, over real HTTP: duplicates, floods, and answers that are held back."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.integration.engine_harness import Harness

from hookline.engine import Engine
from hookline.kernel.errors import TooManyRequests
from hookline.model.execution import ExecutionFilter, State
from hookline.service.app import create_app
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.server.hook_application import HOLD_SECONDS
from hookline.service.server.serving import Server, serve
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

OPTIONS = HookOptions("https://hooks.example")


@contextlib.asynccontextmanager
async def served(harness: Harness, server: Server = "hypercorn") -> AsyncIterator[tuple[Engine, str]]:
    async with harness.engine() as engine:
        app: Any = create_app(engine, OPTIONS)
        shutdown = asyncio.Event()
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                serve(
                    app,
                    direct=app.direct,
                    shutdown=shutdown,
                    port=0,
                    server=server,
                    bound=lambda _, number: port.set_result(number),
                )
            )
            try:
                yield engine, f"http://127.0.0.1:{await port}/hook"
            finally:
                shutdown.set()


async def post(session: aiohttp.ClientSession, url: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    async with session.post(url, json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


def trigger(**settings: Any) -> dict[str, Any]:
    return {"use": "webhook", "with": {"verify": "none", **settings}}


@pytest.mark.promise(4)
@pytest.mark.parametrize("server", ["hypercorn", "uvicorn"])
async def test_of_two_hundred_concurrent_duplicates_exactly_one_runs(harness: Harness, server: Server) -> None:
    harness.flow(
        "f",
        [{"id": "act", "use": "probe.act", "with": {"value": "$.body.id"}}],
        trigger=trigger(dedupe_key=["$.body.id", "$.headers.x-shop"]),
    )
    async with served(harness, server) as (engine, url), aiohttp.ClientSession() as session:
        sent = [post(session, f"{url}/f", {"id": 7, "n": number}, {"x-shop": "one"}) for number in range(200)]
        other = post(session, f"{url}/f", {"id": 7}, {"x-shop": "two"})
        answers = await asyncio.gather(*sent, other)
        assert answers.pop()[0] == 202
        assert Counter(status for status, _ in answers) == {200: 199, 202: 1}
        (execution_id,) = {answer["execution_id"] for _, answer in answers}
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        await harness.until_calls(2)
        assert len((await engine.store.executions(ExecutionFilter(flow_id="f"))).items) == 2
    assert harness.probe.steps() == ["act", "act"]


async def test_a_sender_over_the_rate_is_kept_waiting(harness: Harness) -> None:
    harness.flow("a", [], trigger=trigger(), rate="1/h")
    harness.flow("b", [], trigger=trigger())
    async with served(harness) as (_, url), aiohttp.ClientSession() as session:
        assert (await post(session, f"{url}/a", 1, {}))[0] == 202
        began = time.monotonic()

        async def rejected() -> float:
            assert (await post(session, f"{url}/a", 1, {}))[0] == 429
            return time.monotonic() - began

        waited = await asyncio.gather(*(rejected() for _ in range(20)))
        assert min(waited) >= HOLD_SECONDS
        assert (await post(session, f"{url}/b", 1, {}))[0] == 202


async def test_no_more_than_so_many_answers_are_held_back() -> None:
    hook = HookOverMemory(webhook_flow())
    hook.intake.failure = TooManyRequests(retry_after=1)
    mount = hook.endpoints.application(hold_seconds=60)
    statuses: list[int] = []

    async def send(event: Any) -> None:
        if event["type"] == "http.response.start":
            statuses.append(event["status"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/hook/orders",
        "query_string": b"",
        "http_version": "1.1",
        "headers": [(b"content-length", b"2"), (b"content-type", b"application/json")],
    }
    held = [asyncio.ensure_future(mount(dict(scope), receive, send)) for _ in range(250)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert statuses == []
    await mount(dict(scope), receive, send)
    assert statuses == [429]
    for task in held:
        task.cancel()
    await asyncio.wait(held)
