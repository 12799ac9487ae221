"""The README's first command, with what is installed here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli.terminal import in_terminal
from tests.ports import free_port


@pytest.mark.promise(1)
def test_the_demo_books_the_payment_once(tmp_path: Path) -> None:
    # As the README has it: a shell doesn't find the program by its name alone.
    program = str(Path(sys.executable).with_name("hookline"))
    command = [program, "demo", "--once", "--port", str(free_port())]
    without = {**os.environ, "PATH": os.defpath}
    done = subprocess.run(command, cwd=tmp_path, env=without, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "202" in done.stdout
    assert "succeeded" in done.stdout
    assert "duplicate" in done.stdout
    commands = [line.split() for line in done.stdout.splitlines() if line.strip().startswith(f"{program} ")]
    assert [command[1:3] for command in commands] == [["executions", "list"], ["executions", "show"], ["flows", "show"]]
    for _, *arguments in commands:
        shown = in_terminal(tmp_path, *arguments)
        assert (shown.code, "paypal-to-accounting" in shown.text) == (0, True), shown.text
