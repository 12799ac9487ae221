"""Two engines on one PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.integration.engine_harness import KEYS

from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions, Role


@asynccontextmanager
async def two_engines(
    folder: Path, database: str, roles: Sequence[Role] = ("all", "all")
) -> AsyncIterator[list[Engine]]:
    """Engines named `one` and `other`, over the flows in a folder. Each knows of the other."""
    registry = load_plugins()
    async with AsyncExitStack() as stack:
        made = []
        for name, role in zip(("one", "other"), roles, strict=True):
            options = EngineOptions(
                db=database,
                blobs=f"file://{folder}/blobs",
                flows=folder / "flows",
                secret_keys=KEYS,
                node_name=name,
                role=role,
                watch=False,
            )
            made.append(await stack.enter_async_context(Engine(registry, options)))
        yield made
