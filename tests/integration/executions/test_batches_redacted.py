"""What a flow redacts is nowhere in the open while its messages are gathered, and the leader has it all the same."""

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.integration.engine_harness import Harness, act

from hookline.engine import Engine
from hookline.maintenance.key_rotation import rotate_keys
from hookline.model.access import SYSTEM
from hookline.model.callbacks_and_pages import Call, pack_callback, raw_json
from hookline.model.execution import State
from hookline.secrets.encryption import Vault, generate_key, read_keys
from hookline.secrets.redaction import Redaction, reencrypt_batch_item, reencrypt_callback
from hookline.storage.change_declarations import StoreCallback

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


async def test_a_batch_and_callbacks_that_came_need_no_key_from_before_a_rotation(tmp_path: Path) -> None:
    harness, old, new = Harness(tmp_path), generate_key(), generate_key()
    batch = {"id": "lines", "use": "batch", "with": {"within": "24h"}}
    harness.flow("f", [batch, act("after", "{{ body | map(attribute='card') | list }}")], redact=["$.body.card"])
    call = Call(body=raw_json("secret"))
    async with harness.engine(secret_keys=read_keys(old)) as engine:
        leader = await gathered(harness, engine)
        now, packed = engine.clock.now(), Redaction(engine.vault).encrypt_callback(pack_callback(call))
        early = StoreCallback(engine.ids.new(), None, None, "f", "paid", "k", b"", now, now + timedelta(1), packed)
        await engine.store.commit([early])
    async with harness.engine(secret_keys=read_keys(f"{new},{old}")) as engine:
        await engine.keys.refresh()
        rotate = partial(rotate_keys, engine.credentials, engine.store, engine.vault, engine.clock, engine.ids.new)
        await rotate(by=SYSTEM)
        recorded = [entry.detail for entry in (await engine.store.audit()).items]
        assert {"2 batch items", "1 callback"} <= set(recorded)
        await rotate(by=SYSTEM)
        assert len((await engine.store.audit()).items) == len(recorded), "nothing is left to encrypt"
    async with harness.engine(secret_keys=read_keys(new)) as engine:
        ((_, packed),) = await engine.store.callbacks_to_come("", 10)
        assert Redaction(engine.vault).decrypt_callback(packed) == call
        await harness.until(engine, leader, State.WAITING)
        harness.clock.advance(86_400)
        await harness.until(engine, leader, State.SUCCEEDED)
    assert [value for _, _, _, value in harness.probe.calls] == [CARDS]


def test_a_rotation_leaves_values_alone_whose_key_was_removed_before() -> None:
    old, new = Vault(read_keys(generate_key())), Vault(read_keys(generate_key()))
    redaction, call = Redaction(old), Call(body=raw_json("secret"))
    item = redaction.encrypt_batch_item(b"1", redaction.new_redactor(None))
    assert reencrypt_batch_item(item, old) is None, "it has the first key"
    assert reencrypt_batch_item(item, new) is None
    assert reencrypt_batch_item(b"1", new) is None
    packed = redaction.encrypt_callback(pack_callback(call))
    assert reencrypt_callback(packed, new) is None
    assert reencrypt_callback(pack_callback(call), new) is None
