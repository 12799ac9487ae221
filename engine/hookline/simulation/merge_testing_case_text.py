"""Adding a case to the text of a case file, whose other cases stay as they were written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hookline.flows.authoring.formatter import value_text
from hookline.kernel.errors import ConfigError
from hookline.kernel.json import decode
from hookline.simulation.cases import read_cases


def check_free(file: Path, name: str) -> None:
    """Raises ConfigError where a case has that name already, and FlowInvalid for a file that isn't one of cases."""
    if file.exists() and any(case.name == name for case in read_cases(file).cases):
        raise ConfigError(f"{file} has a case {name!r} already; give another with --name")


def add_case(file: Path, case: Mapping[str, Any]) -> None:
    """Write a case behind those of a file, which is made where there is none. Raises as `check_free`."""
    check_free(file, str(case["name"]))
    if not file.exists():
        text = '{\n  "cases": [\n    ' + value_text(case, 4) + "\n  ]\n}\n"
    else:
        before = file.read_text(encoding="utf-8")
        document: dict[str, Any] = decode(before.encode(), exact=True)
        document["cases"] = [*document["cases"], case]
        text = _inserted(before, case, document) or value_text(document, 0) + "\n"
    draft = file.with_name(f".{file.name}.new")
    draft.write_text(text, encoding="utf-8", newline="\n")
    draft.replace(file)


def _inserted(before: str, case: Mapping[str, Any], wanted: Any) -> str | None:
    """The text with the case before its last bracket, where that is what closes the cases."""
    head, bracket, tail = before.rpartition("]")
    text = f"{head.rstrip()},\n    {value_text(case, 4)}\n  {bracket}{tail}"
    try:
        return text if decode(text.encode(), exact=True) == decode(value_text(wanted, 0).encode(), exact=True) else None
    except ValueError:
        return None
