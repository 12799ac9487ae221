"""What a flow redacts is nowhere in the open while its messages are gathered, and the leader has it all the same."""

import asyncio
from pathlib import Path

import pytest
from tests.integration.engine_harness import Harness, act

from hookline.engine import Engine
from hookline.model.execution import State

CARDS = ["4929-1234-5678-9012", "5500-0000-0000-0004"]


def in_the_open(folder: Path) -> set[str]:
    """The cards that stand in any file of the database."""
    found = b"".join(path.read_bytes() for path in folder.glob("hookline.db*"))
    return {card for card in CARDS if card.encode() in found}


async def gathered(harness: Harness, engine: Engine) -> str:
    leader, _ = [await _sent(harness, engine, card) for card in CARDS]
    return leader


async def _sent(harness: Harness, engine: Engine, card: str) -> str:
    id_ = await harness.send(engine, "f", {"card": card})
    await harness.until(engine, id_, State.WAITING, State.SUCCEEDED)
    return id_


@pytest.mark.parametrize("restart", [False, True])
async def test_each_card_of_a_batch_is_masked_wherever_it_is_stored(tmp_path: Path, restart: bool) -> None:
    harness = Harness(tmp_path)
    batch = {"id": "lines", "use": "batch", "with": {"within": "10s"}}
    pause = {"id": "pause", "use": "sleep", "with": {"for": "1h"}}
    harness.flow("f", [batch, pause, act("after", "{{ body | map(attribute='card') | list }}")], redact=["$.body.card"])
    async with harness.engine() as engine:
        leader = await gathered(harness, engine)
        assert in_the_open(tmp_path) == set()
        harness.clock.advance(10)
        async with asyncio.timeout(30):
            while (await harness.until(engine, leader, State.WAITING)).reason != "sleep":  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
        if not restart:
            harness.clock.advance(3600)
            await harness.until(engine, leader)
    if restart:
        async with harness.engine() as engine:
            harness.clock.advance(3600)
            await harness.until(engine, leader)
    # The leader knows what to hide of the others' messages, also after a restart.
    assert [value for _, _, _, value in harness.probe.calls] == [CARDS]
    assert in_the_open(tmp_path) == set()
    async with harness.engine() as engine:
        journal = await harness.journal(engine, leader)
        assert b'"hidden"' not in (journal["lines"].output or b"")
        assert b'[{"card":"***"},{"card":"***"}]' in (journal["lines"].output or b"")
        assert b'["***","***"]' in (journal["after"].input or b"")


async def test_what_a_redacting_flow_hands_to_one_that_gathers_stays_redacted(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.flow("f", [{"id": "lines", "use": "batch", "with": {"within": "10s"}}, act("after")])
    call = {"id": "call", "use": "flow", "with": {"id": "f", "wait": False}}
    harness.flow("outer", [call], redact=["$.body.card"])
    async with harness.engine() as engine:
        leader = await harness.send(engine, "f", {"card": "none"})
        await harness.until(engine, leader, State.WAITING)
        for card in CARDS:
            await harness.until(engine, await harness.send(engine, "outer", {"card": card}))
        async with asyncio.timeout(30):
            while len(await engine.store.batch_items(leader, "lines")) < 3:  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
        harness.clock.advance(10)
        await harness.until(engine, leader)
        assert harness.probe.calls[-1][3] == [{"card": "none"}, *({"card": card} for card in CARDS)]
    assert in_the_open(tmp_path) == set()
