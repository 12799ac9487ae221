"""The README's first command, with what is installed here."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

import hookline_console
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
    # The two words aren't the same: an execution has succeeded, and its outcome is `completed`.
    row = in_terminal(tmp_path, *commands[0][1:]).lines[1].split()
    assert row[1:4] == ["paypal-to-accounting", "succeeded", "completed"]
    for _, *arguments in commands:
        shown = in_terminal(tmp_path, *arguments)
        assert (shown.code, "paypal-to-accounting" in shown.text) == (0, True), shown.text


@pytest.mark.long
@pytest.mark.promise(1)
def test_the_demo_goes_on_where_it_was_killed_and_keeps_what_was_changed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hookline.cli.main", "demo", "--port", str(free_port()), "--dir", str(tmp_path)]

    def run_again() -> tuple[int, str]:
        done = subprocess.run([*command, "--once"], capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    (tmp_path / "files").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "files" / "accounting.db", isolation_level=None)) as ledger:
        columns = "id integer primary key, reference text not null, amount numeric not null, note text"
        ledger.execute(f"create table invoices ({columns})")
        # While it is locked, nothing is booked.
        ledger.execute("begin immediate")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert any("202 queued" in line for line in process.stdout)
            process.kill()
        ledger.execute("rollback")
        flow = tmp_path / "flows" / "paypal-to-accounting.json"
        changed = flow.read_text(encoding="utf-8").replace('"title": "', '"title": "My own ')
        flow.write_text(changed, encoding="utf-8")
        code, said = run_again()
        assert (code, "still 1 row" in said, "an earlier run" in said) == (0, True, True), said
        assert flow.read_text(encoding="utf-8") == changed
        ledger.execute("delete from invoices")
        code, said = run_again()
        assert (code, "was booked 0 times" in said) == (1, True), said


def test_the_demo_says_where_it_can_write_nothing() -> None:
    command = [sys.executable, "-m", "hookline.cli.main", "demo", "--once", "--dir", "/dev/null/demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode != 0
    assert "can't be written" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.console_rule("K7")
def test_the_demo_ends_with_a_link_to_the_execution_or_says_that_there_is_no_console(tmp_path: Path) -> None:
    (site,) = hookline_console.register_pages()
    port = free_port()
    command = [sys.executable, "-m", "hookline.cli.main", "demo", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            shown = ""
            while "The server is still running" not in shown:
                line = process.stdout.readline()
                assert line, shown
                shown += line
            if site.is_built:
                (execution_id, code) = re.findall(rf"http://127.0.0.1:{port}/executions/(\S+)#code=(\S+)", shown)[0]
                session = Request(
                    f"http://127.0.0.1:{port}/api/v1/session",
                    json.dumps({"code": code}).encode(),
                    {"Content-Type": "application/json"},
                )
                with urlopen(session, timeout=10) as answer:
                    cookie = answer.headers["Set-Cookie"].partition(";")[0]
                url = f"http://127.0.0.1:{port}/api/v1/executions/{execution_id}"
                with urlopen(Request(url, headers={"Cookie": cookie}), timeout=10) as answer:
                    assert json.loads(answer.read())["state"] == "succeeded"
            else:
                assert site.remedy in shown
                assert "#code=" not in shown
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)
