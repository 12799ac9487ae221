"""The README's first command, with what is installed here."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli.terminal import in_terminal
from tests.ports import free_port


@pytest.mark.promise(1)
def test_the_demo_books_the_payment_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hookline.cli.main", "demo", "--once", "--port", str(free_port())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "202" in done.stdout
    assert "succeeded" in done.stdout
    assert "duplicate" in done.stdout
    commands = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("hookline ")]
    assert [command[1:3] for command in commands] == [["executions", "list"], ["executions", "show"], ["flows", "show"]]
    for _, *arguments in commands:
        shown = in_terminal(tmp_path, *arguments)
        assert (shown.code, "paypal-to-accounting" in shown.text) == (0, True), shown.text
