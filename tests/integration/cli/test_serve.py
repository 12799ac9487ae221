"""`hookline serve` as a process: how it starts, is found by other commands, and stops."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner, Result
from tests.acceptance.forked_server import ForkedProcess, launch
from tests.acceptance.server_process import eventually

from hookline.cli.main import main
from hookline.cli.running_server_file import RunningServer, announced, find
from hookline.kernel.errors import ConfigError
from hookline.server_settings import Settings

SECRET = "hunter2-hunter2-hunter2"
FLOW = {
    "id": "greet",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "no", "use": "fail", "with": {"message": "not today"}}],
}


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")} | {
        "HOOKLINE_DRAIN_DELAY": "0",
        **more,
    }


def hookline(folder: Path, *arguments: str, **more: str) -> Result:
    """Commands run in this process, which is faster than one of their own each."""
    others = dict.fromkeys(name for name in os.environ if name.startswith("HOOKLINE_"))
    with contextlib.chdir(folder):
        return CliRunner().invoke(main, arguments, env=others | more)


def rejected(folder: Path, *arguments: str) -> tuple[int, str]:
    """`hookline serve` that gives up at once: its exit code, and what it says."""
    (folder / "rejected").unlink(missing_ok=True)
    process, _ = launch(folder, environment(), arguments, log="rejected")
    return process.wait(timeout=60), (folder / "rejected").read_text()


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, **more: str) -> Iterator[tuple[ForkedProcess, dict[str, Any]]]:
    """The process, and what it says of itself once it is ready."""
    said = folder / "said"
    for name in ("said", "log"):
        (folder / name).write_text("")
    process, _ = launch(folder, environment(**more), ("--json", "--port", "0", *arguments), "said", "log")

    def has_said() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        return said.read_text().endswith("\n")

    try:
        eventually("the server is ready", has_said, 60)
        yield process, json.loads(said.read_text())
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=30)


@contextlib.contextmanager
def executed(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The same, by the command line: it imports all that it needs, and so it starts more slowly."""
    command = [sys.executable, "-m", "hookline.cli.main", "serve", "--json", "--port", "0", *arguments]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (folder / "log").read_text()
            yield process, json.loads(line)
        finally:
            if process.poll() is None:
                process.kill()


def stopped(process: subprocess.Popen[str] | ForkedProcess) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=30)


def get(url: str, **headers: str) -> tuple[int, bytes]:
    with urlopen(Request(url, headers=headers), timeout=10) as response:
        return response.status, response.read()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "greet.json").write_text(json.dumps(FLOW))
    return tmp_path


@pytest.mark.promise(8)
@pytest.mark.parametrize("server", ["hypercorn", pytest.param("uvicorn", marks=pytest.mark.long)])
def test_it_says_where_it_listens_and_what_is_wrong_serves_and_ends_well_on_sigterm(folder: Path, server: str) -> None:
    verify = {"scheme": "square", "credential": "square"}
    signs_url = {"id": "pay", "trigger": {"use": "webhook", "with": {"verify": verify}}, "steps": []}
    (folder / "flows" / "pay.json").write_text(json.dumps(signs_url))
    with executed(folder, "--server", server) as (process, said):
        assert get(f"{said['url']}/readyz")[0] == 200
        token = Path(said["token_file"])
        assert token.stat().st_mode & 0o777 == 0o600
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
        flows = json.loads(get(f"{said['url']}/api/v1/flows", **headers)[1])["items"]
        assert [flow["url"] for flow in flows] == [f"{said['url']}/hook/{name}" for name in ("greet", "pay")]
        assert stopped(process) == 0
    assert (
        "scheme 'square' signs the URL that is called, but this server has no public_url"
        in (folder / "log").read_text()
    )
    assert not (folder / ".hookline" / "server.json").exists()


@pytest.mark.promise(8)
def test_a_second_signal_stops_a_server_that_drains_and_prints_no_traceback(folder: Path) -> None:
    with serving(folder) as (process, said):
        port = int(said["url"].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sender:
            sender.sendall(b"POST /hook/greet HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            process.send_signal(signal.SIGTERM)
            while "stopping" not in (folder / "log").read_text():
                assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=8) == 1
    log = (folder / "log").read_text()
    assert "stopping at once" in log
    assert "Traceback" not in log


@pytest.mark.timeout(180)  # a dozen processes, one after the other
def test_other_commands_go_through_the_server_and_give_the_same_as_without(folder: Path) -> None:
    with serving(folder) as (process, said):
        assert (folder / ".hookline" / "server.json").exists()
        result = hookline(folder, "credentials", "set", "gh", "--type", "github", f"secret={SECRET}")
        assert result.exit_code == 0, result.stderr
        request = Request(f"{said['url']}/hook/greet", data=b"{}", headers={"Content-Type": "application/json"})
        with urlopen(request, timeout=10) as response:
            execution_id = json.loads(response.read())["execution_id"]
        while json.loads(hookline(folder, "executions", "show", execution_id, "--json").stdout)["state"] != "failed":
            pass
        wrong = hookline(folder, "credentials", "set", "x", "--type", "github", "sekret=hunter2")
        missing = hookline(folder, "executions", "show", "nothing", "--json")
        online = [
            hookline(folder, "credentials", "list", "--json").stdout,
            hookline(folder, "executions", "list", "--json").stdout,
            hookline(folder, "executions", "show", execution_id, "--json").stdout,
        ]
        assert stopped(process) == 0
    assert wrong.exit_code == 1
    assert "did you mean 'secret'?" in wrong.stderr
    assert "hunter2" not in wrong.stderr
    assert (missing.exit_code, json.loads(missing.stderr)["error"]["code"]) == (1, "execution.not_found")
    offline = [
        hookline(folder, "credentials", "list", "--json").stdout,
        hookline(folder, "executions", "list", "--json").stdout,
        hookline(folder, "executions", "show", execution_id, "--json").stdout,
    ]
    assert [json.loads(text) for text in online] == [json.loads(text) for text in offline]
    assert SECRET not in "".join(online)
    assert hookline(folder, "executions", "retry", execution_id).exit_code == 0
    assert hookline(folder, "executions", "retry", execution_id).exit_code == 1
    shown = json.loads(hookline(folder, "executions", "show", execution_id, "--json").stdout)
    assert (shown["state"], shown["attempt"]) == ("waiting", 2)


@pytest.mark.rule(2)
def test_a_second_server_on_the_same_file_is_rejected_and_the_first_serves_on(folder: Path) -> None:
    with serving(folder) as (process, said):
        code, text = rejected(folder, "--port", "0")
        assert code == 1
        assert str(process.pid) in text
        assert "Traceback" not in text
        assert get(f"{said['url']}/readyz")[0] == 200


def test_a_port_that_is_taken_is_told_before_anything_is_started(folder: Path) -> None:
    with serving(folder) as (_, said):
        port = said["url"].rpartition(":")[2]
        code, text = rejected(folder, "--port", port, "--db", "sqlite:///other/x.db")
        assert code == 2
        assert f"port {port}" in text
        assert not (folder / "other").exists()


def test_after_a_kill_other_commands_work_directly(folder: Path) -> None:
    with serving(folder) as (process, _):
        process.kill()
        process.wait(timeout=30)
    assert (folder / ".hookline" / "server.json").exists()
    assert hookline(folder, "executions", "list").exit_code == 0


def test_a_token_from_the_settings_is_in_no_file(folder: Path) -> None:
    token = "a-token-from-the-settings"
    with serving(folder, HOOKLINE_ADMIN_TOKEN=token) as (_, said):
        assert said["token_file"] is None
        assert get(f"{said['url']}/api/v1/flows", Authorization=f"Bearer {token}")[0] == 200
        result = hookline(folder, "executions", "list")
        assert result.exit_code == 2
        assert "HOOKLINE_ADMIN_TOKEN" in result.stderr
        assert hookline(folder, "executions", "list", HOOKLINE_ADMIN_TOKEN=token).exit_code == 0
    assert all(token.encode() not in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_what_cannot_be_served_is_rejected_with_the_remedy(folder: Path) -> None:
    code, text = rejected(folder, "--port", "0", "--queue", "kafka://localhost")
    assert code == 2
    assert "kafka" in text
    assert "nats" in text
    code, text = rejected(folder, "--port", "0", "--workers", "2")
    assert code == 2
    assert "postgresql://" in text


@pytest.mark.rule(34)
def test_a_server_does_not_start_with_a_new_key_in_place_of_a_lost_one(folder: Path) -> None:
    assert hookline(folder, "credentials", "set", "gh", "--type", "github", f"secret={SECRET}").exit_code == 0
    key = folder / ".hookline" / "secret.key"
    key.rename(folder / "aside")
    code, text = rejected(folder, "--port", "0")
    assert (code, "1 credential (gh)" in text, "hookline credentials new-key" in text) == (1, True, True), text
    assert not key.exists(), "with a new key there, the next start would say nothing"
    (folder / "aside").rename(key)
    with serving(folder) as (process, _):
        assert stopped(process) == 0


def test_a_flows_folder_that_does_not_exist_is_told_at_the_start(folder: Path) -> None:
    with serving(folder, "--flows", "flosw") as (process, _):
        assert stopped(process) == 0
    assert "the folder of the flows doesn't exist, so no flow is served: flosw" in (folder / "log").read_text()


def test_json_logs_are_one_object_a_line(folder: Path) -> None:
    with serving(folder, "--log-format", "json") as (process, _):
        assert stopped(process) == 0
    events = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    assert {"started", "stopping"} <= {event["event"] for event in events}


def test_the_file_of_another_database_or_a_dead_process_is_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(db="sqlite:///data/a.db", admin_token="0123456789abcdef")
    with announced(settings, "http://127.0.0.1:1", None) as path:
        assert path.exists()
        assert find(settings) is None, "nobody listens there"
        assert find(Settings(db="sqlite:///data/b.db")) is None
    assert not path.exists()
    path.write_text("{")
    assert find(settings) is None


def test_a_server_that_started_later_keeps_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(db="sqlite:///data/a.db")
    with announced(settings, "http://127.0.0.1:1", None) as path:
        later = RunningServer("http://127.0.0.1:2", "http://127.0.0.1:2", os.getpid() + 1, "x", None)
        path.write_text(json.dumps({name: getattr(later, name) for name in later.__struct_fields__}))
    assert path.exists()


def test_a_server_whose_token_is_not_known_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(db="sqlite:///data/a.db")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with announced(settings, url, None), pytest.raises(ConfigError, match="HOOKLINE_ADMIN_TOKEN"):
            find(settings)
        with announced(settings, url, tmp_path / "gone"), pytest.raises(ConfigError, match="can't be read"):
            find(settings)
