"""How long a module takes to import, and which packages take most of it: seen in a process of its own."""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 60.0
_LINE: Final = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)$")


@dataclass(frozen=True, slots=True)
class ImportTimes:
    """What an import took."""

    seconds: float
    packages: Mapping[str, float]
    """Seconds for each package that isn't the module's own, what it imports included; the longest first."""


def import_times(module: str) -> ImportTimes | None:
    """What importing a module takes besides what the engine has imported anyway; None where it can't be imported."""
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    code = f"import sys; import hookline.api, hookline.discovery; print('-', file=sys.stderr); import {module}"
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, and the name of a module
            [sys.executable, "-X", "importtime", "-c", code],
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return None
    return read_times(module, done.stderr.partition("\n-\n")[2].splitlines())


def read_times(module: str, lines: list[str]) -> ImportTimes:
    """What Python's own report says: it names each module after those that it imported, which are indented deeper."""
    package = module.partition(".")[0]
    found: dict[str, float] = {}
    total = 0.0
    deep: list[tuple[int, str]] = []
    for line in reversed(lines):
        match = _LINE.match(line)
        if match is None:
            continue
        seconds, depth, name = int(match[2]) / 1e6, len(match[3]), match[4]
        while deep and deep[-1][0] >= depth:
            deep.pop()
        top = name.partition(".")[0]
        if not deep:
            total += seconds
        # Only where the module's own code imports it: what that imports in turn is part of it.
        if top != package and (not deep or deep[-1][1] == package):
            found[top] = found.get(top, 0.0) + seconds
        deep.append((depth, top))
    return ImportTimes(total, dict(sorted(found.items(), key=lambda item: -item[1])))
