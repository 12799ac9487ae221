"""`hookline credentials` without a server: values from the line, files and standard input; secrets stay secret."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from hookline.cli.main import main
from hookline.cli.operate.credentials import read_values

SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hookline(*arguments: str, input: str | None = None) -> Any:
    return CliRunner().invoke(main, ["credentials", *arguments], input=input, catch_exceptions=False)


def listed() -> list[dict[str, Any]]:
    result = hookline("list", "--json")
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_a_value_comes_from_the_line_a_file_or_standard_input(directory: Path) -> None:
    (directory / "key.pem").write_text("line 1\nline 2\n")
    assert read_values(["a=1=2", "b=@key.pem", "c="]) == {"a": "1=2", "b": "line 1\nline 2", "c": ""}
    result = hookline("set", "gh", "--type", "github", "secret=-", input=SECRET + "\n")
    assert result.exit_code == 0, result.stderr


def test_a_repeated_key_makes_a_list() -> None:
    assert read_values(["s=a", "s=b", "s=c", "t=d"]) == {"s": ["a", "b", "c"], "t": "d"}


@pytest.mark.parametrize("pairs", [["hunter2"], ["=hunter2"], ["a=-", "b=-"], ["a=@/nowhere/at/all"]])
def test_what_is_no_value_is_wrong_usage_and_shows_no_value(pairs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("hunter2"))
    with pytest.raises(click.UsageError) as caught:
        read_values(pairs)
    assert "hunter2" not in caught.value.message


def test_a_credential_is_set_listed_replaced_and_deleted() -> None:
    assert hookline("set", "gh", "--type", "github", f"secret={SECRET}").exit_code == 0
    (one,) = listed()
    assert (one["name"], one["type"], one["problem"]) == ("gh", "github", None)
    assert hookline("set", "gh", "--type", "basic", "username=u", f"password={SECRET}").exit_code == 0
    assert [found["type"] for found in listed()] == ["basic"]
    assert hookline("delete", "gh").exit_code == 0
    assert listed() == []
    result = hookline("delete", "gh")
    assert result.exit_code == 1
    assert "there is no credential 'gh'" in result.stderr


@pytest.mark.rule(34)
def test_the_key_is_a_file_of_mode_0600_beside_the_database(directory: Path) -> None:
    hookline("set", "gh", "--type", "github", f"secret={SECRET}")
    key = directory / ".hookline" / "secret.key"
    assert key.stat().st_mode & 0o777 == 0o600
    files = [path for path in (directory / ".hookline").rglob("*") if path.is_file()]
    assert all(SECRET.encode() not in path.read_bytes() for path in files)


@pytest.mark.rule(34)
def test_a_lost_key_is_not_replaced_without_being_told(directory: Path) -> None:
    hookline("set", "gh", "--type", "github", f"secret={SECRET}")
    key = directory / ".hookline" / "secret.key"
    key.rename(directory / "aside")
    lost = hookline("list")
    assert lost.exit_code == 1
    assert "1 credential (gh)" in lost.stderr
    assert "hookline credentials new-key" in lost.stderr
    assert not key.exists(), "with a new key there, the next start would say nothing"
    (directory / "aside").rename(key)
    assert listed()[0]["problem"] is None
    assert hookline("new-key").exit_code == 2
    key.unlink()
    assert hookline("new-key").exit_code == 0
    assert "is encrypted with the key" in listed()[0]["problem"]
    hookline("set", "gh", "--type", "github", f"secret={SECRET}")
    assert listed()[0]["problem"] is None


@pytest.mark.rule(34)
def test_the_setting_may_hold_several_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ("A" * 42 + "A", "B" * 42 + "A")
    monkeypatch.setenv("HOOKLINE_SECRET_KEY", first)
    assert hookline("set", "gh", "--type", "github", f"secret={SECRET}").exit_code == 0
    monkeypatch.setenv("HOOKLINE_SECRET_KEY", f"{second},{first}")
    assert listed()[0]["problem"] is None
    monkeypatch.setenv("HOOKLINE_SECRET_KEY", second)
    assert "is encrypted with the key" in listed()[0]["problem"]
    lacking = hookline("set", "gh", "--type", "github", f"secret={SECRET}")
    assert lacking.exit_code == 1
    assert "this node lacks 1 key that encrypts what is stored" in lacking.stderr
    assert hookline("new-key").exit_code == 0
    hookline("set", "gh", "--type", "github", f"secret={SECRET}")
    assert listed()[0]["problem"] is None


@pytest.mark.rule(34)
def test_rotating_encrypts_with_the_first_key(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ("A" * 42 + "A", "B" * 42 + "A")
    monkeypatch.setenv("HOOKLINE_SECRET_KEY", first)
    assert hookline("set", "gh", "--type", "github", f"secret={SECRET}").exit_code == 0
    assert hookline("rotate").exit_code == 2
    monkeypatch.setenv("HOOKLINE_SECRET_KEY", f"{second},{first}")
    assert json.loads(hookline("rotate", "--master", "--json").stdout) == {"rotated": 1, "retired": True, "pending": []}
    assert json.loads(hookline("rotate", "--master", "--json").stdout) == {"rotated": 0, "retired": True, "pending": []}
    monkeypatch.setenv("HOOKLINE_SECRET_KEY", second)
    assert listed()[0]["problem"] is None


def test_a_secret_is_never_printed() -> None:
    results = [
        hookline("set", "gh", "--type", "github", f"secret={SECRET}"),
        hookline("set", "gh", "--type", "github", f"secret={SECRET}", "--json"),
        hookline("set", "gh", "--type", "github", f"sekret={SECRET}"),
        hookline("set", "gh", "--type", "githb", f"secret={SECRET}", "--json"),
        hookline("list"),
        hookline("list", "--json"),
    ]
    assert [result.exit_code for result in results] == [0, 0, 1, 1, 0, 0]
    assert all(SECRET not in result.output for result in results)


def test_every_problem_of_a_credential_is_a_line() -> None:
    result = hookline("set", "gh", "--type", "basic", "user=u", "password=")
    assert result.exit_code == 1
    assert {line.partition(":")[0] for line in result.stderr.splitlines()} >= {"/user", "/username"}


def test_flows_and_hosts_are_set_shown_and_changed_alone() -> None:
    limits = ("--flow", "billing-*", "--flow", "refunds", "--host", "api.example.com")
    assert hookline("set", "bank", "--type", "bearer", f"token={SECRET}", *limits).exit_code == 0
    (one,) = listed()
    assert (one["flows"], one["hosts"]) == (["billing-*", "refunds"], ["api.example.com"])
    assert "billing-*, refunds" in hookline("list").stdout
    changed = hookline("set", "bank", "--host", "*.example.com")
    assert changed.exit_code == 0, changed.stderr
    assert "credential bank of type bearer is changed" in changed.stdout
    assert "hosts: *.example.com" in hookline("show", "bank").stdout
    assert hookline("set", "bank", "token=another-hunter2").exit_code == 0
    (one,) = listed()
    assert (one["flows"], one["hosts"]) == (["billing-*", "refunds"], ["*.example.com"])
    assert hookline("set", "bank").exit_code == 2
    assert hookline("set", "nobody", "--host", "x").exit_code == 1
    assert hookline("set", "bank", "--type", "bearer", f"token={SECRET}", "--flow", "a b").exit_code == 1
