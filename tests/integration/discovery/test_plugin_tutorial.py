"""The commands of docs/tutorial/plugin.md make a plugin, install it, and try out a flow that uses it."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "tutorial" / "plugin.md"


def commands() -> list[list[str]]:
    """The first block of commands on the page."""
    found = re.search(r"(?:^    .+\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return [shlex.split(line) for line in found[0].splitlines()]


def run(folder: Path, *command: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}
    path = {"PYTHONPATH": str(folder / "installed")}
    done = subprocess.run(
        command, cwd=folder, env=clean | path, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_tutorials_commands_lead_from_nothing_to_a_flow_that_runs(tmp_path: Path) -> None:
    assert 2 <= len(commands()) <= 4
    for program, *arguments in commands():
        if program == "pip":
            # What it takes is here already, and installing it must leave this environment as it is.
            where = ["--no-deps", "--quiet", "--target", str(tmp_path / "installed")]
            run(tmp_path, sys.executable, "-m", "pip", *[one for one in arguments if one != "-e"], *where)
        else:
            run(tmp_path, sys.executable, "-m", "hookline.cli.main", *arguments)
    examined = json.loads(
        run(tmp_path, sys.executable, "-m", "hookline.cli.main", "plugins", "doctor", "acme", "--json")
    )
    assert [(plugin["name"], plugin["findings"]) for plugin in examined] == [("acme", [])]
    listed = json.loads(run(tmp_path, sys.executable, "-m", "hookline.cli.main", "plugins", "--no-import", "--json"))
    (given,) = [plugin["gives"]["connectors"] for plugin in listed if plugin["name"] == "acme"]
    assert [(connector["name"], connector["quality"]) for connector in given] == [("acme", "gold")]
    flow = json.loads((tmp_path / "flows" / "orders.json").read_text())
    assert flow["steps"][0]["use"] == "acme.create_order"
    (tmp_path / "flows" / "orders.json").write_text(json.dumps(flow).replace('"sku": ', '"skuu": '))
    with pytest.raises(AssertionError, match=r"did you mean .sku"):
        run(tmp_path, sys.executable, "-m", "hookline.cli.main", "check")
    (tmp_path / "hookline-acme" / "installed").symlink_to(tmp_path / "installed")
    tests = run(tmp_path / "hookline-acme", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in tests
