"""The command line as a whole: its commands, its exit codes, how errors are shown."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from hookline.cli.command import Command, problem_line, table
from hookline.cli.main import COMMANDS, main
from hookline.kernel.errors import FlowInvalid, Problem, StepError
from hookline.server_settings import Settings


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_names_every_command_and_imports_none() -> None:
    code = (
        "import sys\n"
        "from hookline.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'rich', 'quart', 'aiohttp', 'sqlalchemy', 'structlog', 'asyncio'}\n"
        "heavy |= {'hookline.server_settings'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
    assert all(name in out for name in COMMANDS)


def all_commands() -> list[tuple[str, click.Command]]:
    found = []
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", one) for inner, one in command.commands.items()]
        else:
            found.append((name, command))
    return found


@pytest.mark.parametrize(("name", "command"), all_commands())
def test_every_command_has_json_and_help(name: str, command: click.Command) -> None:
    assert any("--json" in parameter.opts for parameter in command.params)
    assert command.help
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []
    result = CliRunner().invoke(main, [*name.split(), "--help"])
    assert result.exit_code == 0


def test_the_line_of_a_command_in_help_is_its_docstring_or_shorter() -> None:
    assert set(COMMANDS) >= {"serve", "check", "run", "test", "components", "plugins", "schema"}
    assert all(line.endswith(".") for _, line in COMMANDS.values())


@click.command(cls=Command, settings=("port",))
def failing(as_json: bool, settings: Settings) -> None:
    """Fail as the test says."""
    raise settings_to_error[settings.port]


settings_to_error: dict[int, Exception] = {
    1: FlowInvalid(
        [
            Problem("there is no action x", "/steps/0/use", "unknown", "did you mean y?", file="flows/a.json", line=3),
            Problem("nothing verifies", "/trigger", severity="warning", file="flows/a.json", line=1),
        ]
    ),
    2: StepError("the bank said no", code="http.402"),
}


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(failing, list(arguments))


def test_an_error_is_one_text_on_stderr_and_exit_code_1() -> None:
    result = invoke("--port", "2")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "hookline: the bank said no\n")


def test_every_problem_of_an_invalid_flow_is_a_line_with_its_place_and_remedy() -> None:
    result = invoke("--port", "1")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "flows/a.json:3: /steps/0/use: there is no action x (did you mean y?)",
        "warning: flows/a.json:1: /trigger: nothing verifies",
    ]


def test_with_json_an_error_is_json_with_its_code() -> None:
    result = invoke("--port", "2", "--json")
    assert json.loads(result.stderr) == {"error": {"code": "http.402", "message": "the bank said no", "problems": []}}
    problems = json.loads(invoke("--port", "1", "--json").stderr)["error"]["problems"]
    assert problems[0]["line"] == 3


@pytest.mark.parametrize("arguments", [["--port", "x"], ["--nonsense"], ["--port", "70000"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_wrong_settings_are_wrong_usage_and_name_their_source(directory: Path) -> None:
    (directory / "hookline.toml").write_text("prot = 1\n")
    result = invoke()
    assert result.exit_code == 2
    assert result.stderr == "hookline.toml: there is no server setting prot (did you mean 'port'?)\n"


def test_a_defect_is_not_swallowed() -> None:
    with pytest.raises(KeyError):
        CliRunner().invoke(failing, ["--port", "3"], catch_exceptions=False)


def test_config_names_the_file_with_the_settings(directory: Path) -> None:
    (directory / "other.toml").write_text("prot = 1\n")
    result = CliRunner().invoke(main, ["--config", "other.toml", "executions", "list"])
    assert result.exit_code == 2
    assert "other.toml: there is no server setting prot" in result.stderr


def test_a_place_that_is_not_known_is_left_out() -> None:
    assert problem_line(Problem("it is wrong")) == "it is wrong"
    assert problem_line(Problem("it is wrong", "/a")) == "/a: it is wrong"


def test_a_table_shows_brackets_as_they_are_and_breaks_no_line_when_piped() -> None:
    text = table(("name", "value"), [("[red]a[/red]", "x" * 300)])
    assert "[red]a[/red]" in text
    assert "x" * 300 in text
