"""Case files and the flows beside them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hookline.discovery.registry import Registry
from hookline.flows.authoring.formatter import format_value
from hookline.flows.compiler.compile import compile_flow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.kernel.errors import ConfigError, FlowInvalid, Problem
from hookline.kernel.json import decode
from hookline.simulation.cases import Case, check_names, read_cases

ENDING: Final = ".test.json"


def case_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Return the case files in folders, of flows, and named ones. Raises ConfigError if a path has none."""
    for path in paths:
        if path.is_dir():
            yield from sorted(path.glob(f"*{ENDING}"))
        elif not path.exists():
            raise ConfigError(f"there is no file or directory {path}")
        elif path.name.endswith(ENDING):
            yield path
        else:
            cases = path.with_name(path.name.removesuffix(".json") + ENDING)
            if not cases.exists():
                raise ConfigError(f"{path} has no cases: there is no {cases}")
            yield cases


def flow_file_of(file: Path) -> Path:
    """Return the file of the flow whose cases a file has."""
    return file.with_name(file.name.removesuffix(ENDING) + ".json")


def load_cases(file: Path, registry: Registry, environment: Mapping[str, str]) -> tuple[CompiledFlow, Sequence[Case]]:
    """Return a flow and its cases. Raises FlowInvalid, with every problem of the flow, or of the cases."""
    path = flow_file_of(file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FlowInvalid([Problem(f"its flow can't be read: {error}", file=str(file))]) from error
    flow = compile_flow(read(data, str(path)), registry, environment=environment)
    cases = read_cases(file, exact=flow.exact)
    if wrong := check_names(cases, flow, read(file.read_bytes(), str(file))):
        raise FlowInvalid(wrong)
    return flow, cases.cases


def check_free(file: Path, name: str) -> None:
    """Check a case's name. Raises ConfigError if another case has it, and FlowInvalid if the file isn't a case file."""
    if file.exists() and any(case.name == name for case in read_cases(file).cases):
        raise ConfigError(f"{file} has a case {name!r} already; give another with --name")


def add_case(file: Path, case: Mapping[str, Any]) -> None:
    """Add a case at the end of a file, which is created if it doesn't exist. Raises as `check_free`."""
    check_free(file, str(case["name"]))
    if not file.exists():
        text = '{\n  "cases": [\n    ' + format_value(case, 4) + "\n  ]\n}\n"
    else:
        before = file.read_text(encoding="utf-8")
        document: dict[str, Any] = decode(before.encode(), exact=True)
        document["cases"] = [*document["cases"], case]
        text = _inserted(before, case, document) or format_value(document, 0) + "\n"
    draft = file.with_name(f".{file.name}.new")
    draft.write_text(text, encoding="utf-8", newline="\n")
    draft.replace(file)


def _inserted(before: str, case: Mapping[str, Any], wanted: Any) -> str | None:
    """Return the text with the case inserted before its last bracket; None if that doesn't end the cases."""
    head, bracket, tail = before.rpartition("]")
    text = f"{head.rstrip()},\n    {format_value(case, 4)}\n  {bracket}{tail}"
    try:
        return (
            text if decode(text.encode(), exact=True) == decode(format_value(wanted, 0).encode(), exact=True) else None
        )
    except ValueError:
        return None
