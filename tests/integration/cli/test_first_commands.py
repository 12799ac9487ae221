"""A newcomer's first commands, in a terminal of 80 columns."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.integration.cli.terminal import in_terminal

import hookline.cli.operate.executions
import hookline.cli.options_from_settings
import hookline.service.admin  # noqa: F401 - so that no command imports it anew
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.flows.authoring.formatter import format_flow
from hookline.kernel.clocks import SystemClock
from hookline.kernel.ids import Ids
from hookline.model.access import SYSTEM
from hookline.model.execution import FINAL
from hookline.model.message import Message
from hookline.secrets.encryption import load_or_create_key

FLOW = "orders-to-the-warehouse"
PARTS = [
    {"id": "right", "use": "fail", "if": "$.body.wrong", "with": {"code": "order.wrong", "message": "no article"}},
    {"id": "told", "use": "map", "with": {"body": {"done": True}}},
]


def document(*steps: object) -> dict[str, object]:
    return {"id": FLOW, "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": list(steps)}


BROKEN = document(
    {
        "id": "stop",
        "use": "fail",
        "with": {"code": "order.wrong", "message": "the article of this order is not known " * 3},
    }
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[str]]:
    """A folder in which a server has run, and its failed executions."""
    folder = tmp_path_factory.mktemp("newcomer") / "project"
    (folder / "flows").mkdir(parents=True)
    (folder / "flows" / f"{FLOW}.json").write_text(format_flow(BROKEN), encoding="utf-8")
    (folder / ".hookline").mkdir()
    keys = load_or_create_key(folder / ".hookline" / "secret.key")
    options = EngineOptions(
        f"sqlite:///{folder}/.hookline/hookline.db", f"file://{folder}/blobs", folder / "flows", keys, watch=False
    )

    async def ended(engine: Engine, execution_id: str) -> bool:
        found = await engine.store.execution(execution_id)
        return found is not None and found.state in FINAL

    async def fail() -> list[str]:
        ids: list[str] = []
        async with Engine(load_plugins(), options) as engine:
            for number in range(3):
                ids.append(engine.ids.new())
                await engine.intake.start(
                    engine.intake.flow(FLOW), Message({"n": number}, {}), execution_id=ids[-1], by=SYSTEM
                )
            for one in ids:
                while not await ended(engine, one):  # noqa: ASYNC110 - the store tells nobody
                    await asyncio.sleep(0.01)
        return ids

    return folder, asyncio.run(fail())


def test_executions_are_listed_in_80_columns_with_short_ids(project: tuple[Path, Sequence[str]]) -> None:
    folder, ids = project
    shown = in_terminal(folder, "executions", "list")
    assert shown.code == 0
    assert max(map(len, shown.lines)) <= 80
    head, *rows = shown.lines
    assert head.split() == ["id", "flow", "state", "outcome", "accepted"]
    listed = [line.split() for line in rows if not line.startswith("    ")]
    assert [one[0] for one in listed] == [one[-8:] for one in reversed(ids)]
    assert {(flow, state, outcome) for _, flow, state, outcome, _ in listed} == {(FLOW, "failed", "failed")}
    assert " ".join(shown.text.split()).count("the article of this order") == 9


def test_a_wide_terminal_and_a_narrow_one_break_no_id(project: tuple[Path, Sequence[str]]) -> None:
    folder, ids = project
    for columns in (50, 200):
        shown = in_terminal(folder, "executions", "list", columns=columns)
        assert all(shown.text.count(one[-8:]) == 1 for one in ids)
        assert shown.text.count(FLOW) == 3


@pytest.mark.parametrize("part", [slice(-8, None), slice(-12, None), slice(0, 35)])
def test_an_execution_is_shown_by_its_last_or_first_characters(
    project: tuple[Path, Sequence[str]], part: slice
) -> None:
    folder, ids = project
    shown = in_terminal(folder, "executions", "show", ids[1][part])
    assert (shown.code, shown.lines[0].split()[:2]) == (0, ["execution", ids[1]])


def test_a_short_id_of_several_executions_lists_them(project: tuple[Path, Sequence[str]]) -> None:
    folder, ids = project
    shown = in_terminal(folder, "executions", "show", ids[0][:6])
    assert shown.code == 1
    assert all(one[-8:] in shown.text for one in ids)
    assert "several" in shown.text
    for unknown in ("ffffffff", "not-an-id", "7"):
        missing = in_terminal(folder, "executions", "show", unknown)
        assert (missing.code, unknown in missing.text) == (1, True)


def test_an_execution_is_repaired_by_a_short_id(project: tuple[Path, Sequence[str]]) -> None:
    folder, ids = project
    short = ids[2][-8:]
    repaired = in_terminal(folder, "executions", "retry", short)
    assert (repaired.code, repaired.text.strip()) == (0, f"{ids[2]} retried")
    assert "failed" not in in_terminal(folder, "executions", "show", short).lines[1]
    replayed = in_terminal(folder, "executions", "replay", ids[0][-8:])
    assert replayed.code == 0
    new = replayed.text.split()[-1]
    of = in_terminal(folder, "executions", "list", "--replay-of", ids[0][-8:])
    assert of.lines[1].split()[0] == new[-8:]
    assert in_terminal(folder, "executions", "replay", "--all", "--replay-of", ids[0][-8:]).code == 0
    of = in_terminal(folder, "executions", "list", "--replay-of", new[-8:])
    assert len(of.lines) == 2, "the execution that was replayed, and no other one, has another replay"
    assert in_terminal(folder, "executions", "cancel", short, "--json").code == 0
    # It has ended, so it isn't moved; but it is found.
    moved = in_terminal(folder, "executions", "move", ids[0][-8:], "--to", "current")
    assert (moved.code, "there is no execution" in moved.text) == (1, False), moved.text


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("executions resume {} stop", "no step 'stop' of execution {} waits"),
        ("executions release {}", "execution {} has released its order key"),
        ("executions explain {} steps.stop.body", 'steps.stop.body = {{"n":1}}'),
        ("test --from-execution {}", '"input": {{"body": {{"n": 1}}}}'),
        ("executions discard {}", "{} discarded"),
    ],
)
def test_each_command_about_one_execution_finds_it_by_a_short_id(
    project: tuple[Path, Sequence[str]], command: str, said: str
) -> None:
    folder, ids = project
    shown = in_terminal(folder, *command.format(ids[1][-8:]).split(), columns=200)
    assert said.format(ids[1]) in shown.text


def test_the_audit_of_an_execution_is_found_by_a_short_id(project: tuple[Path, Sequence[str]]) -> None:
    folder, ids = project
    in_terminal(folder, "executions", "release", ids[0])
    for also in ((), ("--export",)):
        shown = in_terminal(folder, "audit", "--subject", ids[0][-8:], *also, columns=200)
        assert "execution.release" in shown.text
    assert "execution.release" not in in_terminal(folder, "audit", "--subject", "nobody", columns=200).text


READING = [
    "executions list",
    "executions show ffffffff",
    "executions retry ffffffff",
    "executions explain ffffffff body.a",
    "dead-letters list",
    "dead-letters show a:b",
    "rejected",
    "attention",
    "storage",
    "state list orders",
    "state set orders a 1",
    "flows list",
    "flows show orders",
    "flows versions orders",
    "flows pause orders",
    "credentials list",
    "backtest orders",
    "db status",
    "db upgrade",
    "db copy --to postgresql://127.0.0.1:1/x",
]


@pytest.mark.parametrize("command", READING)
def test_a_wrong_folder_is_named_and_nothing_is_created_in_it(tmp_path: Path, command: str) -> None:
    shown = in_terminal(tmp_path, *command.split())
    text = " ".join(shown.text.split())
    assert shown.code == 2, shown.text
    assert ".hookline/hookline.db" in text
    assert str(tmp_path) in text.replace(" ", "")
    assert "--db" in text
    assert list(tmp_path.iterdir()) == []


def test_the_message_about_a_wrong_folder_names_the_databases_in_it(project: tuple[Path, Sequence[str]]) -> None:
    folder, ids = project
    shown = in_terminal(folder.parent, "executions", "list")
    (command,) = [line.strip() for line in shown.lines if line.strip().startswith("--db")]
    assert ids[0][-8:] in in_terminal(folder.parent, "executions", "list", *command.split()).text


BY_FLOW = [
    "executions list --flow",
    "executions retry --all --flow",
    "audit --flow",
    "dead-letters list --flow",
    "rejected",
    "state list",
    "state get {} key",
    "state set {} key 1",
    "flows versions",
    "flows pause",
    "flows rollback",
    "backtest",
    "check --explain",
]


@pytest.mark.parametrize("command", BY_FLOW)
def test_a_flow_that_does_not_exist_is_an_error_with_the_name_that_was_meant(
    project: tuple[Path, Sequence[str]], command: str
) -> None:
    folder, _ = project
    wrong = FLOW.replace("warehouse", "wharehouse")
    arguments = command.format(wrong).split() if "{}" in command else [*command.split(), wrong]
    shown = in_terminal(folder, *arguments)
    assert shown.code == 1, shown.text
    assert f"did you mean '{FLOW}'?" in " ".join(shown.text.split())
    assert "stopped after" not in shown.text


UNKNOWN = [
    "components nothing-like-it",
    "credentials verify nothing",
    "credentials authorize nothing",
    "dead-letters show a:b",
    "executions show ffffffff",
    "executions move ffffffff --to current",
    "flows rollback " + FLOW + " 0000",
    "new flow a --use nothing.like-it",
    "plugins describe nothing",
    "plugins doctor nothing",
    f"state get {FLOW} nothing",
]


@pytest.mark.parametrize("command", UNKNOWN)
def test_an_unknown_name_is_exit_code_1_in_each_command(project: tuple[Path, Sequence[str]], command: str) -> None:
    folder, _ = project
    shown = in_terminal(folder, *command.split())
    assert (shown.code, "Traceback" in shown.text) == (1, False), shown.text


def test_help_is_not_cut(tmp_path: Path) -> None:
    for group in ("executions", "flows", "credentials", "dead-letters", "state", "plugins", "new"):
        shown = in_terminal(tmp_path, group, "--help")
        assert [line for line in shown.lines[1:] if line.endswith("...")] == []
        assert max(map(len, shown.lines)) <= 80


def test_a_run_prints_each_problem_of_its_own_flow_once(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    right = {"id": "right", "trigger": {"use": "manual"}, "steps": [{"use": "map", "with": {"body": 1}}]}
    wrong = {"id": "wrong", "trigger": {"use": "manual"}, "steps": [{"use": "no.such"}]}
    for flow in (right, wrong):
        (tmp_path / "flows" / f"{flow['id']}.json").write_text(json.dumps(flow))
    shown = in_terminal(tmp_path, "run", "right", columns=200)
    assert (shown.code, "no.such" in shown.text) == (0, False), shown.text
    shown = in_terminal(tmp_path, "run", "wrong", columns=200)
    assert (shown.code, shown.text.count("no.such")) == (1, 1), shown.text
    # Neither a key nor a database is made, but only the folder for files.
    assert [one for one in tmp_path.rglob("*") if one.is_file() and one.parent.name != "flows"] == []


def test_ids_have_the_length_that_the_commands_know() -> None:
    from hookline.cli.operate.shortened_execution_ids import LENGTH

    assert len(Ids(SystemClock()).new()) == LENGTH


def test_a_secret_is_asked_for_and_not_shown(project: tuple[Path, Sequence[str]]) -> None:
    folder, _ = project
    answers = {"key: ": "a key that was made up"}
    shown = in_terminal(folder, "credentials", "set", "greeters", "--type", "api-key", "key=-", answers=answers)
    assert (shown.code, shown.lines[:2]) == (0, ["key: ", "credential greeters of type api-key is set"])
    assert "any host" in shown.lines[2]
    assert len(shown.lines) == 3


def test_an_input_that_is_nested_too_deeply_is_named(project: tuple[Path, Sequence[str]]) -> None:
    folder, _ = project
    (folder / "deep.json").write_text("[" * 100_000)
    shown = in_terminal(folder, "start", FLOW, "--input", "deep.json")
    assert (shown.code, shown.lines) == (2, ["hookline: the input deep.json is nested too deeply"])
