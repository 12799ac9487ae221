"""A request and an execution pass through the files that the architecture's page names."""

import re
from pathlib import Path
from typing import Literal

import pytest

from tests.acceptance.walks import trace

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


def stops(walk: str) -> set[str]:
    """The files that docs/architecture.md names in a walk."""
    part = PAGE.read_text(encoding="utf-8").split(f"### {walk}\n")[1].split("\n##")[0]
    return set(re.findall(r"^\| \d+ \| `(.+?)` \|", part, re.M))


@pytest.mark.parametrize("server", ["hypercorn", pytest.param("uvicorn", marks=pytest.mark.long)])
def test_a_message_passes_through_the_files_of_the_walks(
    tmp_path: Path, server: Literal["hypercorn", "uvicorn"]
) -> None:
    walks = trace(tmp_path, server)
    # The queue is a protocol, which a backend implements.
    assert stops("From a request to the 202") - walks.accepting.keys() <= {"storage/queue.py"}
    assert stops("From a delivery to the end") <= walks.running.keys()
