"""The contract of blob stores, over a bucket of a server that speaks S3, and what is special to it."""

import asyncio
import contextlib
import sys
import tracemalloc
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.request import Request, urlopen

import pytest
from tests.ports import free_port

from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.errors import BlobGone, StoreError
from hookline.storage.blobs import Blobs
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.blobs import BlobsContract, put, read
from hookline_s3.blobs import bucket_from_url
from hookline_s3.blobs.blob_ids import LONGEST, new_id
from hookline_s3.blobs.bucket_from_url import s3_blobs
from hookline_s3.blobs.upload import PART


@pytest.fixture
def server(s3_server: str) -> str:
    """The URL of an S3 server."""
    return s3_server


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    ask(server, "/moto-api/reset", "POST")
    ask(server, "/files", "PUT")
    return "files"


def ask(server: str, path: str, method: str = "GET") -> str:
    with urlopen(Request(server + path, method=method), timeout=10) as response:
        text: str = response.read().decode()
        return text


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def blobs(server: str, bucket: str, clock: ManualClock) -> AsyncIterator[Blobs]:
    made = s3_blobs(f"s3://{bucket}/kept/here?region=us-east-1&endpoint={server}", clock=clock)
    yield made
    await made.close()


class TestBucketBlobs(BlobsContract):
    pass


def uploads(server: str) -> int:
    """Uploads in parts that have begun and were neither completed nor given up."""
    return ask(server, "/files?uploads").count("<UploadId>")


async def test_a_large_blob_goes_up_in_parts_while_it_comes_and_is_there_only_once_committed(
    blobs: Blobs, server: str, clock: ManualClock
) -> None:
    chunk = b"0123456789abcdef" * 4096
    writer = await blobs.create()
    for _ in range(3 * PART // len(chunk)):
        await writer.write(chunk)
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(uploads, server):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
    assert "<Key>" not in ask(server, "/files?list-type=2")
    await writer.write(b"end")
    blob = await writer.commit()
    assert uploads(server) == 0
    assert ask(server, "/files?list-type=2").count(f"<Key>kept/here/{blob.id}</Key>") == 1
    assert blob.size == 3 * PART + 3
    assert await read(blobs, blob.id) == chunk * (3 * PART // len(chunk)) + b"end"


async def test_a_large_blob_that_is_given_up_leaves_nothing_in_the_bucket(blobs: Blobs, server: str) -> None:
    writer = await blobs.create()
    for _ in range(3):
        await writer.write(bytes(PART))
    await writer.abort()
    await writer.abort()
    with pytest.raises(StoreError):
        await writer.commit()
    assert uploads(server) == 0
    assert "<Key>" not in ask(server, "/files?list-type=2")


async def test_a_large_blob_isnt_swept_while_it_may_have_been_committed_just_now(
    blobs: Blobs, clock: ManualClock
) -> None:
    writer = await blobs.create()
    await writer.write(bytes(PART + 1))
    clock.advance(LONGEST.total_seconds() - 1)
    blob = await writer.commit()
    clock.advance(3600)
    hour_ago = clock.now() - timedelta(hours=1)
    assert [one async for one in blobs.older_than(hour_ago)] == []
    clock.advance(LONGEST.total_seconds())
    assert [one async for one in blobs.older_than(hour_ago + LONGEST)] == [blob.id]


async def test_an_upload_that_took_longer_than_a_day_is_rejected(blobs: Blobs, clock: ManualClock, server: str) -> None:
    writer = await blobs.create()
    await writer.write(bytes(PART + 1))
    clock.advance(LONGEST.total_seconds())
    with pytest.raises(StoreError, match="longer than a day"):
        await writer.commit()
    assert uploads(server) == 0


async def test_memory_doesnt_grow_with_a_blobs_size(blobs: Blobs) -> None:
    chunk = bytes(1_000_000)
    tracemalloc.start()
    writer = await blobs.create()
    for _ in range(100):
        await writer.write(chunk)
    blob = await writer.commit()
    async for _ in blobs.open(blob.id):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60_000_000


async def test_objects_of_others_in_the_bucket_are_left_alone(blobs: Blobs, server: str, clock: ManualClock) -> None:
    ask(server, "/files/kept/here/notes.txt", "PUT")
    ask(server, f"/files/elsewhere/{new_id(clock.now(), in_parts=False)}", "PUT")
    clock.advance(10)
    assert [one async for one in blobs.older_than(clock.now())] == []


async def test_more_than_a_page_is_listed_oldest_first(blobs: Blobs, clock: ManualClock) -> None:
    made = []
    for _ in range(25):
        made += [one.id for one in await asyncio.gather(*(put(blobs, b"") for _ in range(45)))]
        clock.advance(1)
    assert {one async for one in blobs.older_than(clock.now())} == set(made)


async def test_a_bucket_that_isnt_there_is_a_store_error(server: str, bucket: str, clock: ManualClock) -> None:
    blobs = s3_blobs(f"s3://nobodys?region=us-east-1&endpoint={server}", clock=clock)
    with pytest.raises(StoreError, match="can't be written"):
        await put(blobs, b"x")
    with pytest.raises(StoreError, match="can't be written"):
        await put(blobs, bytes(PART), bytes(PART), bytes(PART), bytes(PART))


async def test_a_bucket_that_isnt_there_or_whose_server_is_away_can_hold_no_files(
    server: str, bucket: str, clock: ManualClock
) -> None:
    for url in (f"s3://nobodys?endpoint={server}", f"s3://{bucket}?endpoint=http://127.0.0.1:{free_port()}"):
        with pytest.raises(StoreError, match="the bucket can't be used"):
            await s3_blobs(f"{url}&region=us-east-1", clock=clock).ping()


class Cutting:
    """Stands before the S3 server, and ends connections after so many bytes of answers."""

    def __init__(self, server: str, cuts: list[int]) -> None:
        self._port = int(server.rpartition(":")[2])
        self._cuts = cuts
        self.url = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._open: list[asyncio.StreamWriter] = []
        self._closing = False

    async def __aenter__(self) -> "Cutting":
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        # A task that is cancelled while it opens a connection would leave that open.
        self._closing = True
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.create_task(self._speak(reader, writer)))

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", self._port)
        self._open += (before, writer)
        if self._closing:
            before.transport.abort()
            writer.transport.abort()
        asking = asyncio.create_task(self._pass(reader, before, None))
        try:
            await self._pass(behind, writer, self._cuts.pop(0) if self._cuts else None)
        finally:
            asking.cancel()
            await asyncio.wait((asking,))
            for one in (before, writer):
                one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65536):
                writer.write(part if left is None else part[:left])
                await writer.drain()
                if left is not None and (left := left - len(part)) <= 0:
                    return


@pytest.mark.parametrize(
    ("cuts", "whole"), [([3_000_000, 2_000_000, 1_500_000], True), ([3_000_000, *[100] * 30], False)]
)
async def test_a_download_that_is_cut_off_goes_on_where_it_was_as_long_as_something_comes(
    server: str, bucket: str, clock: ManualClock, cuts: list[int], whole: bool
) -> None:
    data = bytes(range(256)) * 32_000
    blob = await put(s3_blobs(f"s3://{bucket}?region=us-east-1&endpoint={server}", clock=clock), data)
    async with Cutting(server, cuts) as cutting:
        blobs = s3_blobs(f"s3://{bucket}?region=us-east-1&endpoint={cutting.url}", clock=clock)
        if whole:
            assert await read(blobs, blob.id) == data
            assert not cuts
        else:
            with pytest.raises(StoreError, match="can't be read"):
                await read(blobs, blob.id)


async def test_who_reads_slowly_gets_all_of_a_blob(
    server: str, bucket: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_from_url, "_SILENCE", timedelta(seconds=0.3))
    url = f"s3://{bucket}?region=us-east-1&endpoint={server}"
    data = bytes(12_000_000)
    blob = await put(s3_blobs(url, clock=clock), data)
    size = 0
    async for chunk in s3_blobs(url, clock=clock).open(blob.id, 4_000_000):
        size += len(chunk)
        await asyncio.sleep(0.35)
    assert size == len(data)


async def test_a_server_that_is_away_is_a_store_error_soon(bucket: str, clock: ManualClock) -> None:
    blobs = s3_blobs(f"s3://{bucket}?region=us-east-1&endpoint=http://127.0.0.1:{free_port()}", clock=clock)
    with pytest.raises(StoreError, match="can't be read") as caught:
        await read(blobs, new_id(clock.now(), in_parts=False))
    assert not isinstance(caught.value, BlobGone)


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///prefix",
        "s3://bucket:9000/x",
        "s3://bucket#x",
        "s3://b",
        "s3://bucket/../x",
        "s3://bucket/a//b",
        "s3://bucket/a/%2e",
        "s3://bucket/a%0ab",
        "s3://bucket?region=eu central",
        "s3://bucket?region=eu%0acentral",
        "s3://bucket?regio=x",
        "s3://bucket?region=",
        "s3://bucket?region=a&region=b",
        "s3://bucket?endpoint=host",
        "s3://bucket?secret_access_key=s3cr3t",
        "s3://key:s3cr3t@bucket",
    ],
)
def test_a_url_that_names_no_bucket_or_holds_a_secret_is_rejected_and_not_shown(url: str, clock: ManualClock) -> None:
    with pytest.raises(StoreError) as caught:
        s3_blobs(url, clock=clock)
    assert "s3cr3t" not in str(caught.value)


def test_a_missing_library_is_named_with_what_installs_it(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hookline_s3.blobs.bucket", raising=False)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(StoreError, match=r"pip install 'hookline\[s3\]'"):
        s3_blobs("s3://bucket", clock=clock)


def test_the_plugin_gives_the_store_for_s3_urls() -> None:
    assert load_plugins().blob_stores["s3"] is s3_blobs
