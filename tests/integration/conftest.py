"""What several modules of these tests need."""

from pathlib import Path

import pytest

from tests.integration.engine_harness import Harness


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """Engines over an empty folder."""
    return Harness(tmp_path)
