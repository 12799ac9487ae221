"""A backend in a process of its own, which a test uses as if it were its own: a node."""

import asyncio
import functools
import inspect
import multiprocessing
import operator
import pickle
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import cache
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any, Final, Literal, TypeAlias, cast

from hookline.storage.backend import Backend
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline_sqlstore.backend_makers import postgresql

_LENGTH: Final = struct.Struct("!I")
_BACKEND: Final = 0
#: What is sent: a call or the end of one, an answer, or a call of what the test has set on the node's membership.
_Kind = Literal["call", "cancel", "answer", "tell"]
_Questions: TypeAlias = "Connection[tuple[int, str, tuple[Any, ...]], Any]"
_Answers: TypeAlias = "Connection[Any, tuple[int, str, tuple[Any, ...]]]"


class _Channel:
    """Calls of the other process, each with an answer; several may be under way."""

    def __init__(self, handle: Callable[[Any], Awaitable[Any]]) -> None:
        self._handle = handle
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._handled: dict[int, asyncio.Task[None]] = {}

    async def open(self, sock: socket.socket) -> None:
        self._reader, self._writer = await asyncio.open_connection(sock=sock)
        self._listening = asyncio.create_task(self._listen())

    async def call(self, what: Any) -> Any:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._send("call", number, what)
        try:
            return await answer
        except asyncio.CancelledError:
            self._send("cancel", number, None)
            raise
        finally:
            del self._waiting[number]

    async def closed(self) -> None:
        """Return when the other process has closed its end."""
        await asyncio.wait({self._listening})

    async def close(self) -> None:
        self._writer.close()
        self._listening.cancel()
        await self.closed()

    def _send(self, kind: _Kind, number: int, what: Any) -> None:
        data = pickle.dumps((kind, number, what))
        self._writer.write(_LENGTH.pack(len(data)) + data)

    async def _listen(self) -> None:
        try:
            while True:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                self._heard(*pickle.loads(await self._reader.readexactly(length)))
        except (EOFError, ConnectionError):
            pass
        finally:
            for answer in self._waiting.values():
                answer.cancel()

    def _heard(self, kind: _Kind, number: int, what: Any) -> None:
        if kind == "call":
            task = self._handled[number] = asyncio.create_task(self._answer(number, what))
            task.add_done_callback(lambda _: self._handled.pop(number))
        elif kind == "cancel" and number in self._handled:
            self._handled[number].cancel()
        elif kind == "answer" and (answer := self._waiting.get(number)) is not None and not answer.done():
            value, failed = what
            if failed is None:
                answer.set_result(value)
            else:
                kind_of_error, arguments, attributes = failed
                error = kind_of_error.__new__(kind_of_error, *arguments)
                error.__dict__ |= attributes
                answer.set_exception(error)

    async def _answer(self, number: int, what: Any) -> None:
        try:
            answer = await self._handle(what), None
        except Exception as error:  # noqa: BLE001 - the caller gets it
            # An error is not pickled: its class may take other arguments than it passes on.
            answer = None, (type(error), error.args, vars(error))
        self._send("answer", number, answer)


# The process of the node.


class _Served:
    """The objects of a node that the test has names for."""

    def __init__(self, backend: Backend) -> None:
        self._objects: dict[int, Any] = {_BACKEND: backend}
        self._channel = _Channel(self._handle)

    async def run(self, sock: socket.socket, questions: _Answers) -> None:
        await self._channel.open(sock)
        asyncio.get_running_loop().add_reader(questions.fileno(), self._answer, questions)
        await self._channel.closed()

    def _answer(self, questions: _Answers) -> None:
        target, path, arguments = questions.recv()
        found = operator.attrgetter(path)(self._objects[target])
        questions.send(found(*arguments) if callable(found) else found)

    async def _handle(self, what: Any) -> Any:
        target, path, arguments, options = what
        if path == "listen":
            name, waits = arguments
            setattr(self._objects[_BACKEND].membership, name, self._teller(name) if waits else self._noticer(name))
            return None
        found = operator.attrgetter(path)(self._objects[target])(*arguments, **options)
        if inspect.isasyncgen(found):
            return self._named(found)
        value = await found if inspect.isawaitable(found) else found
        if path == "__anext__":
            return self._named(value), value.execution_id, value.flow_id, value.fresh, value.envelope, value.start
        return value

    def _named(self, value: Any) -> int:
        name = len(self._objects)
        self._objects[name] = value
        return name

    def _teller(self, name: str) -> Callable[..., Awaitable[Any]]:
        return lambda *arguments: self._channel.call((name, arguments))

    def _noticer(self, name: str) -> Callable[..., None]:
        tasks: set[asyncio.Task[Any]] = set()

        def notice(*arguments: Any) -> None:
            task = asyncio.ensure_future(self._channel.call((name, arguments)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        return notice


def _serve(sock: socket.socket, questions: _Answers, url: str, name: str) -> None:
    async def serve() -> None:
        backend = postgresql(url, clock=ManualClock())
        await backend.open(NodeDescription(name))
        try:
            await _Served(backend).run(sock, questions)
        finally:
            await backend.close()

    asyncio.run(serve())


# The process of the test.


class NodeProcess:
    """The backend of another process."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        mine, theirs = socket.socketpair()
        self._questions: _Questions
        self._questions, answers = multiprocessing.Pipe()
        self.process = _context().Process(target=_serve, args=(theirs, answers, url, name))
        self.process.start()
        theirs.close()
        answers.close()
        self._sock = mine
        self._channel = _Channel(self._told)
        self._listeners: dict[str, Callable[..., Any]] = {}
        self._closed = False
        self.store = _Remote(self, "store")
        self.queue = _Queue(self, "queue")
        self.membership = _Membership(self, "membership")

    async def open(self) -> None:
        """Return when it is a node."""
        await self._channel.open(self._sock)
        await self.call(_BACKEND, "store.ping")

    async def call(self, target: int, path: str, *arguments: Any, **options: Any) -> Any:
        return await self._channel.call((target, path, arguments, options))

    def ask(self, target: int, path: str, *arguments: Any) -> Any:
        """Ask at once, for what isn't awaited."""
        self._questions.send((target, path, arguments))
        return self._questions.recv()

    def listen(self, name: str, listener: Callable[..., Any]) -> asyncio.Task[None]:
        """Let the membership of the node call a function of the test."""
        self._listeners[name] = listener
        call = self.call(_BACKEND, "listen", name, inspect.iscoroutinefunction(listener))
        return asyncio.create_task(call)

    async def _told(self, what: Any) -> Any:
        name, arguments = what
        result = self._listeners[name](*arguments)
        return await result if inspect.isawaitable(result) else result

    async def close(self) -> None:
        """Stop the node, and its process."""
        if self._closed:
            return
        self._closed = True
        await self._channel.close()
        await asyncio.to_thread(self.process.join, 30)
        assert self.process.exitcode == 0, f"{self.name} has ended with {self.process.exitcode}"


class _Remote:
    """A part of a node's backend: its methods are called there."""

    def __init__(self, process: NodeProcess, path: str) -> None:
        self._process = process
        self._path = path

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        return functools.partial(self._process.call, _BACKEND, f"{self._path}.{name}")


class _Queue(_Remote):
    def starts_at_once(self, flow_id: str) -> bool:
        return bool(self._process.ask(_BACKEND, "queue.starts_at_once", flow_id))

    async def deliveries(self, flow_id: str, **options: Any) -> AsyncGenerator[Any, None]:
        target = await self._process.call(_BACKEND, "queue.deliveries", flow_id, **options)
        try:
            while True:
                yield _Delivery(self._process, *await self._process.call(target, "__anext__"))
        finally:
            await self._process.call(target, "aclose")


class _Delivery:
    def __init__(
        self, process: NodeProcess, target: int, execution_id: str, flow_id: str, fresh: bool, envelope: Any, start: Any
    ) -> None:
        self._process = process
        self._target = target
        self.execution_id = execution_id
        self.flow_id = flow_id
        self.fresh = fresh
        self.envelope = envelope
        self.start = start

    @property
    def current(self) -> bool:
        return bool(self._process.ask(self._target, "current"))

    async def ack(self) -> None:
        await self._process.call(self._target, "ack")

    async def redeliver(self, after: float) -> None:
        await self._process.call(self._target, "redeliver", after)


#: What a membership calls, and what is read of it without waiting.
_LISTENERS: Final = frozenset({"on_lost", "on_cancel", "on_change", "on_drain"})
_READ: Final = frozenset({"node", "held", "current", "alone", "size"})


class _Membership(_Remote):
    def __setattr__(self, name: str, value: Any) -> None:
        if name in _LISTENERS:
            object.__setattr__(self, f"_{name}", self._process.listen(name, value))
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name in _READ:
            return self._process.ask(_BACKEND, f"membership.{name}")
        return super().__getattr__(name)


@cache
def _context() -> ForkServerContext:
    """Processes that have imported the backend already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


async def node_in_process(url: str, name: str) -> Backend:
    """Start a process, and return its backend."""
    process = NodeProcess(url, name)
    await process.open()
    return cast(Backend, process)
