"""A pseudo-terminal in which a command of `hookline` runs, as a person would see it."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a terminal shows of one command."""

    code: int
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines, without colours."""
        return self.text.splitlines()


def in_terminal(
    folder: Path,
    *arguments: str,
    columns: int = 80,
    environment: Mapping[str, str] | None = None,
    answers: Mapping[str, str] | None = None,
) -> Shown:
    """Run a command in a process of its own, whose standard streams are a terminal.

    `answers`: the lines that are typed after prompts. The process is forked, so that nothing is imported again.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(environment or {})
        os._exit(_command(folder, arguments, columns))
    content = bytearray()
    left = dict(answers or {})
    try:
        while part := os.read(terminal, 65536):
            content += part
            for prompt in [one for one in left if content.endswith(one.encode())]:
                os.write(terminal, f"{left.pop(prompt)}\n".encode())
    except OSError:
        pass  # Linux reports the end of a terminal as an error.
    finally:
        os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return Shown(os.waitstatus_to_exitcode(status), _CONTROL.sub("", content.decode()).replace("\r\n", "\n"))


def _command(folder: Path, arguments: tuple[str, ...], columns: int) -> int:
    """Return the exit code of a command. Runs in the forked process."""
    try:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
        os.chdir(folder)
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            os.environ.pop(name, None)
        from hookline.cli.main import main

        try:
            main(list(arguments), prog_name="hookline")
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - the process must not go on as a copy of the tests
        traceback.print_exc(file=sys.__stderr__)
        return 70
    return 0
