"""The README's first command, with what is installed here."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_port


@pytest.mark.promise(1)
def test_the_demo_books_the_payment_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hookline.cli.main", "demo", "--once", "--port", str(free_port())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "202" in done.stdout
    assert "succeeded" in done.stdout
    assert "duplicate" in done.stdout
