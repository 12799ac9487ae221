"""The flows and cases of a folder that is to be deployed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hookline.catalog.flow_folder import read_file, scan
from hookline.flows.documents.read import read
from hookline.flows.documents.version import version_of
from hookline.kernel.errors import ConfigError, FlowInvalid, Problem
from hookline.kernel.pointers_and_patches import parts_of, pointer_to
from hookline.simulation.case_files import ENDING


@dataclass(frozen=True, slots=True)
class FolderFlow:
    """A flow's file, with the file of its cases."""

    id: str
    file: Path
    text: bytes
    """JSON, without a byte order mark."""
    document: Mapping[str, Any]
    version: str
    cases_text: bytes | None
    cases: Any
    """None if there are none."""

    @property
    def cases_file(self) -> Path:
        return self.file.with_name(self.id + ENDING)


_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def read_folder(directory: Path) -> Sequence[FolderFlow]:
    """Return the flows of a folder. Raises ConfigError, and FlowInvalid with the problems of all files."""
    if not directory.is_dir():
        raise ConfigError(f"there is no folder {directory}; name the one with the flows: hookline deploy DIR")
    found: list[FolderFlow] = []
    problems: list[Problem] = []
    for file in scan(directory):
        try:
            found.append(_read(file))
        except FlowInvalid as error:
            problems += error.problems
        except OSError as error:
            place = str(error.filename or file)
            problems.append(Problem(f"it can't be read: {error.strerror}", code="unreadable", file=place))
    if problems:
        raise FlowInvalid(problems)
    return found


def _read(file: Path) -> FolderFlow:
    text = read_file(file).removeprefix(_BYTE_ORDER_MARK)
    document = read(text, str(file))
    value = document.value
    problems = list(document.problems)
    if not isinstance(value, dict):
        problems.append(Problem("a flow is an object", code="wrong_type", remedy="write { … }", file=str(file)))
    elif value.get("id") != file.stem:
        remedy = f'name the file after the flow, or write "id": "{file.stem}"'
        problems += document.place([Problem("its id isn't the name of its file", "/id", "flow_id", remedy)])
    if problems:
        raise FlowInvalid(problems)
    cases_file = file.with_name(file.stem + ENDING)
    cases_text = read_file(cases_file).removeprefix(_BYTE_ORDER_MARK) if cases_file.exists() else None
    cases = None if cases_text is None else read(cases_text, str(cases_file)).value
    return FolderFlow(file.stem, file, text, value, version_of(value), cases_text, cases)


def placed(problems: Iterable[Problem], flows: Sequence[FolderFlow]) -> list[Problem]:
    """The problems that the server found, each with the file that it is in; their pointers name the flow."""
    by_id = {flow.id: flow for flow in flows}
    return [_placed(problem, by_id) for problem in problems]


def _placed(problem: Problem, flows: Mapping[str, FolderFlow]) -> Problem:
    parts = parts_of(problem.pointer)
    flow = flows.get(parts[1]) if len(parts) > 1 else None
    if flow is None:
        return problem
    text, file = (flow.cases_text, flow.cases_file) if parts[0] == "cases" else (flow.text, flow.file)
    if text is None:
        return problem
    (found,) = read(text, str(file)).place([replace(problem, pointer=pointer_to(parts[2:]), line=None)])
    return found
