"""A plugin whose threads never end, on a real server: it fills its own threads and nobody else's."""

from pathlib import Path

from tests.acceptance.bad_plugins import install
from tests.acceptance.server_process import ServerProcess, eventually

FILLS = '''
"""A plugin whose threads never end."""

import asyncio
from pathlib import Path
from threading import Event

from hookline.api import Connector, hookimpl

fills = Connector("fills")


@fills.action
async def threads(mark: str) -> dict:
    """Fills every thread that it can get."""
    await asyncio.gather(*[asyncio.to_thread(forever, mark) for _ in range(200)])
    return {}


def forever(mark: str) -> None:
    with Path(mark).open("a") as file:
        file.write("x")
    Event().wait()


@hookimpl
def register_connectors():
    return [fills]
'''


def test_a_plugin_that_fills_its_threads_stops_neither_bodies_nor_files_nor_the_server(tmp_path: Path) -> None:
    install(tmp_path / "site", "hookline-fills", "0.1", "fills", FILLS)
    environment = {"PYTHONPATH": str(tmp_path / "site"), "HOOKLINE_GRACE": "0.2"}
    server = ServerProcess(tmp_path, environment=environment)
    mark = tmp_path / "mark"
    webhook = {"use": "webhook", "with": {"verify": "none"}}
    server.flow(
        {
            "id": "fills",
            "trigger": webhook,
            "steps": [{"id": "all", "use": "fills.threads", "with": {"mark": str(mark)}}],
        }
    )
    server.flow(
        {
            "id": "large",
            "trigger": webhook,
            "steps": [{"id": "size", "use": "map", "with": {"body": "{{ body | length }}"}}],
        }
    )
    server.start()
    try:
        assert server.post("fills", {})[0] == 202
        eventually("its threads are full", lambda: mark.exists() and len(mark.read_text()) >= 6)
        status, answer = server.post("large", ["x" * 100] * 10_000)
        assert status == 202, answer
        assert server.ended(answer["execution_id"])["state"] == "succeeded"
        status, _, _ = server.request("POST", "/hook/large", b"\0" * 1_000_000, {"content-type": "image/png"})
        assert status == 202
        assert server.request("GET", "/readyz")[0] == 200
        assert server.stop() == 0
    finally:
        if server.running:
            server.kill()
