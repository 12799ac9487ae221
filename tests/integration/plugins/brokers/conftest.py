"""Actions and triggers that run without an engine."""

from collections.abc import AsyncIterator

import pytest

from hookline.discovery.plugin_loader import load_plugins
from hookline.testing.connector_harness import Harness


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    made = Harness(load_plugins())
    yield made
    await made.close()
