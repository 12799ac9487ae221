"""Webhooks in the middle, from a request at either server to the end of the execution."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.integration.engine_harness import Harness, act
from tests.integration.served_hook import SERVERS

from hookline.engine import Engine
from hookline.maintenance.retention import Purger
from hookline.maintenance.sweeper import Sweeper
from hookline.model.access import SYSTEM, Actor, AuditFilter
from hookline.model.execution import Outcome, State
from hookline.service.app import create_app
from hookline.service.hooks.receive import HookOptions
from hookline.service.server.serving import Server, serve

APPROVE = {"id": "approve", "use": "webhook", "with": {"timeout": "2d"}}
ASK = act("ask", "$.execution.hooks.approve.url")
ORDERS = {"verify": "none", "correlate": {"key": ["$.body.shop", "$.body.order"], "from": ["$.body.shop", "$.body.id"]}}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


@dataclass
class Site:
    """A server over an engine, and somebody who calls it."""

    engine: Engine
    url: str
    session: aiohttp.ClientSession

    async def call(self, url: str, method: str = "POST", **sent: Any) -> tuple[int, Any]:
        """Status, and JSON or else text; `url` may be one that a flow has handed out."""
        async with self.session.request(method, self.url + "/" + url.split("/", 3)[3], **sent) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type.endswith("json") else text

    async def post(self, url: str, body: Any) -> tuple[int, Any]:
        return await self.call(url, json=body)


@contextlib.asynccontextmanager
async def serving(harness: Harness, server: Server = "uvicorn", **options: Any) -> AsyncIterator[Site]:
    async with harness.engine(**options) as engine:
        shutdown = asyncio.Event()
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        app: Any = create_app(engine, HookOptions(engine.options.public_url))
        async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as session:
            tasks.create_task(
                serve(
                    app,
                    direct=app.direct,
                    shutdown=shutdown,
                    port=0,
                    server=server,
                    bound=lambda _, found: port.set_result(found),
                )
            )
            try:
                yield Site(engine, f"http://127.0.0.1:{await port}", session)
            finally:
                shutdown.set()


async def asked(harness: Harness, site: Site, body: Any = None, count: int = 1) -> tuple[str, str]:
    """An execution that waits, and the URL that it has handed out."""
    _, answer = await site.post("http://x/hook/f", body or {})
    await harness.until_calls(count)
    await harness.until(site.engine, answer["execution_id"], State.WAITING)
    return answer["execution_id"], harness.probe.calls[count - 1][3]


@pytest.mark.parametrize("server", SERVERS)
async def test_a_call_resumes_the_execution_with_its_message(harness: Harness, server: Server) -> None:
    harness.flow("f", [ASK, APPROVE, act("after", ["$.body", "$.steps.ask.body", "$.steps.approve.query"])])
    async with serving(harness, server) as site:
        execution_id, url = await asked(harness, site)
        status, page = await site.call(url, "GET")
        assert (status, '<form method="post">' in page) == (200, True)
        assert (await site.call(url, "HEAD"))[0] == 200
        assert (await site.engine.store.execution(execution_id)).state is State.WAITING  # type: ignore[union-attr]  # it is there
        status, answer = await site.call(f"{url}?by=ann", json={"ok": True})
        assert (status, answer["execution_id"], answer["step"]) == (202, execution_id, "approve")
        assert (await harness.until(site.engine, execution_id)).outcome is Outcome.COMPLETED
        assert harness.probe.calls[-1][3] == [{"ok": True}, url, {"by": "ann"}]
        # What came is known after the end as well: the answer to the first call may have been lost.
        assert (await site.call(f"{url}?by=ann", json={"ok": True}))[0] == 200
        assert (await site.post(url, {"ok": False}))[0] == 409
        assert (await site.post(url + "x", {}))[0] == 404


@pytest.mark.rule(48, 49)
async def test_a_call_to_a_resume_url_is_recorded_once_with_its_address(harness: Harness) -> None:
    harness.flow("f", [ASK, APPROVE])
    async with serving(harness) as site:
        execution_id, url = await asked(harness, site)
        assert (await site.post(url + "x", {}))[0] == 404
        for status, body in ((202, 1), (200, 1), (409, 2)):
            assert (await site.post(url, body))[0] == status
        (entry,) = (await site.engine.store.audit(AuditFilter(operation="execution.resume"))).items
        assert entry.actor == Actor("resume-url", "", "127.0.0.1")
        version = site.engine.version_resolver.current("f").version
        assert (entry.flow_id, entry.flow_version, entry.subject) == ("f", version, execution_id)
        assert entry.detail == "approve"


async def test_the_form_of_the_page_resumes_it(harness: Harness) -> None:
    harness.flow("f", [ASK, APPROVE])
    async with serving(harness) as site:
        execution_id, url = await asked(harness, site)
        assert (await site.call(url, data={}, headers={"Content-Type": "application/x-www-form-urlencoded"}))[0] == 202
        assert (await harness.until(site.engine, execution_id)).outcome is Outcome.COMPLETED


@pytest.mark.parametrize("server", SERVERS)
async def test_of_many_identical_calls_at_once_one_resumes(harness: Harness, server: Server) -> None:
    harness.flow("f", [ASK, APPROVE, act("after", "$.body")])
    async with serving(harness, server) as site:
        execution_id, url = await asked(harness, site)
        answers = await asyncio.gather(*(site.post(url, {"n": 1}) for _ in range(200)))
        assert sorted(status for status, _ in answers) == [200] * 199 + [202]
        assert {answer["execution_id"] for _, answer in answers} == {execution_id}
        await harness.until(site.engine, execution_id)
        assert harness.probe.steps() == ["ask", "after"]


async def test_of_many_different_calls_at_once_one_resumes(harness: Harness) -> None:
    harness.flow("f", [ASK, APPROVE, act("after", "$.body")])
    async with serving(harness) as site:
        execution_id, url = await asked(harness, site)
        answers = await asyncio.gather(*(site.post(url, {"n": n}) for n in range(100)))
        assert sorted(status for status, _ in answers) == [202] + [409] * 99
        (taken,) = (n for n, (status, _) in enumerate(answers) if status == 202)
        await harness.until(site.engine, execution_id)
        assert harness.probe.calls[-1][3] == {"n": taken}


async def test_a_call_after_the_time_or_after_the_end_is_gone(harness: Harness) -> None:
    harness.flow("f", [ASK, APPROVE])
    async with serving(harness) as site:
        execution_id, url = await asked(harness, site)
        other_id, other = await asked(harness, site, count=2)
        await site.engine.operations.cancel(other_id, by=SYSTEM)
        await harness.until(site.engine, other_id, State.CANCELLED)
        harness.clock.advance(2 * 86400 + 1)
        assert (await harness.until(site.engine, execution_id)).error.code == "wait_timed_out"  # type: ignore[union-attr]  # it has one
        for gone in (url, other):
            status, problem = await site.post(gone, {})
            assert (status, problem["code"]) == (410, "request.wait_over")


async def test_a_call_that_comes_before_the_step_is_reached_is_kept_for_it(harness: Harness) -> None:
    arrived: list[tuple[int, Any]] = []
    sites: list[Site] = []

    async def call(url: Any) -> Any:
        arrived.append(await sites[0].post(url, "early"))

    harness.probe.does.update(ask=call)
    harness.flow("f", [ASK, APPROVE, act("after", "$.body")])
    async with serving(harness) as site:
        sites.append(site)
        _, answer = await site.post("http://x/hook/f", {})
        assert (await harness.until(site.engine, answer["execution_id"])).outcome is Outcome.COMPLETED
        assert (arrived[0][0], harness.probe.calls[-1][3]) == (202, "early")


async def test_a_correlated_call_finds_its_execution_by_a_key_of_two_parts(harness: Harness) -> None:
    harness.flow("f", [{"id": "paid", "use": "webhook", "with": ORDERS}, act("after", "$.body.sum")])
    async with serving(harness) as site:
        ids = {}
        for order in (1, 2):
            _, answer = await site.post("http://x/hook/f", {"shop": "a", "order": order})
            ids[order] = answer["execution_id"]
            await harness.until(site.engine, ids[order], State.WAITING)
        status, answer = await site.post("http://x/hook/f/paid", {"shop": "a", "id": 2, "sum": 5})
        assert (status, answer["execution_id"]) == (202, ids[2])
        assert (await harness.until(site.engine, ids[2])).outcome is Outcome.COMPLETED
        assert harness.probe.calls[-1][3] == 5
        # One that comes early is kept for a step that asks for its key.
        status, answer = await site.post("http://x/hook/f/paid", {"shop": "b", "id": 1, "sum": 6})
        assert (status, answer["execution_id"]) == (202, None)
        _, answer = await site.post("http://x/hook/f", {"shop": "b", "order": 1})
        assert (await harness.until(site.engine, answer["execution_id"])).outcome is Outcome.COMPLETED
        assert harness.probe.calls[-1][3] == 6
        assert (await site.engine.store.execution(ids[1])).state is State.WAITING  # type: ignore[union-attr]  # it is there


async def test_a_file_in_a_call_is_the_flows(harness: Harness) -> None:
    harness.flow("f", [ASK, APPROVE, act("after", "$.attachments[0].filename")])
    async with serving(harness) as site:
        execution_id, url = await asked(harness, site)
        form = aiohttp.FormData()
        form.add_field("signed", b"%PDF-1.7", filename="signed.pdf", content_type="application/pdf")
        assert (await site.call(url, data=form))[0] == 202
        await harness.until(site.engine, execution_id)
        assert harness.probe.calls[-1][3] == "signed.pdf"
        blobs = [blob async for blob in site.engine.blobs.older_than(harness.clock.now() + timedelta(days=1))]
        assert set(await site.engine.store.referenced(blobs)) == set(blobs) != set()


async def test_the_version_that_the_execution_runs_on_says_what_its_calls_have_to_be(harness: Harness) -> None:
    harness.flow("f", [ASK, APPROVE])
    async with serving(harness) as site:
        execution_id, url = await asked(harness, site)
        harness.flow("f", [ASK, {**APPROVE, "with": {"methods": ["PUT"], "max_body": 1}}])
        await site.engine.version_switch.refresh()
        assert (await site.call(url, "PUT", json={}))[0] == 405
        assert (await site.post(url, {}))[0] == 202
        await harness.until(site.engine, execution_id)
        _, later = await asked(harness, site, count=2)
        assert (await site.post(later, {}))[0] == 405


async def test_a_call_for_an_execution_whose_flow_cannot_be_had_is_to_come_again(harness: Harness) -> None:
    harness.flow("f", [ASK, APPROVE], state="paused")
    async with serving(harness) as site:
        url = site.engine.resume_url(await harness.send(site.engine, "f", {}), "approve")
        (harness.folder / "flows" / "f.json").unlink()
        await site.engine.version_switch.refresh()
        status, problem = await site.post(url, {})
        assert (status, problem["code"]) == (503, "request.unavailable")
        harness.flow("f", [ASK, APPROVE], state="paused")
        await site.engine.version_switch.refresh()
        assert (await site.post(url, {}))[0] == 202


async def test_a_server_that_stops_takes_no_call(harness: Harness) -> None:
    harness.flow("f", [ASK, APPROVE])
    async with serving(harness) as site:
        _, url = await asked(harness, site)
        assert (await site.post(url + "x", {}))[0] == 404
        site.engine.intake.open = False
        for one in (url, url + "x"):
            status, problem = await site.post(one, {})
            assert (status, problem["code"]) == (503, "request.unavailable")


async def test_calls_are_given_up_once_nothing_can_ask_for_them(harness: Harness) -> None:
    steps = [ASK, APPROVE, {"id": "paid", "use": "webhook", "with": ORDERS}]
    # The execution outlives what was called: otherwise nothing would be known of it.
    harness.flow("f", steps, retention={"age": "1000d"})
    early = {"shop": "a", "id": 3}
    async with serving(harness) as site:
        engine = site.engine
        purger = Purger(engine.store, engine.blobs, engine.clock, engine.log, engine.retention_of)
        hour = timedelta(hours=1)
        sweeper = Sweeper(
            engine.store, engine.blobs, engine.clock, engine.log, timedelta(days=30), hour, purger, timedelta(days=400)
        )
        execution_id, url = await asked(harness, site)
        assert (await site.post("http://x/hook/f/paid", early))[0] == 202
        await sweeper.sweep()
        assert (await site.post("http://x/hook/f/paid", early))[0] == 200
        harness.clock.advance(3601)
        await sweeper.sweep()
        assert (await site.post("http://x/hook/f/paid", early))[0] == 202, "it was forgotten"
        assert (await site.post(url, {"shop": "a", "order": 2}))[0] == 202
        harness.clock.advance(31 * 86400)
        await sweeper.sweep()
        assert (await site.post(url, {"shop": "a", "order": 2}))[0] == 200, "the execution goes on"
        await engine.operations.cancel(execution_id, by=SYSTEM)
        await harness.until(engine, execution_id)
        await sweeper.sweep()
        assert (await site.post(url, {"shop": "a", "order": 2}))[0] == 200, "it has ended, but not long ago"
        harness.clock.advance(30 * 86400 + 1)
        await sweeper.sweep()
        assert (await site.post(url, {"shop": "a", "order": 2}))[0] == 410
