"""What a request costs: the engine's client against bare aiohttp, to a server in another process.

    python tests/benchmarks/bench_http.py [requests]

Prints microseconds of this process's processor time for each request, and the ratio. Best of five rounds each.
"""

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

import aiohttp

from hookline.kernel.json import encode
from hookline.kernel.time import SystemClock
from hookline.model.message import Message
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.sdk.action import Context
from hookline_http import register_connectors

CONNECTIONS = 32
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
BODY: Any = {"reference": "INV-4711", "amount": "119.00", "lines": [{"sku": "A", "quantity": 2}]}


def serve(pipe: Connection) -> None:
    """A server that costs next to nothing: it answers each request that comes in one piece."""

    class Sink(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.left = b""

        def data_received(self, data: bytes) -> None:
            data = self.left + data
            while (end := data.find(b"\r\n\r\n")) >= 0:
                head = data[:end].lower()
                at = head.find(b"content-length: ")
                size = int(head[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
                if len(data) < end + 4 + size:
                    break
                data = data[end + 4 + size :]
                self.transport.write(ANSWER)
            self.left = data

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def measure(requests: int, one: Callable[[], Awaitable[Any]]) -> float:
    """Microseconds of processor time for a request, with some connections at once."""

    async def many(number: int) -> None:
        for _ in range(number):
            await one()

    async def round_of(number: int) -> float:
        began = time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(many(number // CONNECTIONS))
        return (time.process_time() - began) / number * 1e6

    await round_of(CONNECTIONS * 5)
    return min([await round_of(requests) for _ in range(5)])


async def main(port: int, requests: int) -> None:
    url = f"http://127.0.0.1:{port}/sink"
    client = PooledClient(clock=SystemClock(), egress=Egress(["127.0.0.1"]))
    (connector,) = register_connectors()
    action = connector.actions["http.request"]
    fields: dict[str, Any] = dict.fromkeys(Context.__dataclass_fields__)
    context: Context[Any] = Context(**{**fields, "http": client, "message": Message(), "idempotency_key": "k" * 40})
    settings = {"url": url, "method": "POST", "json": BODY}

    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        headers = {"Content-Type": "application/json", "Idempotency-Key": "k" * 40}

        async def bare() -> None:
            async with session.post(url, data=encode(BODY), headers=headers) as response:
                await response.read()

        async def ours() -> None:
            await client.request("POST", url, json=BODY, headers={"Idempotency-Key": "k" * 40})

        async def step() -> None:
            await action.run(ctx=context, **action.arguments(action.settings.model_validate(settings)))

        costs = {
            "aiohttp alone": await measure(requests, bare),
            "PooledClient.request": await measure(requests, ours),
            "http.request, settings and result included": await measure(requests, step),
        }
    await client.close()
    base = costs["aiohttp alone"]
    for name, cost in costs.items():
        print(f"{name:45} {cost:7.1f} µs {cost / base:6.2f}")


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        asyncio.run(main(ours.recv(), int(sys.argv[1]) if len(sys.argv) > 1 else 6400))
    finally:
        server.terminate()
        server.join()
