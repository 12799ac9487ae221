"""Distributions whose plugins misbehave, installed in a folder as pip would lay them out."""

import textwrap
from pathlib import Path

BAD = '''
"""A plugin that does what none should."""

import asyncio
import time
from typing import Annotated

from hookline.api import Connector, Context, hookimpl
from pydantic import AfterValidator

bad = Connector("bad")


class Base(BaseException):
    pass


@bad.action
async def hangs(ctx: Context[None]) -> dict:
    """Never returns."""
    await asyncio.Event().wait()


@bad.action
async def stubborn(ctx: Context[None]) -> dict:
    """Never returns, and takes no notice of its cancellation."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass


@bad.action
async def blocks(ctx: Context[None]) -> dict:
    """Holds the event loop up."""
    time.sleep(2)
    return {}


@bad.action
async def leaks(ctx: Context[None]) -> dict:
    """Leaves a task behind."""
    asyncio.create_task(forever())
    return {}


async def forever() -> None:
    while True:
        await asyncio.sleep(0.05)


@bad.action
async def breaks_its_promise(ctx: Context[None]) -> dict:
    """Gives a list."""
    return [1, 2]


@bad.action
async def gives_no_json(ctx: Context[None]) -> dict:
    """Gives an object of Python's."""
    return {"it": object()}


@bad.action
async def raises(ctx: Context[None], what: str) -> dict:
    """Raises something that is no Exception."""
    raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "base": Base("no")}[what]


@bad.action
async def enormous(ctx: Context[None]) -> dict:
    """Gives more than anybody can keep."""
    return {"text": "x" * 80_000_000}


@bad.action
async def mutates(ctx: Context[None], given: dict) -> dict:
    """Changes what it was given."""
    ctx.message.body["changed"] = given["changed"] = True
    ctx.message.headers["x-changed"] = "1"
    return {}


def judge(value):
    raise SystemExit(6)


@bad.action
async def judges(ctx: Context[None], given: Annotated[str, AfterValidator(judge)]) -> dict:
    """Can't judge what it is given."""
    return {}


@bad.action
async def closes(ctx: Context[None], what: str) -> dict:
    """Closes what is everybody's."""
    await getattr(ctx, what).close()


@hookimpl
def register_connectors():
    return [bad]
'''

RAISES = "raise RuntimeError('no licence')\n"
STUCK = "import time\n\ntime.sleep(3600)\n"


def install(folder: Path, distribution: str, version: str, entry_point: str, source: str) -> None:
    """Lay a distribution with one module out in a folder that is on the path."""
    module = distribution.replace("-", "_")
    (folder / module).mkdir(parents=True)
    (folder / module / "__init__.py").write_text(textwrap.dedent(source), encoding="utf-8")
    about = folder / f"{module}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (about / "entry_points.txt").write_text(f"[hookline]\n{entry_point} = {module}\n")
    (about / "RECORD").write_text(f"{module}/__init__.py,,\n{about.name}/METADATA,,\n{about.name}/RECORD,,\n")


SCHEME = '''
"""A scheme that hangs, or ends what it can."""

from hookline.api import NoSettings, Scheme, hookimpl


class Check:
    def __init__(self, how):
        self.how = how

    def feed(self, chunk):
        pass

    async def finish(self):
        raise {"exit": SystemExit(5), "interrupt": KeyboardInterrupt()}[self.how]


class Ends(Scheme):
    """It ends the process."""

    name = "ends"
    title = "Ends"

    def open(self, request, credential, settings):
        return Check(request.header("x-how"))


@hookimpl
def register_schemes():
    return [Ends()]
'''
