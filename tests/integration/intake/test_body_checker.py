"""Checks of bodies in processes of their own: their results are those of a check here, and they delay nothing."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.acceptance.server_process import eventually
from tests.growth.things import schemas
from tests.integration.engine.test_exact_flows import send
from tests.integration.engine_harness import Harness, act

from hookline.flows.schemas.body_schema import MAX_PROBLEMS, BodySchema, compile_schema
from hookline.intake.body_checker import BodyChecker, SeparateBodyChecker
from hookline.kernel.errors import Problem, ServiceUnavailable
from hookline.kernel.json import encode
from hookline.plugin_host.process_pool import ProcessEnded

UNSURE = {"uniqueItems": True, "items": {"type": "integer"}}
"""A schema by which each body is checked in a process."""
SLOW = {"uniqueItems": True}
_ENDS = {"too_long", "not_located", "enum", "anyOf", "oneOf", "pattern", "multipleOf", "required", "propertyNames"}
HOSTILE = [2**64 + number for number in range(9_000)]


@pytest.fixture
async def checker() -> AsyncIterator[SeparateBodyChecker]:
    made = SeparateBodyChecker()
    yield made
    await made.close()


def compiled(schema: dict[str, Any]) -> BodySchema:
    made, wrong = compile_schema(schema)
    assert made is not None, wrong
    return made


async def problems(checker: BodyChecker, schema: dict[str, Any], *bodies: Any, exact: bool = False) -> list[Any]:
    found = await checker.problems(compiled(schema), bodies, exact=exact)
    return [(place, problem.code, problem.pointer) for place, problem in found]


def process_of(checker: SeparateBodyChecker) -> int:
    (process,) = checker._processes.processes
    return process


@pytest.mark.rule(16)
async def test_all_problems_are_found_in_each_body(checker: SeparateBodyChecker) -> None:
    assert await problems(checker, UNSURE, [1, 2]) == []
    assert await problems(checker, UNSURE, [1], ["a", 1.5], [3, 3]) == [
        (1, "schema.type", "/0"),
        (1, "schema.type", "/1"),
        (2, "schema.uniqueItems", ""),
    ]
    assert len(await problems(checker, UNSURE, ["x"] * 2000)) == MAX_PROBLEMS


@pytest.mark.rule(16)
@pytest.mark.parametrize("exact", [True, False])
async def test_the_result_is_that_of_a_check_here(checker: SeparateBodyChecker, exact: bool) -> None:
    fraction = Decimal("0.3") if exact else 0.3
    bodies = (
        [fraction, 10**30, -(2**63), 2**64, True, None, "ü\u2028\U0001f600", {"a/b": []}, [[fraction]]],
        [fraction * 3, Decimal("1.10000000000000000000000000000001"), 1e300, -0.0],
    )
    for schema in (
        {"items": {"multipleOf": 0.1, "uniqueItems": True}},
        {"items": {"type": ["integer", "string"], "maximum": 10**29, "uniqueItems": True}},
        {"items": {"const": 0.9, "uniqueItems": True}},
        {"contains": {"const": 10**30}, "maxItems": 3},
        {"pattern": "^(?=x)", "items": {"pattern": "^(?!ü)"}},
    ):
        assert await problems(checker, schema, *bodies, exact=exact) == await problems(
            BodyChecker(), schema, *bodies, exact=exact
        )


@pytest.mark.rule(16)
@pytest.mark.parametrize(("name", "schema", "make"), schemas.SLOW, ids=[name for name, _, _ in schemas.SLOW])
async def test_whatever_takes_seconds_ends_and_delays_nothing(
    checker: SeparateBodyChecker, name: str, schema: dict[str, Any], make: Any
) -> None:
    body = make(300_000)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    counting = asyncio.create_task(count())
    found = await checker.problems(compiled(schema), (body,), exact=False)
    counting.cancel()
    assert turns >= 3, "the event loop stood still"
    assert {problem.code.removeprefix("schema.") for _, problem in found} <= _ENDS


@pytest.mark.rule(16)
async def test_a_check_that_takes_too_long_rejects_the_body(checker: SeparateBodyChecker) -> None:
    found = await checker.problems(compiled(SLOW), (HOSTILE,), exact=False)
    assert [(place, problem.code) for place, problem in found] == [(None, "schema.too_long")]
    assert await problems(checker, SLOW, [1, 2]) == [], "the next body has a process"


@pytest.mark.rule(16)
async def test_a_problem_has_no_place_if_finding_it_takes_too_long(checker: SeparateBodyChecker) -> None:
    # A branch of which nothing holds is tried again for each level, and so is what each of its problems quotes.
    node = {"$ref": "#/$defs/node"}
    kinds = [{"properties": {"c": node, "k": {"const": kind}}, "required": ["k"]} for kind in "abcdef"]
    schema = {**node, "$defs": {"node": {"anyOf": kinds}}}
    body: Any = 0
    for _ in range(9):
        body = {"c": body, "k": 1}
    assert await problems(checker, schema, body) == [(None, "schema.not_located", "")]


@pytest.mark.rule(16)
async def test_the_first_problem_is_located_if_listing_all_takes_too_long(checker: SeparateBodyChecker) -> None:
    schema = {"required": [f"k{number}" for number in range(1000)], "uniqueItems": True}
    assert await problems(checker, schema, {"text": "x" * 9_000_000}) == [(0, "schema.required", "")]


@pytest.mark.rule(16)
async def test_a_flow_whose_checks_take_long_leaves_a_process_to_others(checker: SeparateBodyChecker) -> None:
    slow, quick = compiled(SLOW), compiled(UNSURE)
    await checker.problems(quick, ([1],), exact=False)
    long = [asyncio.create_task(checker.problems(slow, (HOSTILE,), exact=False)) for _ in range(3)]
    await asyncio.sleep(0)
    assert await checker.problems(quick, ([1],), exact=False) == []
    assert not any(task.done() for task in long)
    for task in long:
        task.cancel()
    await asyncio.gather(*long, return_exceptions=True)


async def test_a_check_whose_turn_does_not_come_is_unavailable_or_waits(checker: SeparateBodyChecker) -> None:
    slow = compiled(SLOW)
    long = asyncio.create_task(checker.problems(slow, (HOSTILE,), exact=False))
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable, match="other bodies are being checked"):
        await checker.problems(slow, ([1],), exact=False, patience=0.01)
    assert await checker.problems(slow, ([1],), exact=False, patience=None) == []
    assert long.done()


async def test_a_check_is_repeated_if_somebody_ends_its_process(checker: SeparateBodyChecker) -> None:
    slow = compiled(SLOW)
    await checker.problems(slow, ([1],), exact=False)
    first = process_of(checker)
    long = asyncio.create_task(checker.problems(slow, (HOSTILE,), exact=False))
    await asyncio.sleep(0.1)
    os.kill(first, signal.SIGKILL)
    ((_, problem),) = await long
    assert problem.code == "schema.too_long", "the second process reached the limit"


async def test_without_a_process_a_sender_is_asked_to_come_again(
    checker: SeparateBodyChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = asyncio.create_subprocess_exec
    left = 2

    async def fails(*args: Any, **more: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise OSError(24, "Too many open files")
        return await start(*args, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fails)
    monkeypatch.setattr("hookline.intake.body_checker._AGAIN", 0.01)
    with pytest.raises(ServiceUnavailable, match="Too many open files"):
        await checker.problems(compiled(UNSURE), ([1],), exact=False)
    assert await checker.problems(compiled(UNSURE), ([1],), exact=False, patience=None) == []


async def test_a_sender_is_asked_to_come_again_if_each_process_is_ended_by_somebody(
    checker: SeparateBodyChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ended(job: bytes) -> bytes:
        raise ProcessEnded(-signal.SIGKILL)

    monkeypatch.setattr(checker._processes, "exchange", ended)
    with pytest.raises(ServiceUnavailable, match="has ended"):
        await checker.problems(compiled(UNSURE), ([1],), exact=False)


async def test_an_unexpected_error_is_reported(checker: SeparateBodyChecker) -> None:
    wrong = BodySchema(None, b'{"type": "nope"}', None)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="here it is invalid"):
            await checker.problems(wrong, ([1],), exact=False)
    process_of(checker)


async def test_closing_ends_checks_and_starts_that_are_in_progress(checker: SeparateBodyChecker) -> None:
    await checker.problems(compiled(UNSURE), ([1],), exact=False)
    long = asyncio.create_task(checker.problems(compiled(SLOW), (HOSTILE,), exact=False))
    await asyncio.sleep(0.2)
    starting = asyncio.create_task(checker.problems(compiled(UNSURE), ([1],), exact=False))
    await asyncio.sleep(0.02)
    await checker.close()
    for task in (long, starting):
        with pytest.raises(ServiceUnavailable):
            await task
    with pytest.raises(ServiceUnavailable, match="the server is stopping"):
        await checker.problems(compiled(UNSURE), ([1],), exact=False, patience=None)
    assert checker._processes.processes == ()


async def test_a_start_that_is_cancelled_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for wait in (0.0, 0.0002, 0.001, 0.01):
        one = SeparateBodyChecker()
        task = asyncio.create_task(one.problems(compiled(UNSURE), ([1],), exact=False))
        await asyncio.sleep(wait)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await one.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.rule(16)
async def test_a_hook_and_a_call_reject_a_body_that_takes_too_long(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.flow("slow", [act("a")], schema=SLOW)
    harness.flow("caller", [{"id": "call", "use": "flow", "with": {"id": "slow"}}])
    async with harness.engine() as engine:
        answer = await send(engine, encode(HOSTILE), "slow")
        assert answer.status == 422
        assert b"schema.too_long" in answer.body
        execution_id = await harness.send(engine, "caller", HOSTILE)
        failed = await harness.until(engine, execution_id)
        assert failed.error is not None
        assert failed.error.code == "flow.schema"
        assert "more than 1 s of processor time" in failed.error.message
    assert harness.probe.calls == []


async def test_closing_ends_the_processes(checker: SeparateBodyChecker) -> None:
    await checker.problems(compiled(UNSURE), ([1],), exact=False)
    process = process_of(checker)
    await checker.close()
    assert not Path(f"/proc/{process}").exists()


_DYING = """
import asyncio, os
from hookline.intake.body_checker import SeparateBodyChecker
from tests.integration.intake.test_body_checker import UNSURE, compiled

async def main():
    checker = SeparateBodyChecker()
    await checker.problems(compiled(UNSURE), ([1],), exact=False)
    print(*checker._processes.processes, flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_a_process_ends_with_its_server_and_leaves_no_files(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    dying = subprocess.run(
        [sys.executable, "-c", _DYING], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    assert dying.returncode == -signal.SIGKILL
    process = int(dying.stdout)
    eventually("the process has ended", lambda: not psutil.pid_exists(process), 10)
    assert list(tmp_path.iterdir()) == []


async def test_too_little_memory_is_a_limit_too(checker: SeparateBodyChecker) -> None:
    # Each problem quotes the whole text.
    kinds = [{"required": [f"k{number}" for number in range(10)]}] * 200
    found: list[tuple[int | None, Problem]] = await checker.problems(
        compiled({"anyOf": kinds, "uniqueItems": True}), ({"text": "x" * 9_000_000},), exact=False
    )
    assert [problem.code for _, problem in found] in (["schema.anyOf"], ["schema.not_located"])
