"""Actions and triggers that run without an engine."""

from collections.abc import AsyncIterator

import pytest

from hookline.discovery.discover import discover
from hookline.testing.harness import Harness


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    made = Harness(discover())
    yield made
    await made.close()
