"""The guard of the processes for authors: code that is tried without effects has none, whatever it declares."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, os, socket, sqlite3, subprocess, sys
from pathlib import Path
from hookline.simulation.authoring.undeclared_effects import EffectDenied, deny_effects

inside, outside, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
attempts = {
    "connect": lambda: socket.create_connection(("127.0.0.1", port)),
    "send": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
    "resolve": lambda: socket.getaddrinfo("localhost", port),
    "write": lambda: (outside / "new").write_text("x"),
    "append": lambda: os.open(outside / "kept", os.O_APPEND | os.O_WRONLY),
    "climb": lambda: (inside / ".." / outside.name / "new").write_text("x"),
    "remove": lambda: (outside / "kept").unlink(),
    "rename": lambda: (inside / "own").rename(outside / "moved"),
    "database": lambda: sqlite3.connect(outside / "new.db"),
    "process": lambda: subprocess.run(["true"]),
    "system": lambda: os.system("true"),
    "write inside": lambda: (inside / "more").write_text("x"),
    "read outside": lambda: (outside / "kept").read_text(),
}
(inside / "own").write_text("x")
deny_effects(inside)
denied = []
for name, attempt in attempts.items():
    try:
        attempt()
    except EffectDenied:
        denied.append(name)
print(json.dumps(denied))
"""


@pytest.mark.parametrize("linked", [False, True])
def test_nothing_outside_is_reached_or_changed(tmp_path: Path, linked: bool) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("kept")
    given = inside
    if linked:
        given = tmp_path / "link"
        given.symlink_to(inside)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        command = [sys.executable, "-c", SCRIPT, str(given), str(outside), str(listener.getsockname()[1])]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert json.loads(ran.stdout) == [
        *("connect", "send", "resolve", "write", "append", "climb", "remove", "rename", "database", "process", "system")
    ]
    assert {file.name: file.read_text() for file in outside.iterdir()} == {"kept": "kept"}
