"""The contract of blob stores. The tests of a plugin subclass `BlobsContract` and define the fixtures that it names."""

import hashlib
from datetime import timedelta

import pytest

from hookline.kernel.errors import BlobGone, StoreError
from hookline.storage.blobs import Blob, Blobs
from hookline.testing.clock import ManualClock

_NOT_OURS = ["", "x", "../../etc/passwd", "/etc/passwd", "..", "a/b", "0" * 31, "0" * 32 + "\n", "G" * 32, "\0"]


async def put(blobs: Blobs, *chunks: bytes) -> Blob:
    """Store bytes as a blob."""
    writer = await blobs.create()
    for chunk in chunks:
        await writer.write(chunk)
    return await writer.commit()


async def read(blobs: Blobs, blob_id: str, chunk_size: int = 65536) -> bytes:
    """Read all bytes of a blob."""
    return b"".join([chunk async for chunk in blobs.open(blob_id, chunk_size)])


class BlobsContract:
    """Fixtures to define: `clock`, a ManualClock, and `blobs`, empty, and on that clock."""

    async def test_it_says_that_files_can_be_kept_and_keeps_none_to_find_out(
        self, blobs: Blobs, clock: ManualClock
    ) -> None:
        await blobs.ping()
        clock.advance(1)
        assert [one async for one in blobs.older_than(clock.now())] == []

    @pytest.mark.parametrize(
        "chunks",
        [[], [b""], [b"a"], [b"ab", b"", b"c" * 70_000], [b"x" * 65536] * 5, [b"y" * 1_000_001]],
        ids=["none", "empty", "one", "some", "pages", "large"],
    )
    async def test_what_is_written_is_read(self, blobs: Blobs, chunks: list[bytes]) -> None:
        whole = b"".join(chunks)
        blob = await put(blobs, *chunks)
        assert (blob.size, blob.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
        assert await read(blobs, blob.id) == whole

    @pytest.mark.parametrize("chunk_size", [1, 7, 65536, 100_000, 500_000])
    async def test_chunks_are_of_the_size_asked_for(self, blobs: Blobs, chunk_size: int) -> None:
        size = min(200_001, chunk_size * 1000)
        blob = await put(blobs, bytes(size))
        sizes = [len(chunk) async for chunk in blobs.open(blob.id, chunk_size)]
        assert sum(sizes) == size
        assert all(length == chunk_size for length in sizes[:-1])
        assert 0 < sizes[-1] <= chunk_size

    async def test_a_writers_buffer_may_be_reused(self, blobs: Blobs) -> None:
        writer = await blobs.create()
        buffer = bytearray(b"one")
        await writer.write(buffer)  # type: ignore[arg-type]  # servers hand out views of their buffers
        buffer[:] = b"two"
        blob = await writer.commit()
        assert await read(blobs, blob.id) == b"one"

    async def test_size_is_known_while_it_is_written(self, blobs: Blobs) -> None:
        writer = await blobs.create()
        await writer.write(b"abc")
        assert writer.size == 3
        await writer.abort()

    async def test_equal_bytes_are_blobs_of_their_own(self, blobs: Blobs) -> None:
        first, second = await put(blobs, b"same"), await put(blobs, b"same")
        assert first.id != second.id
        await blobs.delete(first.id)
        assert await read(blobs, second.id) == b"same"

    async def test_an_aborted_blob_leaves_nothing(self, blobs: Blobs, clock: ManualClock) -> None:
        for size in (0, 10, 1_000_000):
            writer = await blobs.create()
            await writer.write(bytes(size))
            await writer.abort()
            await writer.abort()
            with pytest.raises(StoreError):
                await writer.write(b"more")
            with pytest.raises(StoreError):
                await writer.commit()
        clock.advance(3600)
        assert [blob_id async for blob_id in blobs.older_than(clock.now())] == []

    async def test_aborting_after_commit_is_harmless(self, blobs: Blobs) -> None:
        writer = await blobs.create()
        await writer.write(b"kept")
        blob = await writer.commit()
        await writer.abort()
        assert await read(blobs, blob.id) == b"kept"
        with pytest.raises(StoreError):
            await writer.write(b"more")

    async def test_a_deleted_blob_is_gone_and_deleting_again_is_harmless(self, blobs: Blobs) -> None:
        blob = await put(blobs, b"x")
        await blobs.delete(blob.id)
        await blobs.delete(blob.id)
        with pytest.raises(BlobGone, match=blob.id):
            await read(blobs, blob.id)

    @pytest.mark.parametrize("blob_id", _NOT_OURS)
    async def test_an_id_that_isnt_ours_names_nothing(self, blobs: Blobs, blob_id: str) -> None:
        with pytest.raises(BlobGone, match="no blob"):
            await read(blobs, blob_id)
        await blobs.delete(blob_id)

    async def test_room_is_taken_only_where_it_can_run_out(self, blobs: Blobs) -> None:
        before = await blobs.disk_usage()
        writer = await blobs.create()
        await writer.write(b"x" * 100_000)
        blob = await writer.commit()
        taken = await blobs.disk_usage() - before
        assert taken == 0 or taken >= 100_000
        sizes = await blobs.sizes([blob.id, "0" * 32, *_NOT_OURS])
        assert sizes == ({} if taken == 0 else {blob.id: taken})
        await blobs.delete(blob.id)
        assert await blobs.disk_usage() == before
        assert await blobs.sizes([blob.id]) == {}

    async def test_older_than_gives_what_was_committed_before(self, blobs: Blobs, clock: ManualClock) -> None:
        old = {(await put(blobs, b"old")).id for _ in range(20)}
        clock.advance(10)
        between = clock.now()
        clock.advance(10)
        new = {(await put(blobs, b"new")).id for _ in range(20)}
        assert {blob_id async for blob_id in blobs.older_than(between)} == old
        later = clock.now() + timedelta(seconds=1)
        assert {blob_id async for blob_id in blobs.older_than(later)} == old | new

    async def test_blobs_can_be_deleted_while_they_are_listed(self, blobs: Blobs, clock: ManualClock) -> None:
        for _ in range(20):
            await put(blobs, b"x")
        clock.advance(1)
        listed = 0
        async for blob_id in blobs.older_than(clock.now()):
            await blobs.delete(blob_id)
            listed += 1
        assert listed == 20
        assert [blob_id async for blob_id in blobs.older_than(clock.now())] == []
