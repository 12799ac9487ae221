"""The folder of a deployment, with what may be in it besides flows."""

import os
from pathlib import Path

import pytest

from hookline.cli.deploy.folder import read_folder
from hookline.kernel.errors import FlowInvalid

FLOW = '{"id": "f", "trigger": {"use": "manual"}, "steps": []}'


@pytest.mark.parametrize("name", ["f.json", "f.test.json"])
def test_a_pipe_is_told_and_not_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "f.json").write_text(FLOW)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(FlowInvalid) as raised:
        read_folder(tmp_path)
    assert [(problem.file, problem.message) for problem in raised.value.problems] == [
        (str(tmp_path / name), "it can't be read: it is a pipe or a device")
    ]


def test_cases_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(FLOW)
    (tmp_path / "f.test.json").mkdir()
    with pytest.raises(FlowInvalid) as raised:
        read_folder(tmp_path)
    assert [problem.file for problem in raised.value.problems] == [str(tmp_path / "f.test.json")]
