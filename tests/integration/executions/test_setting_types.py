"""Actions that take items one by one, and attachments of the message."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field
from tests.integration.engine_harness import Harness

from hookline.api import Attachment, Connector, Context, StepError, hookimpl
from hookline.engine import Engine
from hookline.flows.check.check_flow import check_flow
from hookline.kernel.json import encode
from hookline.model.execution import Execution, Outcome
from hookline.model.message import Arrival, Envelope, Message
from hookline.service.views.components import component_views


class Row(BaseModel):
    """A row."""

    n: int


class Acme:
    """A plugin whose actions take what this is about."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.closed = 0
        self.fails = 0
        self.first = False
        self.left: asyncio.Task[None] | None = None
        self.connector = connector = Connector("acme")

        @connector.action(pure=True)
        async def rows(count: int, bad: int = -1) -> AsyncIterator[dict[str, Any]]:
            """Give rows."""
            for n in range(count):
                yield {"n": "seven" if n == bad else n}

        @connector.action
        async def load(
            ctx: Context[None], items: Annotated[AsyncIterator[Row], Field(description="Rows.")], label: str = ""
        ) -> dict[str, Any]:
            """Load rows."""
            total = count = 0
            async for row in items:
                total, count = total + row.n, count + 1
                if self.first:
                    break
            self.taken.append(items)
            if self.fails:
                self.fails -= 1
                raise StepError("away", retryable=True)
            return {"total": total, "count": count, "label": label}

        @connector.action
        async def hasty(items: AsyncIterator[int]) -> int:
            """Fail while a task of its own still reads."""

            async def read() -> None:
                async for one in items:
                    self.taken.append(one)

            self.left = asyncio.create_task(read())
            while not getattr(items, "ag_running", False):  # noqa: ASYNC110 - it waits for a file
                await asyncio.sleep(0)
            raise StepError("away", code="acme.away")

        @connector.action
        async def doubled(items: AsyncIterator[int] | None = None) -> AsyncIterator[int]:
            """Give twice as much."""
            if items is not None:
                async for one in items:
                    yield 2 * one

        @connector.action
        async def send(
            ctx: Context[None],
            file: Annotated[Attachment, Field(description="What is sent.")],
            others: list[Attachment] = [],  # noqa: B006 - pydantic copies it
            note: Attachment | None = None,
        ) -> list[str]:
            """Send files."""
            data = [chunk async for chunk in ctx.blobs.open(file.id)]
            return [b"".join(data).decode(), *(one.name for one in others), note.name if note else "none"]

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        """Acme."""
        return [self.connector]


@pytest.fixture
def acme() -> Acme:
    return Acme()


@pytest.fixture
def harness(tmp_path: Path, acme: Acme) -> Harness:
    made = Harness(tmp_path)
    made.plugins.append(acme)
    return made


def load(items: Any = "$.body", **settings: Any) -> dict[str, Any]:
    return {"id": "load", "use": "acme.load", "with": {"items": items, **settings}}


async def result(harness: Harness, engine: Engine, body: Any = None) -> tuple[Execution, Any]:
    execution_id = await harness.send(engine, "f", body)
    done = await harness.advance_until(engine, execution_id)
    return done, harness.probe.calls[-1][3] if harness.probe.calls else None


AFTER = {"id": "after", "use": "probe.act", "with": {"value": "$.body"}}


async def test_a_stream_and_a_list_are_taken_one_by_one(harness: Harness) -> None:
    rows = {"id": "rows", "use": "acme.rows", "with": {"count": 5000}}
    harness.flow("f", [rows, load(label="{{ body.count }}"), AFTER])
    harness.flow("g", [load(), AFTER])
    async with harness.engine() as engine:
        done, body = await result(harness, engine)
        assert (done.outcome, body) == (
            Outcome.COMPLETED,
            {"total": sum(range(5000)), "count": 5000, "label": "5000"},
        )
        journal = await harness.journal(engine, done.id)
        assert b'"count":5000' in (journal["load"].input or b""), "what is recorded stands for the stream"
        execution_id = await harness.send(engine, "g", [{"n": 1}, {"n": "2"}])
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert harness.probe.calls[-1][3] == {"total": 3, "count": 2, "label": ""}


async def test_each_attempt_begins_with_the_first_item(harness: Harness, acme: Acme) -> None:
    acme.fails = 1
    harness.flow("f", [{"id": "rows", "use": "acme.rows", "with": {"count": 3}}, load(), AFTER])
    async with harness.engine() as engine:
        done, body = await result(harness, engine)
        assert (done.outcome, body["count"]) == (Outcome.COMPLETED, 3)
    assert len(acme.taken) == 2


async def test_what_is_not_read_to_its_end_is_closed(harness: Harness, acme: Acme) -> None:
    acme.first = True
    harness.flow("f", [{"id": "rows", "use": "acme.rows", "with": {"count": 10_000}}, load(), AFTER])
    async with harness.engine() as engine:
        _, body = await result(harness, engine)
        assert body["count"] == 1
    assert acme.taken[0].ag_frame is None, "it is closed"


async def test_a_task_that_still_reads_items_changes_nothing_of_how_the_call_ended(harness: Harness) -> None:
    hasty = {"id": "hasty", "use": "acme.hasty", "with": {"items": "$.body"}}
    caught = {"id": "told", "use": "probe.act", "with": {"value": "$.error.code"}}
    rows = {"id": "rows", "use": "acme.rows", "with": {"count": 3}}
    harness.flow("f", [rows, {"id": "guard", "try": [hasty], "catch": [caught]}])
    async with harness.engine() as engine:
        done, told = await result(harness, engine)
        assert (done.outcome, told) == (Outcome.COMPLETED, "acme.away")


async def test_items_may_go_through_an_action_into_another_stream(harness: Harness) -> None:
    doubled = {"id": "twice", "use": "acme.doubled", "with": {"items": "$.body"}}
    harness.flow(
        "f",
        [
            doubled,
            {**doubled, "id": "again"},
            {"id": "each", "foreach": "$.body", "collect": "results", "steps": [AFTER]},
        ],
    )
    async with harness.engine() as engine:
        done, _ = await result(harness, engine, [1, 2, 3])
        assert done.outcome is Outcome.COMPLETED
    assert sorted(call[3] for call in harness.probe.calls) == [4, 8, 12]


@pytest.mark.parametrize(
    ("steps", "body", "said"),
    [
        ([load()], {"a": 1}, "items: it must be a list"),
        ([load()], None, "items: it must be a list"),
        ([load()], [{"n": 1}, {"n": "x"}], "items.1.n: it must be a whole number"),
        (
            [{"id": "rows", "use": "acme.rows", "with": {"count": 9, "bad": 4}}, load()],
            None,
            "an item of the stream is invalid: 4.n: it must be a whole number",
        ),
        (
            [{"id": "rows", "use": "acme.rows", "with": {"count": 9}}, load([], label="$.body")],
            None,
            "a stream of 9 items is no value",
        ),
        (
            [{"id": "rows", "use": "acme.rows", "with": {"count": 9}}, load(["$.body"])],
            None,
            "a stream of 9 items is no value",
        ),
    ],
)
async def test_what_does_not_fit_is_named(harness: Harness, steps: Any, body: Any, said: str) -> None:
    harness.flow("f", steps)
    async with harness.engine() as engine:
        done, _ = await result(harness, engine, body)
        assert done.error is not None
        assert said in done.error.message
        assert done.error.code in ("step.settings", "step.stream")


async def with_files(harness: Harness, engine: Engine, body: Any, *names: str) -> Execution:
    files = []
    for name in names:
        writer = await engine.blobs.create()
        await writer.write(f"the {name}".encode())
        blob = await writer.commit()
        files.append(Attachment(blob.id, name, f"{name}.txt", "text/plain", blob.size, blob.sha256))
    now = harness.clock.now()
    envelope = Envelope(
        execution_id=engine.ids.new(),
        flow_id="f",
        message=Message(body, {}, tuple(files)),
        arrival=Arrival("webhook", method="POST", received_at=now),
        accepted_at=now,
    )
    accepted = await engine.intake.accept(engine.intake.flow("f"), envelope)
    return await harness.until(engine, accepted.execution_id)


@pytest.mark.parametrize(
    ("given", "gives"),
    [
        ({"file": "order"}, ["the order", "none"]),
        ({"file": "$.attachments[0]", "note": "terms"}, ["the order", "terms"]),
        ({"file": "$.body.which", "others": ["terms", "$.attachments[0]"]}, ["the terms", "terms", "order", "none"]),
        ({"file": "terms", "others": "{{ attachments }}"}, ["the terms", "order", "terms", "none"]),
    ],
)
async def test_a_file_is_one_of_the_messages_own(harness: Harness, given: Any, gives: list[str]) -> None:
    harness.flow("f", [{"id": "send", "use": "acme.send", "with": given}, AFTER])
    async with harness.engine() as engine:
        done = await with_files(harness, engine, {"which": "terms"}, "order", "terms")
        assert done.outcome is Outcome.COMPLETED, done.error
    assert harness.probe.calls[-1][3] == gives


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"file": "invoice"}, "file: 'invoice' is not an attachment of the message; it has 'twice', 'twice'"),
        ({"file": "twice"}, "file: 'twice' is the name of several attachments of the message"),
        ({"file": "$.body.stolen"}, "file: what is given is not an attachment of the message"),
        ({"file": "$.attachments[0]", "others": ["twice", "none"]}, "others.1: 'none' is not an attachment"),
    ],
)
async def test_no_other_file_can_be_had(harness: Harness, given: Any, said: str) -> None:
    harness.flow("f", [{"id": "send", "use": "acme.send", "with": given}])
    async with harness.engine() as engine:
        stolen = {"id": "0123456789abcdef", "name": "secret", "type": "text/plain", "size": 1, "sha256": ""}
        done = await with_files(harness, engine, {"stolen": stolen}, "twice", "twice")
        assert done.error is not None
        assert done.error.code == "step.settings"
        assert said in done.error.message


async def test_a_flow_is_checked_for_them(harness: Harness) -> None:
    async with harness.engine() as engine:
        steps = [load([{"n": "x"}]), {"id": "send", "use": "acme.send", "with": {"file": 7, "others": ["a", 3]}}]
        trigger = {"use": "webhook", "with": {"verify": "none"}}
        found = check_flow(encode({"id": "f", "trigger": trigger, "steps": steps}), engine.registry).problems
        assert {problem.pointer for problem in found if problem.severity == "error"} == {
            "/steps/0/with/items/0/n",
            "/steps/1/with/file",
            "/steps/1/with/others/1",
        }
        assert "give the name of an attachment" in " ".join(map(str, found))
        views = {view.name: view for view in component_views(engine.registry)}
        assert [one.type for one in views["acme.load"].settings] == ["list or stream of object", "text"]
        assert [one.type for one in views["acme.send"].settings] == [
            "attachment",
            "list of attachment",
            "attachment or null",
        ]
