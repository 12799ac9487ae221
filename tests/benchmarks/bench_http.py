"""What a request costs: the engine's client beside plain aiohttp, to a server in another process.

    python tests/benchmarks/bench_http.py [requests]

Prints microseconds of this process's processor time for each request, and the ratio to plain aiohttp. The same bytes
over connections without HTTP show what sockets and the event loop cost alone. All are measured in turn, in seven
rounds; the table has the best of each. The event loop is the one of a server.
"""

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

import aiohttp

from hookline.kernel.clocks import SystemClock
from hookline.kernel.json import encode
from hookline.model.message import Message
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.sdk.action import Context
from hookline.service.server.serving import loop_factory
from hookline_http import register_connectors

CONNECTIONS = 32
ROUNDS = 7
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


class Bare(asyncio.Protocol):
    """A connection on which each answer comes in one piece."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.answer.set_result(data)

    async def ask(self, request: bytes) -> bytes:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


async def one_round(requests: int, one: Callable[[], Awaitable[Any]]) -> float:
    """Microseconds of processor time for a request, with some connections at once."""

    async def many(number: int) -> None:
        for _ in range(number):
            await one()

    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(many(requests // CONNECTIONS))
    return (time.process_time() - began) / requests * 1e6


async def measure(requests: int, *measured: Callable[[], Awaitable[Any]]) -> list[float]:
    """The best round of each."""
    for one in measured:
        await one_round(CONNECTIONS * 5, one)
    rounds = [[await one_round(requests, one) for one in measured] for _ in range(ROUNDS)]
    return [min(costs) for costs in zip(*rounds, strict=True)]


async def main(port: int, requests: int) -> None:
    url = f"http://127.0.0.1:{port}/sink"
    client = PooledClient(clock=SystemClock(), egress=Egress(["127.0.0.1"]))
    (connector,) = register_connectors()
    action = connector.actions["http.request"]
    fields: dict[str, Any] = dict.fromkeys(Context.__dataclass_fields__)
    context: Context[Any] = Context(**{**fields, "http": client, "message": Message(), "idempotency_key": "k" * 40})
    settings = {"url": url, "method": "POST", "json": BODY}
    body = encode(BODY)
    head = f"POST /sink HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    free: list[Bare] = []

    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        headers = {"Content-Type": "application/json", "Idempotency-Key": "k" * 40}

        async def bare() -> None:
            loop = asyncio.get_running_loop()
            connection = free.pop() if free else (await loop.create_connection(Bare, "127.0.0.1", port))[1]
            await connection.ask(request)
            free.append(connection)

        async def plain() -> None:
            async with session.post(url, data=encode(BODY), headers=headers) as response:
                await response.read()

        async def ours() -> None:
            await client.request("POST", url, json=BODY, headers={"Idempotency-Key": "k" * 40})

        async def step() -> None:
            await action.run(ctx=context, **action.arguments(action.settings.model_validate(settings)))

        costs = await measure(requests, bare, plain, ours, step)
    await client.close()
    for connection in free:
        connection.transport.close()
    names = (
        "connections without HTTP",
        "aiohttp",
        "PooledClient.request",
        "http.request, settings and result included",
    )
    for name, cost in zip(names, costs, strict=True):
        print(f"{name:45} {cost:7.1f} µs {cost / costs[1]:6.2f}")


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(main(ours.recv(), int(sys.argv[1]) if len(sys.argv) > 1 else 6400))
    finally:
        server.terminate()
        server.join()
