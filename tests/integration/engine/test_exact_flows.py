"""Flows whose numbers are exact: what came in goes out digit for digit, through store, steps, stops and answers."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from tests.integration.engine_harness import Harness

from hookline.api import StepError
from hookline.engine import Engine
from hookline.kernel.json import decode, encode, within_bounds
from hookline.model.callbacks_and_pages import Call, pack_callback
from hookline.model.execution import State
from hookline.service.app import create_endpoints
from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.storage.change_declarations import StoreCallback

EXACT = {"use": "webhook", "with": {"verify": "none", "numbers": "exact"}}
MAP = {"id": "shape", "use": "map", "with": {"body": {"copy": "$.body", "text": "{{ body | tojson }}"}}}
T = TypeVar("T")

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


class Sink:
    """A server that notes the bodies that come, and answers each with itself."""

    def __init__(self, server: TestServer, bodies: list[bytes]) -> None:
        self.server = server
        self.bodies = bodies

    @property
    def step(self) -> dict[str, Any]:
        """A step that sends the body here."""
        return {
            "id": "post",
            "use": "http.request",
            "with": {"url": str(self.server.make_url("/")), "method": "POST", "json": "$.body"},
        }


def serving() -> Sink:
    bodies: list[bytes] = []

    async def note(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(body=bodies[-1], content_type="application/json")

    application = web.Application()
    application.router.add_route("*", "/", note)
    return Sink(TestServer(application), bodies)


@asynccontextmanager
async def listening() -> AsyncIterator[Sink]:
    sink = serving()
    async with sink.server:
        yield sink


async def send(engine: Engine, body: bytes, flow_id: str = "f") -> HookResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield body

    hook = create_endpoints(engine, HookOptions("http://127.0.0.1")).hook
    headers = [(b"content-type", b"application/json")]
    return await hook.handle(HookRequest("POST", flow_id, b"/hook/" + flow_id.encode(), b"", headers, chunks()))


def execution_of(reply: HookResponse) -> str:
    assert reply.status < 300, reply.body
    return dict(reply.headers)[b"hookline-execution-id"].decode()


def engine(harness: Harness) -> Engine:
    return harness.engine(egress_allow=("127.0.0.0/8",))


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


decimals = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False).filter(within_bounds),
    st.decimals(min_value=-(10**6), max_value=10**6, places=2),
    st.decimals(min_value=-1, max_value=1, places=60),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | decimals | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


class Beside:
    """A server and engines on a thread of their own, so that each example of a property finds them running."""

    def __init__(self, folder: Path) -> None:
        self.harness = Harness(folder)
        self.sink: Sink
        self.engine: Engine
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._stop: asyncio.Event
        self._ended: Future[None]

    def __enter__(self) -> "Beside":
        self._thread.start()
        self.sink = self.run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.sink.server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    @contextmanager
    def started(self) -> Iterator[None]:
        ready: Future[None] = Future()
        ended = asyncio.run_coroutine_threadsafe(self._run(ready), self._loop)
        ready.result(30)
        yield
        self._loop.call_soon_threadsafe(self._stop.set)
        ended.result(30)

    async def _run(self, ready: "Future[None]") -> None:
        self._stop = asyncio.Event()
        async with engine(self.harness) as self.engine:
            ready.set_result(None)
            await self._stop.wait()

    async def _listen(self) -> Sink:
        sink = serving()
        await sink.server.start_server()
        return sink

    async def accepted(self, flow_id: str, texts: list[bytes]) -> list[str]:
        return [execution_of(await send(self.engine, text, flow_id)) for text in texts]

    async def reached(self, executions: list[str], state: State) -> None:
        for execution_id in executions:
            assert (await self.harness.until(self.engine, execution_id, state)).state is state


@pytest.mark.rule(7)
def test_any_json_goes_out_with_the_very_digits_that_came_stopped_in_between_or_not(tmp_path: Path) -> None:
    with Beside(tmp_path) as beside:
        act = {"id": "act", "use": "probe.act", "with": {"value": "$.body"}}
        wait = {"id": "wait", "use": "probe.act", "with": {"value": "$.body.copy"}, "retry": {"wait": "1m"}}
        beside.harness.flow("through", [act, MAP, beside.sink.step], trigger=EXACT)
        beside.harness.flow("stopped", [act, MAP, wait, beside.sink.step], trigger=EXACT)
        beside.harness.probe.does["wait"] = _away(1_000_000)
        waiting: dict[str, bytes] = {}

        @settings(max_examples=8, database=None)
        @given(st.lists(json_values, min_size=1, max_size=4))
        def goes_through(values: list[Any]) -> None:
            sent = [encode(value) for value in values]
            beside.sink.bodies.clear()
            beside.run(beside.reached(beside.run(beside.accepted("through", sent)), State.SUCCEEDED))
            found = [decode(body, exact=True)["copy"] for body in beside.sink.bodies]
            assert sorted(map(encode, found)) == sorted(sent)
            assert all(encode(decode(body, exact=True)) == body for body in beside.sink.bodies)
            executions = beside.run(beside.accepted("stopped", sent))
            waiting.update(zip(executions, sent, strict=True))

        with beside.started():
            goes_through()
            beside.run(beside.reached(list(waiting), State.WAITING))
        beside.sink.bodies.clear()
        beside.harness.probe.does.clear()
        called = beside.harness.probe.steps().count("act")
        beside.harness.clock.advance(61)
        with beside.started():
            # What came before is read from the store and the journal now.
            beside.run(beside.reached(list(waiting), State.SUCCEEDED))
        assert beside.harness.probe.steps().count("act") == called
        assert sorted(beside.sink.bodies) == sorted(waiting.values())


def _away(times: int) -> Callable[[Any], Any]:
    left = times

    async def run(value: Any) -> Any:
        nonlocal left
        if left > 0:
            left -= 1
            raise StepError("away", retryable=True)
        return value

    return run


CONFIGURED = {
    "trigger": {
        "use": "webhook",
        "with": {"verify": "none", "numbers": "exact", "dedupe_key": "$.body.amount", "respond": "finished"},
    },
    "vars": {"rate": 0.1, "long": "LONG"},
}


async def test_calculations_constants_and_vars_are_exact_and_a_duplicate_gets_the_same_digits(harness: Harness) -> None:
    body = {
        "tax": "{{ body.amount * 1.19 }}",
        "third": "{{ body.count / 3 }}",
        "part": "{{ body.amount * vars.rate }}",
        "var": "$.vars.long",
        "constant": 0.5,
        "more": "$.body.amount + 0.10",
        "due": {"jinja": "{{ body.amount > 1.1 }}"},
    }
    harness.flow("f", [{"id": "m", "use": "map", "with": {"body": body}}], **CONFIGURED)
    file = harness.folder / "flows" / "f.json"
    file.write_text(file.read_text().replace('"LONG"', "0.12345678901234567890"))
    expected = (
        b'{"tax":1.3090,"third":3.333333333333333333333333333333333,"part":0.110,"var":0.12345678901234567890,'
        b'"constant":0.5,"more":1.20,"due":false}'
    )
    async with engine(harness) as running:
        first = await send(running, b'{"amount":1.10,"count":10}')
        again = await send(running, b'{"amount":1.1,"count":10}')
    assert first.body == again.body == expected
    assert execution_of(first) == execution_of(again), "1.10 and 1.1 are one key"


async def test_an_order_key_is_the_same_for_equal_numbers(harness: Harness) -> None:
    act = {"id": "act", "use": "probe.act", "with": {"value": "$.body.n"}}
    harness.flow("f", [act], trigger=EXACT, order_by="$.body.key")
    go = asyncio.Event()

    async def wait(value: Any) -> Any:
        await go.wait()
        return value

    harness.probe.does["act"] = wait
    async with engine(harness) as running:
        texts = (b'{"key":1.50,"n":1}', b'{"key":1.5,"n":2}', b'{"key":1.500001,"n":3}')
        executions = [execution_of(await send(running, text)) for text in texts]
        await harness.until_calls(2)
        assert sorted(call[3] for call in harness.probe.calls) == [1, 3], "the second is behind the first"
        go.set()
        for execution_id in executions:
            await harness.until(running, execution_id)


async def test_what_a_step_gets_and_gives_is_shown_with_its_digits_and_fails_with_them(harness: Harness) -> None:
    async def give(value: Any) -> Any:
        return {"given": value, "float": 0.25, "whole": Decimal("5.00"), "plain": Decimal(5)}

    harness.probe.does["act"] = give
    act = {"id": "act", "use": "probe.act", "with": {"value": "$.body"}}
    harness.flow("f", [act, {"use": "fail", "with": {"message": "{{ body.given[0] }} is wrong"}}], trigger=EXACT)
    async with engine(harness) as running:
        execution = await harness.until(running, execution_of(await send(running, b"[1.10,1e2]")))
        record = (await harness.journal(running, execution.id))["act"]
    assert record.input == b'{"value":[1.10,1E+2]}'
    assert record.output == b'{"body":{"given":[1.10,1E+2],"float":0.25,"whole":5.00,"plain":5}}'
    assert execution.error is not None
    assert execution.error.message == "1.10 is wrong"


async def test_a_response_is_read_exactly_whatever_reads_it(harness: Harness) -> None:
    async with listening() as sink:
        harness.flow("f", [sink.step, {**sink.step, "id": "again"}], trigger=EXACT)
        text = b'{"a":1.10,"b":0.1234567890123456789012345678901234567890}'
        async with engine(harness) as running:
            await harness.until(running, execution_of(await send(running, text)))
    assert sink.bodies == [text, text]


@pytest.mark.parametrize("before", ["binary", "exact"])
async def test_a_message_that_waited_for_another_version_runs_with_the_numbers_of_that(
    harness: Harness, before: str
) -> None:
    def flow(numbers: str) -> None:
        step = {"id": "act", "use": "probe.act", "with": {"value": "$.body"}}
        trigger = {"use": "webhook", "with": {"verify": "none", "numbers": numbers}}
        harness.flow("f", [step], trigger=trigger, concurrency=1)

    hold = asyncio.Event()

    async def wait(value: Any) -> Any:
        await hold.wait()
        return value

    harness.probe.does["act"] = wait
    flow(before)
    text = b"[1.10, 1.1000000000000000000001]"
    async with engine(harness) as running:
        await send(running, text)
        queued = execution_of(await send(running, text))
        await harness.until_calls(1)
    flow("exact" if before == "binary" else "binary")
    hold.set()
    async with engine(harness) as running:
        await harness.until(running, queued)
    expected = {"binary": [1.1, 1.1], "exact": [Decimal("1.10"), Decimal("1.1000000000000000000001")]}
    after = "exact" if before == "binary" else "binary"
    assert repr(harness.probe.calls[0][3]) == repr(expected[before])
    assert repr(harness.probe.calls[-1][3]) == repr(expected[after])


async def test_in_any_other_flow_a_result_that_no_fraction_says_is_the_same_after_a_stop(harness: Harness) -> None:
    long = Decimal("0.1234567890123456789012345")

    async def give(value: Any) -> Any:
        return [long, Decimal("2.50"), 0.1, Decimal("3.00")]

    harness.probe.does["one"] = give
    harness.probe.does["two"] = _away(1)
    two = {"id": "two", "use": "probe.act", "with": {"value": "{{ [body[0] * 2, body] }}"}, "retry": {"wait": "1m"}}
    harness.flow("f", [{"id": "one", "use": "probe.act"}, two])
    async with engine(harness) as running:
        execution_id = await harness.send(running, "f", None)
        await harness.until(running, execution_id, State.WAITING)
    harness.clock.advance(61)
    async with engine(harness) as running:
        await harness.until(running, execution_id)
    before, after = (call[3] for call in harness.probe.calls if call[0] == "two")
    assert repr(before) == repr(after) == repr([long * 2, [long, 2.5, 0.1, 3]])


def _numbers(text: bytes) -> Iterator[bytes]:
    return (match[0] for match in NUMBER.finditer(text))


async def test_numbers_written_in_other_ways_keep_digits_and_exponent(harness: Harness) -> None:
    async with listening() as sink:
        harness.flow("f", [sink.step], trigger=EXACT)
        text = b"[1e5, 1E400, 0.0000001, -0.0, 1.50e-10, 100.00]"
        async with engine(harness) as running:
            await harness.until(running, execution_of(await send(running, text)))
    assert [Decimal(number.decode()).as_tuple() for number in _numbers(sink.bodies[0])] == [
        Decimal(number.decode()).as_tuple() for number in _numbers(text)
    ]
    assert decode(sink.bodies[0], exact=True) == decode(text, exact=True)


async def test_what_comes_in_the_middle_of_a_flow_and_beside_it_is_exact_too(harness: Harness) -> None:
    def act(step_id: str, value: Any, **settings: Any) -> dict[str, Any]:
        return {"id": step_id, "use": "probe.act", "with": {"value": value}, **settings}

    both = {"one": [act("a", "{{ body.net * 2 }}")], "two": [act("b", "$.trigger.body")]}
    steps = [
        act("ask", "$.execution.hooks.approve.url"),
        {"id": "approve", "use": "webhook"},
        {"id": "both", "parallel": both},
        act("last", ["$.body", "$.steps.approve.body"], retry={"wait": "1m"}),
    ]
    harness.flow("f", steps, trigger=EXACT)
    harness.probe.does["last"] = _away(1)
    async with engine(harness) as running:
        execution_id = execution_of(await send(running, b"1.10"))
        await harness.until(running, execution_id, State.WAITING)
        url = harness.probe.calls[0][3]
    async with engine(harness) as running:
        named = running.resume_tokens.read(url.rpartition("/")[2])
        assert named is not None
        payload = pack_callback(Call(body=Raw(b'{"net":2.50}')))
        now = harness.clock.now()
        await running.callbacks.deliver(
            StoreCallback(running.ids.new(), *named, "f", "approve", None, payload, now, None, payload)
        )
        await harness.until_calls(4)
        await harness.until(running, execution_id, State.WAITING)
    harness.clock.advance(61)
    async with engine(harness) as running:
        assert (await harness.until(running, execution_id)).state is State.SUCCEEDED
    before, after = (call[3] for call in harness.probe.calls if call[0] == "last")
    expected = [{"one": Decimal("5.00"), "two": Decimal("1.10")}, {"net": Decimal("2.50")}]
    assert repr(before) == repr(after) == repr(expected)
