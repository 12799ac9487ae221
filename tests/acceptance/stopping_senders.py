"""Senders that open connections while a server stops, and tell how each connection went."""

import asyncio
import os
import signal
from collections import Counter

from tests.acceptance.server_process import ServerProcess
from tests.integration.served_hook import JSON, post, read_response, status

FLOW = {"id": "f", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": []}
REQUEST = post(JSON, "Content-Length: 2", body=b"{}", path="/hook/f")
LONGEST = 10.0
"""Seconds after which a sender has waited in vain."""


async def one_connection(port: int, pause: float) -> str:
    """Send requests on a connection until the server ends it, and say how that went."""
    try:
        async with asyncio.timeout(LONGEST):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except TimeoutError:
        return "hangs"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return repr(error)
    try:
        while True:
            await asyncio.sleep(pause)
            writer.write(REQUEST)
            async with asyncio.timeout(LONGEST):
                head, _ = await read_response(reader)
            if b"connection: close" in head:
                return str(status(head))
    except TimeoutError:
        return "hangs"
    except (OSError, EOFError) as error:
        return repr(error)
    finally:
        writer.transport.abort()


async def load(server: ServerProcess, senders: int, rejected: int) -> Counter[str]:
    """Open connections one after another, with many senders, while the server stops, until so many are rejected."""
    seen: Counter[str] = Counter()

    async def send(number: int) -> None:
        while not seen["refused"] and seen["503"] < rejected:
            seen[await one_connection(server.port, pause=0.05 * (number % 3))] += 1

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for number in range(senders):
            tasks.create_task(send(number))
        await asyncio.sleep(0.3)
        os.kill(server.pid, signal.SIGTERM)
    return seen


def check_stop(server: ServerProcess, senders: int, rejected: int) -> Counter[str]:
    """Stop a server under load: each sender is answered, and none is reset or waits in vain."""
    seen = asyncio.run(load(server, senders, rejected))
    assert server.died() == 0
    assert set(seen) <= {"202", "503", "refused"}, seen
    assert seen["202"] > 0
    assert seen["503"] > 0
    return seen
