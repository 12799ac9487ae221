"""Checks bodies by the schemas of flows."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

import msgspec

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.schemas.body_schema import BodySchema
from hookline.intake.checking_process import MODULE, NO_MEMORY, SECONDS, Check, Found
from hookline.kernel.errors import Problem, SchemaViolation, ServiceUnavailable
from hookline.kernel.json import encode_in_pieces, is_heavy_value
from hookline.plugin_host.large_value_work import Offloader
from hookline.plugin_host.process_pool import PoolClosed, ProcessEnded, ProcessPool

PATIENCE: Final = 20.0
"""Seconds for which a check waits for its turn."""
_CHECKS: Final = 2
"""Checks at the same time."""
_WALL: Final = 120.0
"""Seconds after which a process is ended that got no processor time."""
_AGAIN: Final = 1.0
"""Seconds between attempts to start a process."""
_TRIES: Final = 3
"""The number of processes for one check. Each may have been ended by somebody else, or have kept too much in memory."""
_TOO_LONG: Final = Problem(
    f"checking this body by the schema takes more than {SECONDS:g} s of processor time, or too much memory",
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
    """Checks bodies in this process, however long that takes: for simulations and tests."""

    async def check(self, flow: CompiledFlow, body: Any, *, patience: float | None = PATIENCE) -> None:
        """Raise SchemaViolation, with every problem, if a body doesn't satisfy the flow's schema.

        Raises ServiceUnavailable as `problems`.
        """
        if flow.schema is not None and (
            found := await self.problems(flow.schema, (body,), exact=flow.exact, patience=patience)
        ):
            raise SchemaViolation(problems=[problem for _, problem in found])

    async def problems(
        self, schema: BodySchema, bodies: Sequence[Any], *, exact: bool, patience: float | None = PATIENCE
    ) -> list[tuple[int, Problem]]:
        """Return the problems of bodies, each with the place of its body in the list. `exact`: fractions are Decimals.

        Raises ServiceUnavailable if its turn doesn't come within `patience` seconds; None: it waits as long as needed.
        """
        return [(place, problem) for place, body in enumerate(bodies) for problem in schema.problems(body)]

    async def close(self) -> None:
        """End what it uses."""


class SeparateBodyChecker(BodyChecker):
    """Checks bodies for which that may take more than a few milliseconds in processes of their own.

    So no body delays the messages of other flows. A flow has one check at a time: if its bodies take long, the others
    still have a process.
    """

    def __init__(self) -> None:
        self._processes: Final = ProcessPool(
            MODULE, name="hookline schema", seconds=_WALL, most_jobs=10_000, last_result=NO_MEMORY
        )
        self._offloader: Final = Offloader()
        self._places: Final = asyncio.Semaphore(_CHECKS)
        self._turns: Final[WeakKeyDictionary[BodySchema, asyncio.Lock]] = WeakKeyDictionary()

    async def problems(
        self, schema: BodySchema, bodies: Sequence[Any], *, exact: bool, patience: float | None = PATIENCE
    ) -> list[tuple[int, Problem]]:
        """See `BodyChecker.problems`."""
        if schema.surely_accepts(*bodies):
            return []
        listed = list(bodies)
        packed = await self._offloader.run(partial(encode_in_pieces, listed), large=is_heavy_value(listed))
        async with self._turn(schema, patience):
            ask = partial(self._ask, schema.document, packed, exact, patience)
            valid = await ask("validity")
            if valid is None:
                return [(0, _TOO_LONG)]
            if valid:
                return []
            found = await ask("all problems") or await ask("first problem")
        return found if isinstance(found, list) and found else [(0, _NOT_LOCATED)]

    @asynccontextmanager
    async def _turn(self, schema: BodySchema, patience: float | None) -> AsyncIterator[None]:
        turn = self._turns.setdefault(schema, asyncio.Lock())
        try:
            async with asyncio.timeout(patience) as limit, turn, self._places:
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
        """None: it takes too long, or too much memory."""
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
        memory = False
        for _ in range(_TRIES):
            try:
                found = _found.decode(await self._processes.exchange(job))
            except TimeoutError:
                return None
            except ProcessEnded as ended:
                if ended.code == -signal.SIGPROF:
                    return None
                memory = ended.code == -signal.SIGABRT
            else:
                match found:
                    case None:
                        memory = True
                    case str():
                        raise RuntimeError(f"the check of a body has failed: {found}")
                    case _:
                        return found
        if memory:
            return None
        raise ServiceUnavailable("the process that checks the body has ended; try again soon", retry_after=1)

    async def close(self) -> None:
        """End the processes."""
        await self._processes.close()
