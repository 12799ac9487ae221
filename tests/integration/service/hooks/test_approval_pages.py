"""A person answers on the page of a waiting step: what is shown, what is taken, and what the flow gets of it."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.engine_harness import Harness, act

from hookline.engine import Engine
from hookline.model.access import ALL_ENTRIES
from hookline.model.execution import State
from hookline.service.admin import blueprints
from hookline.service.app import create_app
from hookline.service.hooks.hook_endpoint import HookOptions

TOKEN = "a-token-of-the-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAGE = {
    "title": "Approve the expense of {{ body.who }}",
    "text": "{{ body.who }} asks for {{ body.amount }}.\n<b>Please look at it.</b>",
    "fields": {
        "amount": {
            "type": "number",
            "label": "Amount for {{ body.who }}",
            "required": True,
            "default": "$.body.amount",
        },
        "count": {"type": "integer", "min": 1, "max": 9, "default": 1},
        "note": {"type": "text", "multiline": True, "help": "Only {{ body.who }} sees this"},
        "team": {"type": "enum", "values": ["north", "south"]},
        "urgent": {"type": "boolean"},
        "due": {"type": "date"},
    },
    "choices": [
        {"label": "Approve", "body": {"approved": True, "for": "$.body.who"}},
        {"label": "Reject", "body": {"approved": False}},
    ],
}
ANSWER = {"amount": "12.5", "count": "2", "note": "fine\r\nby me", "team": "south", "due": "2026-01-31"}
TAKEN = {"amount": 12.5, "count": 2, "note": "fine\nby me", "team": "south", "urgent": False, "due": "2026-01-31"}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


class ApprovalPage:
    """An execution that waits for an answer on its page."""

    def __init__(self, harness: Harness, engine: Engine, client: Client, execution_id: str) -> None:
        self.harness, self.engine, self.client, self.id = harness, engine, client, execution_id
        self.path = "/" + engine.resume_url(execution_id, "approve").split("/", 3)[3]

    async def get(self, **headers: str) -> tuple[int, str]:
        reply = await self.client.get(self.path, headers=BROWSER | headers)
        return reply.status_code, await reply.get_data(as_text=True)

    async def send(self, values: dict[str, Any] | str, **headers: str) -> tuple[int, str]:
        """Send the form, as a browser does."""
        data = values if isinstance(values, str) else urlencode(values)
        scope = {"client": ("192.0.2.7", 4000)}
        reply = await self.client.post(self.path, data=data, headers=BROWSER | FORM | headers, scope_base=scope)
        return reply.status_code, await reply.get_data(as_text=True)

    async def post(self, value: Any) -> tuple[int, Any]:
        """Send JSON, as a program does."""
        reply = await self.client.post(self.path, json=value)
        return reply.status_code, await reply.get_json(force=True)

    async def result(self) -> Any:
        """The body that the next step gets."""
        assert (await self.harness.until(self.engine, self.id)).state is State.SUCCEEDED
        return self.harness.probe.calls[-1][3]


@asynccontextmanager
async def asked(harness: Harness, page: dict[str, Any] = PAGE, **settings: Any) -> AsyncIterator[ApprovalPage]:
    harness.flow("ask", [{"id": "approve", "use": "webhook", "with": {"page": page}}, act("then")], **settings)
    async with harness.engine() as engine:
        assert {entry.state for entry in engine.catalog.entries.values()} == {"active"}
        app = create_app(engine, HookOptions("http://127.0.0.1:8080"), blueprints=blueprints(engine, TOKEN))
        execution_id = await harness.send(engine, "ask", {"who": "Ann & <Bo>", "amount": 250})
        await harness.until(engine, execution_id, State.WAITING)
        yield ApprovalPage(harness, engine, app.test_client(), execution_id)


@pytest.mark.console_rule("K13")
async def test_a_person_reads_the_page_and_answers(harness: Harness) -> None:
    async with asked(harness) as here:
        status, page = await here.get()
        assert status == 200
        assert '<h1 dir="auto">Approve the expense of Ann &amp; &lt;Bo&gt;</h1>' in page
        assert "&lt;b&gt;Please look at it.&lt;/b&gt;" in page
        assert 'value="250"' in page
        assert "Only Ann &amp; &lt;Bo&gt; sees this" in page
        assert "<script" not in page
        buttons = re.findall(r'<button name="(\w+)" value="(\w+)"[^>]*>([^<]*)<', page)
        assert [label for _, _, label in buttons] == ["Approve", "Reject"]
        name, value, _ = buttons[0]
        status, told = await here.send({**ANSWER, name: value})
        assert (status, "Your answer has been recorded" in told) == (202, True)
        assert await here.result() == {**TAKEN, "approved": True, "for": "Ann & <Bo>"}
        entry = next(
            entry
            for entry in (await here.engine.store.audit(ALL_ENTRIES, limit=10)).items
            if entry.operation == "execution.resume"
        )
        assert (entry.actor.kind, entry.subject, entry.detail) == ("resume-url", here.id, "approve")
        assert entry.actor.address == "192.0.2.7"
        assert entry.at == harness.clock.now()


@pytest.mark.console_rule("K13")
async def test_the_style_is_allowed_by_its_hash_and_nothing_else(harness: Harness) -> None:
    async with asked(harness) as here:
        reply = await here.client.get(here.path, headers=BROWSER)
        policy = reply.headers["Content-Security-Policy"]
        assert re.fullmatch(
            r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'; form-action 'self'; frame-ancestors 'none'; "
            r"base-uri 'none'",
            policy,
        )
        assert (reply.headers["Cache-Control"], reply.headers["Referrer-Policy"]) == ("no-store", "no-referrer")


@pytest.mark.console_rule("K13")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"amount": ""}, "this field is required"),
        ({"amount": "twelve"}, "this must be a number"),
        ({"amount": "1e999"}, "number"),
        ({"count": "1.5"}, "this must be a whole number"),
        ({"count": "10"}, "this must be at most 9"),
        ({"team": "west"}, "this must be one of the values"),
        ({"due": "2026-02-30"}, "this day doesn't exist"),
        ({"urgent": "maybe"}, "this must be true or false"),
        ({"nobody": "x"}, "the page has no field"),
        ({"_choice": "7"}, "the page has no such choice"),
    ],
)
async def test_invalid_input_gets_the_page_again_with_the_problems_and_the_input(
    harness: Harness, values: dict[str, str], message: str
) -> None:
    async with asked(harness) as here:
        given = {**ANSWER, "note": 'still "here" & <there>', "_choice": "0", **values}
        status, page = await here.send(given)
        assert status == 422
        assert 'role="alert"' in page
        assert message in html.unescape(page)
        assert "still &quot;here&quot; &amp; &lt;there&gt;" in page or 'still "here" &amp; &lt;there&gt;' in page
        assert page.count('aria-invalid="true"') == (0 if {"nobody", "_choice"} & set(values) else 1)
        status, problem = await here.post(given)
        assert (status, problem["code"]) == (422, "request.input")
        assert message in problem["problems"][0]["detail"]
        assert problem["problems"][0]["pointer"] == f"/{next(iter(values))}"
        assert (await here.send({**ANSWER, "_choice": "1"}))[0] == 202
        assert (await here.result())["approved"] is False


@pytest.mark.console_rule("K13")
async def test_json_is_read_as_the_form_is(harness: Harness) -> None:
    async with asked(harness) as here:
        for wrong in (
            [1],
            "x",
            1,
            {"amount": 5},
            {"amount": 5, "approved": "yes"},
            {"amount": True, "approved": False},
        ):
            assert (await here.post(wrong))[0] == 422, wrong
        given = {**ANSWER, "amount": 12.5, "urgent": True, "approved": True, "for": "Ann & <Bo>"}
        assert (await here.post(given))[0] == 202
        assert (await here.post(given))[0] == 200
        assert (await here.post({**given, "count": 3}))[0] == 409
        assert await here.result() == {**TAKEN, "urgent": True, "approved": True, "for": "Ann & <Bo>"}


async def test_what_json_leaves_out_is_the_default_or_null(harness: Harness) -> None:
    async with asked(harness) as here:
        assert (await here.post({"approved": False}))[0] == 202
        nothing = {"note": None, "team": None, "due": None, "urgent": False}
        assert await here.result() == {"amount": 250, "count": 1, **nothing, "approved": False}


@pytest.mark.console_rule("K13")
async def test_browsers_get_pages_for_second_and_late_answers_too(harness: Harness) -> None:
    async with asked(harness) as here:
        assert (await here.send({**ANSWER, "_choice": "0"}))[0] == 202
        assert (await here.send({**ANSWER, "_choice": "0"}))[0] == 200
        status, page = await here.send({**ANSWER, "_choice": "1"})
        assert (status, "<h1" in page, "Another answer came first" in page) == (409, True, True)
        assert (await here.get())[0] == 409
        assert (await here.result())["approved"] is True
        second = await here.client.post(here.path, json={"approved": False})
        assert (second.status_code, second.content_type) == (409, "application/problem+json")
        unknown = await here.client.get("/resume/nothing", headers=BROWSER)
        assert (unknown.status_code, unknown.content_type) == (404, "text/html; charset=utf-8")


@pytest.mark.console_rule("K13")
async def test_after_its_time_the_page_says_that_it_is_over(harness: Harness) -> None:
    harness.flow("ask", [{"id": "approve", "use": "webhook", "with": {"page": PAGE, "timeout": "1h"}}])
    async with harness.engine() as engine:
        app = create_app(engine, HookOptions("http://127.0.0.1:8080"))
        execution_id = await harness.send(engine, "ask", {"who": "Ann", "amount": 1})
        await harness.until(engine, execution_id, State.WAITING)
        here = ApprovalPage(harness, engine, app.test_client(), execution_id)
        await harness.advance_until(engine, execution_id, seconds=600)
        for status, page in (await here.get(), await here.send({**ANSWER, "_choice": "0"})):
            assert (status, "No longer open" in page) == (410, True)


async def test_the_texts_are_those_of_the_begin_of_the_wait_across_a_restart(harness: Harness) -> None:
    async with asked(
        harness, {"title": "At {{ execution.now }}", "text": "{{ vars.where }}"}, vars={"where": "here"}
    ) as one:
        before = (await one.get())[1]
        execution_id = one.id
    harness.clock.advance(60)
    async with harness.engine() as engine:
        app = create_app(engine, HookOptions("http://127.0.0.1:8080"))
        again = ApprovalPage(harness, engine, app.test_client(), execution_id)
        assert (await again.get())[1] == before
        assert (await again.send({}))[0] == 202
        assert await again.result() == {}


async def test_redacted_values_are_masked_on_the_page_and_stored_encrypted(harness: Harness) -> None:
    page = {
        "text": "Card {{ body.card }}",
        "fields": {"card": {"type": "text", "default": "$.body.card"}},
        "choices": [{"label": "Yes", "body": {"number": "$.body.card"}}],
    }
    harness.flow(
        "ask", [{"id": "approve", "use": "webhook", "with": {"page": page}}, act("then")], redact=["$.body.card"]
    )
    async with harness.engine() as engine:
        app = create_app(engine, HookOptions("http://127.0.0.1:8080"))
        execution_id = await harness.send(engine, "ask", {"card": "4111111111111111"})
        await harness.until(engine, execution_id, State.WAITING)
        here = ApprovalPage(harness, engine, app.test_client(), execution_id)
        shown = (await here.get())[1]
        assert ("Card ***" in shown, "4111" in shown) == (True, False)
        stored = (await engine.store.wait_status(execution_id, "approve")).page
        assert stored is not None
        assert b"4111" not in stored
        assert (await here.send({"card": "", "_choice": "0"}))[0] == 202
        assert await here.result() == {"card": None, "number": "4111111111111111"}


async def test_an_operators_call_fits_the_page(harness: Harness) -> None:
    async with asked(harness) as here:
        at = f"/api/v1/executions/{here.id}/resume"
        wrong = await here.client.post(at, json={"step": "approve", "body": {"ok": 1}}, headers=AUTH)
        assert (wrong.status_code, (await wrong.get_json(force=True))["code"]) == (422, "request.input")
        right = {"step": "approve", "body": {"approved": False, "count": "4"}}
        assert (await here.client.post(at, json=right, headers=AUTH)).status_code == 202
        assert ((await here.result())["count"], (await here.result())["approved"]) == (4, False)


async def test_a_page_whose_texts_do_not_fit_fails_the_step(harness: Harness) -> None:
    harness.flow("ask", [{"id": "approve", "use": "webhook", "with": {"page": {"title": "$.body"}}}])
    async with harness.engine() as engine:
        failed = await harness.until(engine, await harness.send(engine, "ask", {"who": 1}))
        assert failed.error is not None
        assert (failed.error.code, failed.error.message) == ("wait_page_invalid", "page.title must be a text")


async def test_nothing_can_be_answered_before_the_wait_begins(harness: Harness) -> None:
    harness.flow("ask", [act("first"), {"id": "approve", "use": "webhook", "with": {"page": PAGE}}])
    reached, released = asyncio.Event(), asyncio.Event()

    async def hold(value: Any) -> Any:
        reached.set()
        await released.wait()
        return value

    harness.probe.does["first"] = hold
    async with harness.engine() as engine:
        app = create_app(engine, HookOptions("http://127.0.0.1:8080"))
        here = ApprovalPage(
            harness, engine, app.test_client(), await harness.send(engine, "ask", {"who": "Ann", "amount": 1})
        )
        await reached.wait()
        status, page = await here.get()
        assert (status, "<form" in page) == (200, False)
        assert (await here.send({**ANSWER, "_choice": "0"}))[0] == 503
        released.set()
        await harness.until(engine, here.id, State.WAITING)
        assert "<form" in (await here.get())[1]


async def test_json_may_come_early_where_nothing_that_decides_on_it_is_evaluated(harness: Harness) -> None:
    page = {"title": "For {{ trigger.body.who }}", "fields": {"count": {"type": "integer", "required": True}}}
    waits = {"id": "approve", "use": "webhook", "with": {"page": page}}
    harness.flow("ask", [act("first", "$.execution.hooks.approve.url"), waits, act("then")])
    statuses: list[int] = []
    async with harness.engine() as engine:
        client = create_app(engine, HookOptions("http://127.0.0.1:8080")).test_client()

        async def call_early(url: Any) -> Any:
            for call in ({"count": "many"}, {"count": "3"}):
                statuses.append((await client.post("/" + url.split("/", 3)[3], json=call)).status_code)
            return None

        harness.probe.does["first"] = call_early
        await harness.until(engine, await harness.send(engine, "ask", {"who": "Ann"}))
    assert statuses == [422, 202]
    assert harness.probe.calls[-1][3] == {"count": 3}
