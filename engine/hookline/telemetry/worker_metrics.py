"""The metrics of the workers of one server, which give them to one another over sockets in a folder of their own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

PATIENCE: Final = 1.0
"""Seconds in which a worker gives its metrics."""


Exposition: TypeAlias = Callable[[], Awaitable[bytes]]
"""Makes the text of a worker's metrics."""


class WorkerMetrics:
    """The metrics of one worker for the others, and theirs for this one."""

    def __init__(self, folder: Path, number: int, workers: int) -> None:
        """`folder` is private to the server. The workers are counted from 1."""
        self._own = _socket(folder, number)
        self._others = [_socket(folder, other) for other in range(1, workers + 1) if other != number]

    @contextlib.asynccontextmanager
    async def offered(self, exposition: Exposition) -> AsyncIterator[None]:
        """Give the others the metrics that `exposition` returns, whenever they ask."""

        async def give(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with asyncio.timeout(PATIENCE):
                    writer.write(await exposition())
                    await writer.drain()
            except (OSError, TimeoutError):
                writer.transport.abort()
            else:
                writer.close()

        server = await asyncio.start_unix_server(give, self._own)
        try:
            yield
        finally:
            server.close()
            self._own.unlink(missing_ok=True)

    async def of_others(self) -> list[bytes | None]:
        """Return the metrics of each other worker; None if it doesn't give them in time."""
        return await asyncio.gather(*(_ask(other) for other in self._others))


def _socket(folder: Path, number: int) -> Path:
    return folder / f"metrics-{number}"


async def _ask(other: Path) -> bytes | None:
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_unix_connection(other)
            try:
                # A worker that ends meanwhile gives nothing, or a part.
                return _whole(await reader.read())
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None


def _whole(text: bytes) -> bytes | None:
    return text if text.endswith(b"# EOF\n") else None
