"""Packed bodies: every coding, alone and stacked, under a limit and a ratio; bombs are stopped at once."""

import asyncio
import gzip
import json
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable

import brotli  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.kernel.errors import Malformed, TooLarge
from hookline.kernel.json import encode
from hookline.service.hook_request_and_response import HookRequest
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.uploads.decompression import ANY_RATIO, MAX_CODINGS, decompress
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Pack = Callable[[bytes], bytes]


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def brotli_pack(data: bytes) -> bytes:
    packed: bytes = brotli.compress(data, quality=5)
    return packed


#: A frame that holds nothing, which a receiver is to pass over.
SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00meta"


def zstd_pack(data: bytes) -> bytes:
    return zstd.compress(data[:100]) + SKIPPED + zstd.compress(data[100:])


PACKS: list[tuple[str, Pack]] = [
    ("gzip", gzip.compress),
    ("x-gzip", lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:])),
    ("deflate", zlib.compress),
    ("deflate", bare_deflate),
    ("br", brotli_pack),
    ("zstd", zstd_pack),
]
TEXT = encode({"a": [f"value {number}" for number in range(20_000)]})


async def chunks_of(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def unpacked(
    packed: bytes, *codings: str, limit: int = 10**9, max_ratio: int = 10**6, size: int = 65536
) -> bytes:
    return b"".join([piece async for piece in decompress(chunks_of(packed, size), codings, limit, max_ratio)])


@pytest.mark.parametrize(("coding", "pack"), PACKS, ids=[f"{coding}-{at}" for at, (coding, _) in enumerate(PACKS)])
@pytest.mark.parametrize("size", [1, 10, 100_000])
async def test_each_coding_is_unpacked_and_kept_as_received(coding: str, pack: Pack, size: int) -> None:
    packed = pack(TEXT)
    hook = HookOverMemory(webhook_flow())
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    reply = await hook.send(pieces, headers=[(b"content-encoding", coding.encode())])
    assert reply.status == 202, reply.body
    (envelope,) = hook.intake.accepted
    assert envelope.body_json == TEXT
    assert envelope.raw == packed


async def test_several_codings_are_undone_from_the_last_to_the_first() -> None:
    packed = zstd_pack(brotli_pack(gzip.compress(TEXT)))
    hook = HookOverMemory(webhook_flow())
    reply = await hook.send(packed, headers=[(b"content-encoding", b"gzip, br, zstd")])
    assert reply.status == 202, reply.body
    assert hook.intake.accepted[0].body_json == TEXT
    wrong = await hook.send(packed, headers=[(b"content-encoding", b"zstd, br, gzip")])
    assert wrong.status == 400


async def test_files_in_forms_are_unpacked_too() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + b"x" * 300_000 + b"\r\n--b--\r\n"
    hook = HookOverMemory(webhook_flow())
    headers = [(b"content-encoding", b"br")]
    assert (await hook.send(brotli_pack(body), "multipart/form-data; boundary=b", headers=headers)).status == 202
    assert list(hook.memory_blobs.kept.values()) == [b"x" * 300_000]


@given(
    data=st.binary(max_size=500),
    repeat=st.integers(1, 300),
    order=st.lists(st.sampled_from(PACKS), min_size=1, max_size=MAX_CODINGS),
    size=st.integers(1, 5000),
)
@settings(max_examples=60)
async def test_what_was_packed_comes_out_whatever_the_chunks(
    data: bytes, repeat: int, order: list[tuple[str, Pack]], size: int
) -> None:
    packed = data * repeat
    for _, pack in order:
        packed = pack(packed)
    assert await unpacked(packed, *[coding for coding, _ in order], size=size) == data * repeat


@pytest.mark.parametrize(("coding", "pack"), PACKS, ids=[f"{coding}-{at}" for at, (coding, _) in enumerate(PACKS)])
async def test_what_is_cut_off_or_of_another_coding_is_malformed(coding: str, pack: Pack) -> None:
    packed = pack(TEXT)
    for cut in (1, 5, len(packed) // 2):
        with pytest.raises(Malformed):
            await unpacked(packed[:-cut], coding)
    with pytest.raises(Malformed):
        await unpacked(b'{"not": "packed"}', coding)
    assert await unpacked(b"", coding) == b""


@pytest.mark.parametrize(("coding", "pack"), [one for one in PACKS if one[0] in ("gzip", "br")])
async def test_bytes_after_the_end_are_malformed(coding: str, pack: Pack) -> None:
    with pytest.raises(Malformed):
        await unpacked(pack(TEXT) + b"more", coding)


async def test_zstd_may_not_ask_for_more_than_8_mb_of_window() -> None:
    wide = {zstd.CompressionParameter.window_log: 24, zstd.CompressionParameter.content_size_flag: 0}
    with pytest.raises(Malformed, match="memory"):
        await unpacked(zstd.compress(bytes(20_000_000), options=wide), "zstd")
    usual = {zstd.CompressionParameter.window_log: 23, zstd.CompressionParameter.content_size_flag: 0}
    assert len(await unpacked(zstd.compress(bytes(20_000_000), options=usual), "zstd")) == 20_000_000


# --- Bombs -------------------------------------------------------------------------------------------------------

BOMB = 50_000_000


def gzip_bomb() -> bytes:
    return gzip.compress(bytes(BOMB))


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": gzip_bomb,
    "br": lambda: brotli_pack(bytes(BOMB)),
    "zstd": lambda: zstd.compress(bytes(BOMB)),
    "gzip, gzip": lambda: gzip.compress(gzip_bomb()),
}


@pytest.mark.parametrize("coding", BOMBS)
@pytest.mark.parametrize(
    ("content_type", "limited"), [("application/json", "body"), ("image/png", "file"), ("image/png", "ratio")]
)
async def test_a_bomb_is_413_within_100_ms_of_reaching_the_limit(coding: str, content_type: str, limited: str) -> None:
    bomb = BOMBS[coding]()
    ratio = 200 if limited == "ratio" else 10**9
    hook = HookOverMemory(
        webhook_flow(max_ratio=ratio, max_file=10**9 if limited == "ratio" else 2_000_000, max_body=1_000_000),
        options=HookOptions("https://hooks.example"),
    )
    given_at = 0.0

    async def arriving() -> AsyncIterator[bytes]:
        nonlocal given_at
        async for chunk in chunks_of(bomb, 16 * 1024):
            given_at = time.process_time()
            yield chunk

    headers = [(b"content-type", content_type.encode()), (b"content-encoding", coding.encode())]
    reply = await hook.hook.handle(HookRequest("POST", "orders", b"/hook/orders", b"", headers, arriving()))
    took = time.process_time() - given_at
    assert reply.status == 413, reply.body
    assert ("times as large" in json.loads(reply.body)["detail"]) is (limited == "ratio")
    # The chunk that reached the limit is the last that was asked for. Processor time: no other process can spend it.
    assert took < 0.1
    assert not hook.memory_blobs.kept
    assert hook.memory_blobs.open_writers == 0


async def test_a_ratio_counts_only_once_much_has_come_out() -> None:
    small = gzip.compress(bytes(ANY_RATIO))
    assert len(await unpacked(small, "gzip", max_ratio=2)) == ANY_RATIO
    with pytest.raises(TooLarge, match="2 times as large"):
        await unpacked(gzip.compress(bytes(ANY_RATIO + 1)), "gzip", max_ratio=2)


async def test_a_flow_may_take_what_packs_better() -> None:
    packed = gzip.compress(bytes(3_000_000))
    headers = [(b"content-encoding", b"gzip")]
    for settings_of, status in (({}, 413), ({"max_ratio": 2000}, 202)):
        hook = HookOverMemory(webhook_flow(**settings_of))  # type: ignore[arg-type]  # settings of any type
        assert (await hook.send(packed, "image/bmp", headers=headers)).status == status


async def test_what_is_between_two_codings_is_bounded_too() -> None:
    # Packed once more it is small at both ends: 40 MB of empty gzip members give nothing.
    middle = gzip.compress(b"") * 2_000_000
    with pytest.raises(TooLarge):
        await unpacked(gzip.compress(middle, 1), "gzip", "gzip", limit=1_000_000)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("packed", "codings"),
    [
        (gzip.compress(bytes(10_000_000)), ("gzip",)),
        # Many files that hold nothing.
        (gzip.compress(gzip.compress(b"") * 200_000, 1), ("gzip", "gzip")),
    ],
    ids=["one large file", "many files of nothing"],
)
async def test_others_get_their_turn_while_a_large_body_is_unpacked(packed: bytes, codings: tuple[str, ...]) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    await unpacked(packed, *codings)
    task.cancel()
    assert turns >= 3
