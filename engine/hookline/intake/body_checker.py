"""The check of bodies against the schemas of flows."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

import msgspec

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.schemas.body_schema import BodySchema, problems_of
from hookline.intake.checking_process import MODULE, NO_MEMORY, SECONDS, Check, Found
from hookline.kernel.errors import Problem, SchemaViolation, ServiceUnavailable
from hookline.kernel.json import encode_in_pieces, is_heavy_value
from hookline.plugin_host.large_value_work import Offloader
from hookline.plugin_host.process_pool import PoolClosed, ProcessEnded, ProcessPool

PATIENCE: Final = 20.0
"""Seconds for which the check of a request waits for its turn."""
_CHECKS: Final = 2
"""The most checks at the same time."""
_WALL: Final = 120.0
"""Seconds of wall time after which a check is given up: the processor is too busy to finish it."""
_AGAIN: Final = 1.0
"""Seconds between attempts to start a process."""
_TRIES: Final = 3
"""The most processes that are tried for one answer: somebody may end one, or it may already hold too much memory."""
_TOO_LONG: Final = Problem(
    f"checking this body against the schema takes more than {SECONDS:g} s of processor time, or too much memory",
    code="schema.too_long",
    remedy="send it in parts, or make the schema simpler: patterns, `uniqueItems`, `enum`, `const` and `multipleOf`"
    " take longest, and each branch of `anyOf` and `oneOf` counts",
)
_NOT_LOCATED: Final = Problem(
    "the body doesn't satisfy the schema; finding the place takes too long",
    code="schema.not_located",
    remedy="send a smaller part of it to see what is wrong",
)
_found: Final = msgspec.msgpack.Decoder[Found](Found)


class BodyChecker:
    """The check of bodies in this process, however long it takes: for tests, and simulations without an engine."""

    async def check(self, flow: CompiledFlow, body: Any, *, patience: float | None = PATIENCE) -> None:
        """Raise SchemaViolation, with what `problems` returns, if a body doesn't satisfy the flow's schema.

        Raises ServiceUnavailable as `problems` does.
        """
        if flow.schema is not None and (
            found := await self.problems(flow.schema, (body,), exact=flow.exact, patience=patience)
        ):
            raise SchemaViolation(problems=[problem for _, problem in found])

    async def problems(
        self, schema: BodySchema, bodies: Sequence[Any], *, exact: bool, patience: float | None = PATIENCE
    ) -> list[tuple[int | None, Problem]]:
        """Return the problems of bodies, each with the index of its body; None if that isn't known.

        `exact`: fractions are Decimals. `patience`: the seconds to wait for a turn; None: as long as needed. Raises
        ServiceUnavailable when they have passed, or if no process can run.
        """
        return list(problems_of(schema, bodies))

    async def close(self) -> None:
        """Release the processes that it uses."""


class SeparateBodyChecker(BodyChecker):
    """The check of bodies in the event loop if it is surely short, otherwise in separate processes.

    So no body blocks the event loop. Each version of a flow has one check at a time in these processes: if its bodies
    take long, other flows still have a process.
    """

    def __init__(self) -> None:
        self._processes: Final = ProcessPool(
            MODULE, name="hookline schema", seconds=_WALL, most_jobs=10_000, last_result=NO_MEMORY
        )
        self._offloader: Final = Offloader()
        self._slots: Final = asyncio.Semaphore(_CHECKS)
        self._turns: Final[WeakKeyDictionary[BodySchema, asyncio.Lock]] = WeakKeyDictionary()

    async def problems(
        self, schema: BodySchema, bodies: Sequence[Any], *, exact: bool, patience: float | None = PATIENCE
    ) -> list[tuple[int | None, Problem]]:
        """See `BodyChecker.problems`."""
        if schema.surely_accepts(*bodies):
            return []
        listed = list(bodies)
        packed = await self._offloader.run(partial(encode_in_pieces, listed), large=is_heavy_value(listed))
        async with self._turn(schema, patience):
            ask = partial(self._ask, schema.document, packed, exact, patience)
            valid = await ask("validity")
            if valid is None:
                return [(None, _TOO_LONG)]
            if valid:
                return []
            found = await ask("all problems") or await ask("first problem")
        return [*found] if isinstance(found, list) and found else [(None, _NOT_LOCATED)]

    @asynccontextmanager
    async def _turn(self, schema: BodySchema, patience: float | None) -> AsyncIterator[None]:
        turn = self._turns.setdefault(schema, asyncio.Lock())
        try:
            async with asyncio.timeout(patience) as limit, turn, self._slots:
                limit.reschedule(None)
                yield
        except TimeoutError:
            raise ServiceUnavailable("other bodies are being checked; try again soon", retry_after=1) from None

    async def _ask(
        self,
        schema: bytes,
        bodies: bytes,
        exact: bool,
        patience: float | None,
        wanted: Literal["validity", "all problems", "first problem"],
    ) -> Found:
        """Return the answer of a process; None if it takes too long or too much memory."""
        job = msgspec.msgpack.encode(Check(schema, bodies, exact, wanted))
        while True:
            try:
                return await self._exchange(job)
            except PoolClosed:
                raise
            except ServiceUnavailable:
                if patience is not None:
                    raise
                await asyncio.sleep(_AGAIN)

    async def _exchange(self, job: bytes) -> Found:
        out_of_memory = False
        for _ in range(_TRIES):
            try:
                found = _found.decode(await self._processes.exchange(job))
            except TimeoutError:
                raise ServiceUnavailable("the check of the body got too little time", retry_after=5) from None
            except ProcessEnded as ended:
                if ended.code == -signal.SIGPROF:
                    return None
                out_of_memory = ended.code == -signal.SIGABRT
            else:
                match found:
                    case None:
                        out_of_memory = True
                    case str():
                        raise RuntimeError(f"the check of a body has failed: {found}")
                    case _:
                        return found
        if out_of_memory:
            return None
        raise ServiceUnavailable("the process that checks the body has ended; try again soon", retry_after=1)

    async def close(self) -> None:
        """End the processes."""
        await self._processes.close()
