"""The process that checks bodies against schemas: `python -m hookline.intake.checking_process`.

A check holds the interpreter's lock, and a sender can make it take long: here it doesn't block the event loop. The
process has a memory limit, and a check that takes too much processor time ends it.
"""

import signal
import sys
from typing import Final, Literal, TypeAlias

import msgspec

from hookline.flows.schemas.body_schema import BodySchema, compile_schema, problems_of
from hookline.kernel.errors import Problem
from hookline.kernel.json import DECIMALS, FLOATS
from hookline.plugin_host.process_pool import limit_memory, prepare_process, serve

MODULE: Final = "hookline.intake.checking_process"
SECONDS: Final = 1.0
"""The most seconds of processor time for one check."""
MEMORY: Final = 1 << 30
"""The most bytes of memory of the process."""
_COMPILING: Final = 60.0
"""The most seconds of processor time to compile the schema and to read the bodies."""
_KEPT: Final = 4_000_000
"""The most bytes of JSON of the schemas that are kept compiled. Compiled, they take several times as much memory."""


class Check(msgspec.Struct, frozen=True, array_like=True):
    """A request to check bodies."""

    schema: bytes
    """Its JSON."""
    bodies: bytes
    """The JSON of a list."""
    exact: bool
    """Fractions are Decimals."""
    wanted: Literal["validity", "all problems", "first problem"]


Found: TypeAlias = list[tuple[int, Problem]] | bool | str | None
"""The problems, each with the index of its body, or whether all bodies are valid; a text describes an unexpected error.
None: there is too little memory."""


NO_MEMORY: Final = msgspec.msgpack.encode(None)


def work(job: bytes) -> bytes:
    """Do a packed `Check`, and return the packed `Found`."""
    try:
        return msgspec.msgpack.encode(_check(msgspec.msgpack.decode(job, type=Check)))
    except MemoryError:
        return NO_MEMORY
    except Exception as error:  # noqa: BLE001 - the server reports it
        return msgspec.msgpack.encode(f"{type(error).__name__}: {error}")
    finally:
        _limit_time(0)


def _check(check: Check) -> Found:
    _limit_time(_COMPILING)
    schema = _compiled(check.schema)
    bodies = (DECIMALS if check.exact else FLOATS).read(check.bodies)
    _limit_time(SECONDS)
    found: Found
    if check.wanted == "validity":
        found = all(map(schema.accepts, bodies))
    elif check.wanted == "first problem":
        found = next(([(index, one)] for index, body in enumerate(bodies) for one in schema.first_problem(body)), [])
    else:
        found = list(problems_of(schema, bodies))
    return found


def _limit_time(seconds: float) -> None:
    """Let the process end after so many seconds of processor time from now on. 0 removes the limit."""
    # Nothing handles the signal, so it ends the process, whatever it is doing.
    signal.setitimer(signal.ITIMER_PROF, seconds)


_kept: Final[dict[bytes, BodySchema]] = {}


def _compiled(document: bytes) -> BodySchema:
    schema = _kept.pop(document, None)
    if schema is None:
        schema, problems = compile_schema(FLOATS.read_object(document))
        if schema is None:
            raise ValueError(f"the server has compiled this schema, but here it is invalid: {problems}")
    _kept[document] = schema
    size = sum(map(len, _kept))
    while size > _KEPT and len(_kept) > 1:
        oldest = next(iter(_kept))
        size -= len(oldest)
        del _kept[oldest]
    return schema


def main() -> None:
    """Check bodies until the input ends. The argument: the folder for files."""
    with prepare_process(sys.argv[1]) as results:
        limit_memory(MEMORY)
        serve(results, work)


if __name__ == "__main__":
    main()
