"""The contract of blob stores, over a directory, and what is special to it."""

from pathlib import Path

import pytest

from hookline.ports import Blobs
from hookline.testing.clock import ManualClock
from hookline.testing.contract_blobs import BlobsContract
from hookline_blobs.directory import file_blobs


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def blobs(tmp_path: Path, clock: ManualClock) -> Blobs:
    return file_blobs(f"file://{tmp_path}/blobs", clock=clock)


class TestDirectoryBlobs(BlobsContract):
    pass
