"""What is special to JetStream: its URL, its settings, full streams, lost servers, and a cluster of three."""

import asyncio
import contextlib
import shutil
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import nats
import nats.js.errors
import pytest
from nats.js.client import JetStreamContext
from tests.integration.plugins.nats.conftest import REGISTRY, MakeQueue
from tests.own_nats import OwnNats, nats_cluster, url_of

from hookline.kernel.errors import StoreAway, StoreError
from hookline.model.message import Envelope
from hookline.server_settings import load
from hookline.storage.blobs import Blobs
from hookline.storage.change_declarations import Accepted
from hookline.storage.intake_queue import IntakeQueue
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.intake_queue import Inserted, IntakeQueueContract, handing_over, is_empty
from hookline.testing.envelopes import Envelopes
from hookline.testing.eventually import assert_eventually
from hookline_nats import address
from hookline_nats import queue as queue_module
from hookline_nats.unordered_handover import UnorderedHandover
from hookline_nats.unreadable_messages import UnreadableMessages


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nats://", "a server is missing"),
        ("nats://a:1,b:x", "'b:x' is not a server"),
        ("nats://a,[::1", r"'\[::1' is not a server"),
        ("nats://a/path", "no path"),
        ("nats://a//path", "no path"),
        ("nats:a", "no path"),
        ("nats://a?replica=1", "there is no setting 'replica'"),
        ("nats://a?replicas=2", "'2' replicas are not possible"),
        ("nats://a?stream=a.b", "'a.b' can't be a stream's name"),
        ("nats://a?max_bytes=8G", "max_bytes='8G' is not a size"),
        ("nats://a?stream=a&stream=b", "given twice"),
    ],
)
def test_a_url_that_cant_be_used_is_rejected_with_the_reason_and_without_its_password(url: str, text: str) -> None:
    with pytest.raises(StoreError, match=text) as rejected:
        address.parse(url.replace("nats://", "nats://user:s3cret@", 1))
    assert "s3cret" not in str(rejected.value)


def test_a_url_names_servers_a_login_and_settings() -> None:
    found = address.parse("nats://us%40er:p%3Aw@a,b:4333,[::1]:5?stream=x&replicas=1&max_bytes=2GB&credentials=/c")
    assert found == address.Address(
        ("nats://a:4222", "nats://b:4333", "nats://[::1]:5"),
        user="us@er",
        password="p:w",
        credentials="/c",
        stream="x",
        replicas=1,
        max_bytes=2 * 10**9,
    )
    assert address.parse("nats://t0ken@a").token == "t0ken"
    assert (address.parse("nats://a").replicas, address.parse("nats://a").stream) == (3, "hookline")


def test_any_of_the_servers_may_have_an_ipv6_address(clock: ManualClock, blobs: Blobs) -> None:
    settings = load({"queue": "nats://a,[::1]:5"})
    assert REGISTRY.intake_queue(str(settings.queue), clock, blobs)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"retention": "limits"}, "retention is limits, not workqueue"),
        ({"storage": "memory"}, "storage is memory, not file"),
        ({"discard": "old"}, "discard is old, not new"),
        ({"max_age": 3600}, "max_age is 3600"),
        ({"max_msgs_per_subject": 5}, "max_msgs_per_subject is 5, not -1"),
        ({"duplicate_window": 30}, "duplicate_window is 30s, not 600s"),
        ({"deny_purge": True}, "deny_purge is True, not False"),
    ],
)
@pytest.mark.cluster_rule("C19")
async def test_a_stream_that_could_lose_messages_is_rejected(
    server: OwnNats, make_queue: MakeQueue, settings: dict[str, Any], text: str
) -> None:
    name = f"s{uuid.uuid4().hex}"
    right = {"retention": "workqueue", "discard": "new", "duplicate_window": 600, "num_replicas": 1}
    client = await nats.connect(server.url)
    try:
        await client.jetstream().add_stream(name=name, subjects=[f"hookline.{name}.>"], **{**right, **settings})
    finally:
        await client.close()
    with pytest.raises(StoreError, match=text) as rejected:
        await make_queue(url_of([server], f"?replicas=1&stream={name}"))
    assert f"nats stream edit {name}" in str(rejected.value)


async def test_servers_that_cant_be_reached_may_come_later(make_queue: MakeQueue, tmp_path: Path) -> None:
    own = OwnNats(tmp_path)
    url = url_of([own], f"?replicas=1&max_bytes=20MB&stream=s{uuid.uuid4().hex}")
    with pytest.raises(StoreAway, match="can't be opened"):
        await make_queue(url)
    with own:
        with own.frozen(), pytest.raises(StoreAway, match="can't be opened"):
            await make_queue(url)
        await make_queue(url)


@pytest.mark.cluster_rule("C19")
async def test_a_stream_with_fewer_replicas_is_rejected(server: OwnNats, make_queue: MakeQueue, url: str) -> None:
    await make_queue()
    with pytest.raises(StoreError, match="num_replicas is 1, not 3"):
        await make_queue(url.replace("replicas=1", "replicas=3"))


async def test_without_a_cluster_the_error_names_what_is_missing(make_queue: MakeQueue, url: str) -> None:
    with pytest.raises(StoreError, match=r"can't be created with 3 replicas .*\?replicas=1"):
        await make_queue(url.replace("replicas=1", "replicas=3"))


async def test_a_full_stream_takes_messages_again_when_it_has_room(
    make_queue: MakeQueue, url: str, clock: ManualClock
) -> None:
    queue, envelopes = await make_queue(url.replace("20MB", "1MB")), Envelopes(clock)
    made = [envelopes.make(body="x" * 100_000) for _ in range(20)]
    results = await asyncio.gather(*map(queue.publish, made), return_exceptions=True)
    taken = sum(isinstance(result, Accepted) for result in results)
    assert 5 < taken < 11
    assert all("is full" in str(result) for result in results if not isinstance(result, Accepted))
    async with handing_over(queue) as inserted:
        await inserted.have(taken)
        await is_empty(queue)
    await queue.publish(envelopes.make(body="x" * 100_000))


@pytest.mark.rule(38)
async def test_a_message_without_an_acknowledgement_is_in_doubt_if_it_was_sent(
    tmp_path: Path, make_queue: MakeQueue, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "_LIMIT", 1.0)
    envelopes = Envelopes(clock)
    with OwnNats(tmp_path) as own:
        queue = await make_queue(url_of([own], "?replicas=1&max_bytes=20MB"))
        with own.frozen(), pytest.raises(StoreError, match="hasn't acknowledged") as raised:
            await queue.publish(envelopes.make())
        assert raised.value.in_doubt
        await queue.publish(envelopes.make())
        own.kill()
        await asyncio.sleep(0.2)  # the client hears of it
        with pytest.raises(StoreError, match="there is no connection") as raised:
            await queue.publish(envelopes.make())
        assert not raised.value.in_doubt


async def kept_blobs(blobs: Blobs, clock: ManualClock) -> list[str]:
    return [blob_id async for blob_id in blobs.older_than(clock.now() + timedelta(days=1))]


@pytest.mark.cluster_rule("C19")
@pytest.mark.parametrize("order_key", [None, "o"])
async def test_a_message_that_another_process_has_stored_meanwhile_isnt_kept_as_unreadable(
    queue: Any,
    another: MakeQueue,
    clock: ManualClock,
    blobs: Blobs,
    monkeypatch: pytest.MonkeyPatch,
    order_key: str | None,
) -> None:
    # A process that was suspended doesn't hold what it has taken, like one whose client has a message that it hasn't
    # asked for, and reads it later than others.
    taken, goes_on = asyncio.Event(), asyncio.Event()
    read = queue._large_envelopes.read

    async def read_late(data: bytes, headers: Any) -> Any:
        taken.set()
        await goes_on.wait()
        return await read(data, headers)

    monkeypatch.setattr(UnorderedHandover, "_hold", lambda *_: asyncio.Event().wait())
    monkeypatch.setattr(queue._large_envelopes, "read", read_late)
    envelopes = Envelopes(clock)
    large, later = (envelopes.make(body="x" * size, order_key=order_key) for size in (300 * 1024, 1))
    await queue.publish(large)
    async with handing_over(queue) as late:
        async with asyncio.timeout(20):
            await taken.wait()
        other = await another()
        async with handing_over(other) as inserted:
            await inserted.have(1)
            await is_empty(other)
            async with asyncio.timeout(20):
                while await kept_blobs(blobs, clock):  # noqa: ASYNC110 - nothing tells when it is gone
                    await asyncio.sleep(0.02)
        goes_on.set()
        await queue.publish(later)
        await late.have(1)
        await is_empty(queue)
    assert (inserted.ids, late.ids) == ([large.execution_id], [later.execution_id])


@pytest.mark.cluster_rule("C19")
@pytest.mark.parametrize("order_key", [None, "o"])
async def test_a_message_whose_payload_is_lost_holds_up_no_other_in_a_full_stream(
    server: OwnNats, make_queue: MakeQueue, url: str, clock: ManualClock, blobs: Blobs, order_key: str | None
) -> None:
    queue, stream = await make_queue(url.replace("20MB", "1MB")), address.parse(url).stream
    envelopes = Envelopes(clock)
    lost, *others = (envelopes.make(body="x" * size, order_key=order_key) for size in (300 * 1024, 10_000, 10_000))
    for envelope in (others[0], lost, others[1]):
        await queue.publish(envelope)
    for blob_id in await kept_blobs(blobs, clock):
        await blobs.delete(blob_id)
    client = await nats.connect(server.url)
    jetstream = client.jetstream()
    for size in (100_000, 1000, 1):
        with contextlib.suppress(nats.js.errors.APIError):
            while True:
                await jetstream.publish(f"hookline.{stream}.filler", b"x" * size)

    async def left(kind: str) -> list[str]:
        subjects = (await jetstream.stream_info(stream, subjects_filter=f"hookline.{stream}.{kind}.>")).state.subjects
        return list(subjects or ())

    async with handing_over(queue) as inserted:
        await inserted.have(2)
        async with asyncio.timeout(20):
            while await left("any") or await left("ordered"):  # noqa: ASYNC110 - nothing tells when it is moved
                await asyncio.sleep(0.1)
    assert set(inserted.ids) == {envelope.execution_id for envelope in others}
    assert await left("unreadable") == [f"hookline.{stream}.unreadable.orders"]
    await client.close()


@pytest.mark.cluster_rule("C19")
@pytest.mark.parametrize("order_key", [None, "o"])
async def test_an_unreadable_message_that_cant_be_kept_apart_now_holds_up_no_other_and_is_tried_again(
    queue: IntakeQueue,
    clock: ManualClock,
    blobs: Blobs,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    order_key: str | None,
) -> None:
    keep, works = UnreadableMessages.keep, asyncio.Event()

    async def try_to_keep(*given: Any) -> None:
        if not works.is_set():
            raise nats.js.errors.APIError(code=503, description="maximum bytes exceeded")
        await keep(*given)

    monkeypatch.setattr(UnreadableMessages, "keep", try_to_keep)
    envelopes = Envelopes(clock)
    await queue.publish(envelopes.make(body="x" * 300 * 1024, order_key=order_key))
    for blob_id in await kept_blobs(blobs, clock):
        await blobs.delete(blob_id)
    others = [envelopes.make(order_key=order_key) for _ in range(2)]
    async with handing_over(queue) as inserted:
        for number, other in enumerate(others, 1):
            await queue.publish(other)
            await inserted.have(number)
    works.set()
    async with handing_over(queue, inserted):
        await assert_eventually(lambda: "It is kept in the stream under" in caplog.text, 20)
    assert list(dict.fromkeys(inserted.ids)) == [other.execution_id for other in others]
    assert "can't be kept apart now: maximum bytes exceeded" in caplog.text


async def test_a_server_that_is_killed_and_started_again_has_all_that_it_acknowledged(
    tmp_path: Path, make_queue: MakeQueue, clock: ManualClock
) -> None:
    envelopes = Envelopes(clock)
    made = [envelopes.make(order_key="o" if number % 2 else None) for number in range(60)]
    with OwnNats(tmp_path) as own:
        queue = await make_queue(url_of([own], "?replicas=1&max_bytes=50MB"))
        for envelope in made[:30]:
            await queue.publish(envelope)
        own.kill()
        publishing = asyncio.ensure_future(queue.publish(made[30]))
        own.start()
        assert await publishing == Accepted(made[30].execution_id)
        async with handing_over(queue) as inserted:
            for envelope in made[31:]:
                await queue.publish(envelope)
            own.kill()
            own.start()
            await inserted.have(60)
            await is_empty(queue)
    assert sorted(set(inserted.ids)) == [envelope.execution_id for envelope in made]
    ordered = list(dict.fromkeys(one.execution_id for one in inserted.envelopes if one.order_key))
    assert ordered == [one.execution_id for one in made if one.order_key]


async def test_a_removed_stream_of_the_same_name_doesnt_hide_new_messages(
    server: OwnNats, make_queue: MakeQueue, url: str, clock: ManualClock
) -> None:
    envelopes, stored = Envelopes(clock), Inserted()
    queue = await make_queue()
    for _ in range(10):
        await queue.publish(envelopes.make(order_key="o"))
    async with handing_over(queue, stored):
        await stored.have(10)
    client = await nats.connect(server.url)
    await client.jetstream().delete_stream(address.parse(url).stream)
    await client.close()
    again, later = await make_queue(), envelopes.make(order_key="o")
    await again.publish(later)
    async with handing_over(again, stored):
        await stored.have(11)
    assert stored.ids[-1] == later.execution_id


async def make_stream_again(
    server: OwnNats, another: MakeQueue, url: str, clock: ManualClock, by: str = "node"
) -> IntakeQueue:
    """Remove the stream. A node that starts then makes it again, or an operator, whose places begin with 1."""
    name = address.parse(url).stream
    client = await nats.connect(server.url)
    config = (await client.jetstream().stream_info(name)).config
    await client.jetstream().delete_stream(name)
    if by == "operator":
        await client.jetstream().add_stream(config.evolve(first_seq=None))
    await client.close()
    clock.advance(1)
    return await another()


@pytest.mark.cluster_rule("C19")
@pytest.mark.parametrize("by", ["node", "operator"])
@pytest.mark.parametrize("order_key", [None, "o"])
async def test_a_stream_that_is_made_again_while_messages_are_taken_loses_none(
    server: OwnNats,
    queue: IntakeQueue,
    another: MakeQueue,
    url: str,
    clock: ManualClock,
    by: str,
    order_key: str | None,
) -> None:
    envelopes = Envelopes(clock)
    made = [envelopes.make(order_key=order_key) for _ in range(30)]
    for envelope in made[:10]:
        await queue.publish(envelope)
    async with handing_over(queue) as stored:
        await stored.have(10)
        await is_empty(queue)
        other = await make_stream_again(server, another, url, clock, by)
        for envelope in made[10:]:
            await other.publish(envelope)
        await stored.have(30)
        await is_empty(other)
    assert stored.ids == [envelope.execution_id for envelope in made]


@pytest.mark.cluster_rule("C19")
@pytest.mark.parametrize("by", ["node", "operator"])
@pytest.mark.parametrize("order_key", [None, "o"])
async def test_a_stream_that_is_made_again_while_its_messages_are_inserted_loses_none(
    server: OwnNats,
    queue: IntakeQueue,
    another: MakeQueue,
    url: str,
    clock: ManualClock,
    by: str,
    order_key: str | None,
) -> None:
    envelopes, stored = Envelopes(clock), Inserted()
    comes, goes_on = asyncio.Event(), asyncio.Event()

    async def insert_late(group: Sequence[Envelope], position: bytes | None = None) -> None:
        comes.set()
        await goes_on.wait()
        await stored.insert(group, position)

    made = [envelopes.make(order_key=order_key) for _ in range(15)]
    for envelope in made[:10]:
        await queue.publish(envelope)
    run = queue.run(insert_late) if order_key is None else queue.run_in_order(None, insert_late)
    inserting = asyncio.ensure_future(run)
    async with asyncio.timeout(20):
        await comes.wait()
    other = await make_stream_again(server, another, url, clock, by)
    for envelope in made[10:]:
        await other.publish(envelope)
    goes_on.set()
    await stored.have(15)
    await is_empty(other)
    inserting.cancel()
    await asyncio.wait((inserting,))
    assert stored.ids == [envelope.execution_id for envelope in made]


@pytest.mark.cluster_rule("C19")
async def test_a_removal_that_comes_after_the_stream_was_made_again_removes_no_new_message(
    server: OwnNats,
    queue: IntakeQueue,
    another: MakeQueue,
    url: str,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    envelopes, purge = Envelopes(clock), JetStreamContext.purge_stream
    made = [envelopes.make(order_key="o") for _ in range(15)]

    async def purge_late(*args: Any, **given: Any) -> bool:
        monkeypatch.setattr(JetStreamContext, "purge_stream", purge)
        other = await make_stream_again(server, another, url, clock)
        for envelope in made[10:]:
            await other.publish(envelope)
        return await purge(*args, **given)

    monkeypatch.setattr(JetStreamContext, "purge_stream", purge_late)
    for envelope in made[:10]:
        await queue.publish(envelope)
    async with handing_over(queue) as stored:
        await stored.have(15)
    assert stored.ids == [envelope.execution_id for envelope in made]


@pytest.mark.cluster_rule("C19")
async def test_a_stream_that_is_made_again_while_a_group_is_taken_loses_none(
    server: OwnNats,
    queue: IntakeQueue,
    another: MakeQueue,
    url: str,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    envelopes, read = Envelopes(clock), JetStreamContext.get_msg
    made = [envelopes.make(order_key="o") for _ in range(25)]

    async def read_late(*args: Any, **given: Any) -> Any:
        if given.get("seq") == 11:
            monkeypatch.setattr(JetStreamContext, "get_msg", read)
            other = await make_stream_again(server, another, url, clock, "operator")
            for envelope in made[10:]:
                await other.publish(envelope)
        return await read(*args, **given)

    await make_stream_again(server, another, url, clock, "operator")
    monkeypatch.setattr(JetStreamContext, "get_msg", read_late)
    for envelope in made[:10]:
        await queue.publish(envelope)
    async with handing_over(queue) as stored:
        await stored.have(15)
        await is_empty(queue)
    assert set(stored.ids) >= {envelope.execution_id for envelope in made[10:]}


@pytest.mark.cluster_rule("C19")
@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_server_that_has_lost_the_end_of_its_stream_loses_no_message_that_comes_later(
    tmp_path: Path, make_queue: MakeQueue, clock: ManualClock, goes_on: bool
) -> None:
    envelopes, stored = Envelopes(clock), Inserted()
    made = [envelopes.make(order_key="o") for _ in range(40)]
    with OwnNats(tmp_path / "server") as own:
        queue = await make_queue(url_of([own], "?replicas=1&max_bytes=20MB"))
        await queue.publish(made[0])
        own.kill()
        shutil.copytree(tmp_path / "server", tmp_path / "earlier")
        own.start()
        async with contextlib.AsyncExitStack() as running:
            await running.enter_async_context(handing_over(queue, stored))
            for envelope in made[1:20]:
                await queue.publish(envelope)
            await stored.have(20)
            await is_empty(queue)
            if not goes_on:
                await running.aclose()
            own.kill()
            shutil.rmtree(tmp_path / "server")
            shutil.copytree(tmp_path / "earlier", tmp_path / "server")
            own.start()
            for envelope in made[20:]:
                await queue.publish(envelope)
            if not goes_on:
                await running.enter_async_context(handing_over(queue, stored))
            await is_empty(queue)
    assert set(stored.ids) == {envelope.execution_id for envelope in made}


@pytest.mark.cluster_rule("C19")
async def test_an_acknowledgement_that_comes_after_the_stream_was_made_again_removes_no_new_message(
    server: OwnNats, queue: IntakeQueue, another: MakeQueue, url: str, clock: ManualClock
) -> None:
    envelopes = Envelopes(clock)
    comes, goes_on, inserted = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def insert_late(_group: Sequence[Envelope]) -> None:
        comes.set()
        await goes_on.wait()
        inserted.set()

    await queue.publish(envelopes.make())
    late = asyncio.ensure_future(queue.run(insert_late))
    async with asyncio.timeout(20):
        await comes.wait()
    other, blocked = await make_stream_again(server, another, url, clock), Inserted()
    blocked.blocks = True
    new = envelopes.make()
    await other.publish(new)
    async with handing_over(other, blocked), asyncio.timeout(20):
        await blocked.blocked.wait()
        goes_on.set()
        await inserted.wait()
        late.cancel()
        await asyncio.wait((late,))
        await queue.close()  # what it has sent is on its way
    async with handing_over(other) as stored:
        await stored.have(1)
    assert stored.ids == [new.execution_id]


@pytest.mark.cluster_rule("C21")
async def test_a_missing_stream_isnt_an_empty_one(server: OwnNats, queue: IntakeQueue, url: str) -> None:
    client = await nats.connect(server.url)
    await client.jetstream().delete_stream(address.parse(url).stream)
    await client.close()
    with pytest.raises(StoreError, match="can't be read: stream not found"):
        await queue.oldest()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[OwnNats]]:
    with nats_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.mark.long
@pytest.mark.timeout(300)
class TestJetStreamCluster(IntakeQueueContract):
    """On three servers."""

    @pytest.fixture
    async def url(self, servers: list[OwnNats]) -> str:
        url = url_of(servers, f"?max_bytes=50MB&stream=s{uuid.uuid4().hex}")
        await has_leader(servers)
        return url


async def has_leader(servers: list[OwnNats]) -> None:
    """Return when the cluster can create streams."""
    client = await nats.connect([server.url for server in servers])
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    await client.jetstream(timeout=1).account_info()
                except (nats.errors.Error, TimeoutError):
                    await asyncio.sleep(0.2)
                else:
                    return
    finally:
        await client.close()


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.cluster_rule("C19")
async def test_a_cluster_loses_nothing_when_one_server_after_another_is_killed(
    tmp_path: Path, make_queue: MakeQueue, clock: ManualClock, blobs: Blobs
) -> None:
    envelopes, accepted = Envelopes(clock), []
    with nats_cluster(tmp_path) as servers:
        await has_leader(servers)
        queue: IntakeQueue = await make_queue(url_of(servers, "?max_bytes=100MB"))
        async with handing_over(queue) as inserted:
            for server in servers:
                for _ in range(50):
                    accepted += await published(queue, envelopes)
                server.kill()
                for _ in range(50):
                    accepted += await published(queue, envelopes)
                server.start()
                async with asyncio.timeout(60):
                    while not await published(queue, envelopes, accepted):
                        pass
            for _ in range(600):
                if set(accepted) <= set(inserted.ids):
                    break
                await asyncio.sleep(0.1)
    assert set(accepted) <= set(inserted.ids)
    ordered = list(dict.fromkeys(one.execution_id for one in inserted.envelopes if one.order_key))
    assert ordered == sorted(ordered)


async def published(queue: IntakeQueue, envelopes: Envelopes, accepted: list[str] | None = None) -> list[str]:
    """Publish one message without and one with an order key; return those that were acknowledged."""
    found = []
    for order_key in (None, "o"):
        envelope = envelopes.make(order_key=order_key)
        try:
            assert await queue.publish(envelope) == Accepted(envelope.execution_id)
        except StoreError:
            continue
        found.append(envelope.execution_id)
    if accepted is not None:
        accepted += found
    return found
