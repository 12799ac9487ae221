"""A network namespace that can be cut off from this host without either side being told."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from tests.services import need_program

_NOBODY = "02:00:00:00:00:01"
"""The address of a device that doesn't exist."""


class OwnNetwork:
    """A namespace at `there`, reached from this host's addresses `here`. Others may exist beside it."""

    def __init__(self) -> None:
        net = f"10.213.{os.getpid() % 256}"
        self.there = f"{net}.2"
        self.here = (f"{net}.1", f"{net}.5")
        self._name = f"hookline{uuid.uuid4().hex[:6]}"
        self._link = f"hl{uuid.uuid4().hex[:6]}"
        self.prefix = ("ip", "netns", "exec", self._name)

    def start(self) -> None:
        name, link = self._name, self._link
        self._run("ip", "netns", "add", name)
        self._run("ip", "link", "add", link, "type", "veth", "peer", "name", "inside", "netns", name)
        for address in self.here:
            self._run("ip", "address", "add", f"{address}/29", "dev", link)
        self._run("ip", "link", "set", link, "up")
        self._inside("ip", "address", "add", f"{self.there}/29", "dev", "inside")
        self._inside("ip", "link", "set", "inside", "up")
        self._inside("ip", "link", "set", "lo", "up")
        # The rule for the namespace's own addresses comes first by default; no other rule could drop packets to them.
        self._inside("ip", "rule", "add", "pref", "100", "lookup", "local")
        self._inside("ip", "rule", "del", "pref", "0")

    def speak_from(self, address: str) -> None:
        """Let new connections of this host come from one of its addresses."""
        self._run("ip", "route", "replace", f"{self.there}/32", "dev", self._link, "src", address)

    def cut(self, address: str) -> None:
        """Lose all packets from and to an address of this host.

        A sender isn't told: packets to it leave for a device that doesn't exist. A route that drops them would fail
        the calls of the sender, whose keepalives then never end a connection.
        """
        self._inside("ip", "rule", "add", "pref", "10", "from", address, "iif", "inside", "blackhole")
        self._inside("ip", "neighbor", "replace", address, "lladdr", _NOBODY, "dev", "inside", "nud", "permanent")

    def restore(self, address: str) -> None:
        self._inside("ip", "rule", "del", "pref", "10", "from", address, "iif", "inside", "blackhole")
        self._inside("ip", "neighbor", "del", address, "dev", "inside")

    def stop(self) -> None:
        subprocess.run(["ip", "netns", "delete", self._name], check=False)
        subprocess.run(["ip", "link", "delete", self._link], check=False, stderr=subprocess.DEVNULL)

    def _inside(self, *command: str) -> None:
        self._run(*self.prefix, *command)

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def network() -> Iterator[OwnNetwork]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        need_program("iproute2 (for root)", "ip-for-root")
    network = OwnNetwork()
    try:
        network.start()
    except (OSError, subprocess.CalledProcessError) as error:
        network.stop()
        pytest.skip(f"no network namespace can be made: {error}")
    yield network
    network.stop()
