"""A pgbouncer of the tests' own, in transaction mode, before the PostgreSQL of the tests."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.ports import free_port

_CONFIGURATION = """
[databases]
* = user={user} host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_prepared_statements = 200
default_pool_size = 20
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
pidfile = {folder}/pid
"""


@contextmanager
def pgbouncer(postgres: str) -> Iterator[int]:
    """Run it before the server of a URL; give its port. The test is skipped where it isn't installed."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        if os.environ.get("HOOKLINE_REQUIRE_SERVICES") == "1":
            raise AssertionError("pgbouncer isn't installed")
        pytest.skip("pgbouncer isn't installed")
    server, own = urlsplit(postgres), free_port()
    # A folder that the account of PostgreSQL may read, too.
    folder = Path(tempfile.mkdtemp(prefix="hookline-pgbouncer-"))
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        _CONFIGURATION.format(
            user=server.username, host=server.hostname, port=server.port or 5432, own=own, folder=folder
        )
    )
    command = [program, str(configuration)]
    if os.geteuid() == 0:
        # It doesn't run as root.
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
        configuration.chmod(0o644)
        command[1:1] = ["-u", "postgres"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(own, process)
        yield own
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, "pgbouncer has ended"
            assert time.monotonic() < until, "pgbouncer doesn't answer"
            time.sleep(0.05)
        else:
            return
