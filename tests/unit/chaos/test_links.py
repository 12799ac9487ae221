"""A link passes on what is sent, and can be closed, silent, slow and healed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from tests.chaos.proxy import Link, Links


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that sends back what it gets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1000):
            writer.write(piece)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def link(echo: int) -> Iterator[Link]:
    with Links() as links:
        yield links.open(echo)


class Peer:
    """A client of a link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, piece: bytes) -> None:
        self.writer.write(piece)

    async def echoes(self, piece: bytes) -> bool:
        self.send(piece)
        return await asyncio.wait_for(self.reader.readexactly(len(piece)), 10) == piece

    async def is_reset(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1), 10) == b""
        except ConnectionError:
            return True


Connect = Callable[[Link], Awaitable[Peer]]


@pytest.fixture
async def connected() -> AsyncIterator[Connect]:
    """Makes clients, and closes their connections."""
    peers: list[Peer] = []

    async def connect(link: Link) -> Peer:
        peers.append(Peer(*await asyncio.open_connection("127.0.0.1", link.port)))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.writer.close()


async def test_a_link_passes_on_both_directions_and_the_end(link: Link, connected: Connect) -> None:
    peer = await connected(link)
    assert await peer.echoes(b"hello" * 100)
    peer.writer.write_eof()
    assert await asyncio.wait_for(peer.reader.read(), 10) == b""


async def test_a_closed_link_resets_its_connections_and_takes_none(link: Link, connected: Connect) -> None:
    peer = await connected(link)
    assert await peer.echoes(b"hello")
    link.close()
    assert await peer.is_reset()
    with pytest.raises(ConnectionRefusedError):
        await connected(link)
    link.heal()
    assert await (await connected(link)).echoes(b"again")


async def test_a_silent_link_passes_on_later_what_was_sent_meanwhile(link: Link, connected: Connect) -> None:
    peer = await connected(link)
    assert await peer.echoes(b"before")
    link.silence()
    peer.send(b"during")
    late = await connected(link)
    late.send(b"new")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(peer.reader.read(1), 0.3)
    link.heal()
    assert await asyncio.wait_for(peer.reader.readexactly(6), 10) == b"during"
    assert await asyncio.wait_for(late.reader.readexactly(3), 10) == b"new"


async def test_a_slow_link_delays_each_direction(link: Link, connected: Connect) -> None:
    peer = await connected(link)
    link.slow(0.2)
    began = time.monotonic()
    assert await peer.echoes(b"hello")
    assert time.monotonic() - began >= 0.4


async def test_a_link_to_nobody_closes_its_connections(echo: int, connected: Connect) -> None:
    with Links() as links:
        link = links.open(1)
        assert await (await connected(link)).is_reset()
