"""`hookline new`: what it writes is right, and nothing is overwritten."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from hookline.cli.main import main


def test_nothing_is_overwritten_and_then_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = tmp_path / "hookline-my_erp" / "README.md"
    kept.parent.mkdir()
    kept.write_text("mine")
    done = CliRunner().invoke(main, ["new", "plugin", "my_erp"])
    assert (done.exit_code, kept.read_text()) == (2, "mine")
    assert [path for path in kept.parent.iterdir() if path != kept] == []
    assert CliRunner().invoke(main, ["new", "plugin", "my_erp", "--folder", "other"]).exit_code == 0
    source = (tmp_path / "other" / "hookline_my_erp" / "__init__.py").read_text()
    assert 'title="My Erp"' in source


@pytest.mark.parametrize("use", [None, "http.request", "log"])
def test_a_flow_is_right_and_its_case_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str | None) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = [] if use is None else ["--use", use]
    assert CliRunner().invoke(main, ["new", "flow", "orders", *chosen]).exit_code == 0
    for command in ("check", "test", "fmt --check"):
        done = CliRunner().invoke(main, command.split())
        assert done.exit_code == 0, done.output
    assert CliRunner().invoke(main, ["new", "flow", "orders"]).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["plugin", "Acme-1"],
        ["plugin", "../x"],
        ["plugin", "slack"],
        ["plugin", "csv"],
        ["plugin", "twilio"],
        ["flow", "A b"],
    ],
)
def test_a_name_that_can_not_be_one_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["new", *arguments]).exit_code == 2
    assert list(tmp_path.iterdir()) == []
