"""A long file goes through a foreach in bounded memory, and a server that is killed goes on from where it was.

The file has ITEMS rows, 20,000 by default, so that the whole check stays short; ITEMS=1000000 makes it a million.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.server_process import ServerProcess, eventually

ITEMS = int(os.environ.get("ITEMS", "20000"))
CONCURRENCY = 16
MB = 1_000_000

PLUGIN = """
import os
from hookline.api import Connector, Context, hookimpl

tally = Connector("tally")
file = os.open(os.environ["TALLY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@tally.action
async def add(ctx: Context[None], number: str) -> None:
    "Write a number down, with the key of the attempt."
    os.write(file, f"{number} {ctx.idempotency_key}\\n".encode())

@hookimpl
def register_connectors():
    return [tally]
"""


def _install(folder: Path) -> None:
    """A package that a server finds which has the folder in its path."""
    (folder / "tally_plugin.py").write_text(PLUGIN, encoding="utf-8")
    about = folder / "tally_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tally-plugin\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[hookline]\ntally = tally_plugin\n", encoding="utf-8")


def _upload(server: ServerProcess, rows: int) -> str:
    body = b"id,name\n" + b"".join(b"%d,somebody with the number %d\n" % (n, n) for n in range(rows))
    status, answer, _ = server.request("POST", "/hook/import", body, {"Content-Type": "application/octet-stream"})
    assert status == 202, answer
    found: str = answer["execution_id"]
    return found


def _flow(**settings: object) -> dict[str, object]:
    add = {"id": "add", "use": "tally.add", "with": {"number": "$.item.id"}}
    each = {"id": "each", "foreach": "$.body", "concurrency": CONCURRENCY, "steps": [add], **settings}
    return {
        "id": "import",
        "trigger": {"use": "webhook", "with": {"verify": "none"}},
        "steps": [{"id": "rows", "use": "csv.parse", "with": {"stream": True}}, each],
    }


@pytest.mark.promise(9)
@pytest.mark.rule(26)
@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_killed_server_goes_on_with_a_long_file_in_little_memory(
    tmp_path: Path, make_server: Callable[..., ServerProcess]
) -> None:
    written = tmp_path / "tally.txt"
    _install(tmp_path)
    server = make_server(environment={"PYTHONPATH": str(tmp_path), "TALLY": str(written)})
    server.flow(_flow())
    server.start()
    server.ended(_upload(server, 10))
    lines = 10
    idle = server.memory()
    peak = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.2):
            if server.running:
                peak = max(peak, server.memory())

    execution_id = _upload(server, ITEMS)
    watcher = threading.Thread(target=watch)
    watcher.start()

    def done() -> int:
        return written.read_bytes().count(b"\n") - lines

    # By its size: a file of that length takes long to read.
    half = (len(written.read_bytes().splitlines()[0]) + len(str(ITEMS)) - 1) * (ITEMS // 2)
    eventually("half of the items are done", lambda: written.stat().st_size > half, 300)
    (going,) = server.get(f"/api/v1/executions/{execution_id}")[1]["items"]
    assert (going["path"], going["total"]) == ("each", ITEMS)
    assert ITEMS // 3 < going["done"] < ITEMS
    over.set()
    watcher.join()
    server.kill()
    before = done()
    assert before < ITEMS
    over.clear()
    server.start()
    watcher = threading.Thread(target=watch)
    watcher.start()
    ended = server.ended(execution_id, 300)
    over.set()
    watcher.join()
    assert ended["outcome"] == "completed"
    assert ended["steps"][-1]["output"]["body"] == {"count": ITEMS, "failed": 0}
    assert ended["items"] == []

    calls = [line.split() for line in written.read_text(encoding="utf-8").splitlines()[lines:]]
    times = Counter(number for number, _ in calls)
    assert len(times) == ITEMS
    assert sum(times.values()) - ITEMS <= CONCURRENCY
    assert len({key for _, key in calls}) == ITEMS, "an item that ran again has the key that it had"
    grown = (peak - idle) / MB
    print(f"{ITEMS:,} items, killed after {before:,}: {sum(times.values()) - ITEMS} ran again, {grown:.0f} MB more")
    assert grown < 100


@pytest.mark.long
@pytest.mark.parametrize(
    "point", ["checkpoint_items.before_commit:2", "checkpoint_items.after_commit:2", "finish_block.before_commit"]
)
def test_killed_where_items_are_done_or_all_are_the_results_are_the_same(
    point: str, tmp_path: Path, make_server: Callable[..., ServerProcess]
) -> None:
    written = tmp_path / "tally.txt"
    _install(tmp_path)
    environment = {"PYTHONPATH": str(tmp_path), "TALLY": str(written)}
    server = make_server(environment={**environment, "HOOKLINE_FAULT": point})
    server.flow(_flow(collect="results"))
    server.start()
    execution_id = _upload(server, 100)
    assert server.died() == -9
    server = make_server(environment=environment)
    server.start()
    ended = server.ended(execution_id)
    assert ended["outcome"] == "completed"
    output = ended["steps"][-1]["output"]
    assert (output["body"]["count"], output["count"], output["failed"]) == (100, 100, 0)
    calls = [line.split() for line in written.read_text(encoding="utf-8").splitlines()]
    assert {number for number, _ in calls} == {str(number) for number in range(100)}
    assert len({key for _, key in calls}) == 100
    assert len(calls) - 100 <= (0 if point.startswith("finish_block") else CONCURRENCY)
