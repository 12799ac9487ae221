"""The coverage of flows: their steps and branches that no case has reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hookline.flows.blocks.step_walkers import without_items
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.kernel.json import decode
from hookline.model.execution import StepRecord, StepState
from hookline.simulation.step_paths import Branch, step_paths


@dataclass(frozen=True, slots=True)
class NotCovered:
    """A step or a branch that no case has reached."""

    what: str
    """`step kind/post`, `switch kind: case 2`."""
    pointer: str
    line: int


@dataclass(frozen=True, slots=True)
class FlowCoverage:
    """The part of a flow that its cases have reached."""

    flow_id: str
    file: str
    reached: int
    total: int
    """Steps and branches."""
    missed: tuple[NotCovered, ...]


def percent(flows: Sequence[FlowCoverage]) -> int:
    """Return the percentage of all flows that was reached, rounded down; 100 if there is nothing to reach."""
    total = sum(flow.total for flow in flows)
    return 100 if total == 0 else 100 * sum(flow.reached for flow in flows) // total


def coverage(flow: CompiledFlow, file: Path | None, runs: Sequence[Mapping[str, Sequence[StepRecord]]]) -> FlowCoverage:
    """Return the coverage by the journals of a flow's cases; a step that was always skipped wasn't reached.

    Without a file, lines are those of the canonical form.
    """
    places = step_paths(flow)
    begun: set[str] = set()
    chosen: set[tuple[str, int]] = set()
    for steps in runs:
        for path, records in steps.items():
            plain = without_items(path)
            if any(record.state is not StepState.SKIPPED for record in records):
                begun.add(plain)
            for record in records:
                if record.use == "switch" and record.input is not None:
                    chosen |= {(plain, number) for number in decode(record.input)["cases"]}
    # A block is recorded only at its end, so a step inside shows that it has begun.
    begun |= {path[:place] for path in begun for place, character in enumerate(path) if character == "/"}
    document = read(flow.source if file is None or not file.exists() else file.read_bytes(), str(file or ""))
    missed = [
        NotCovered(f"step {path}", step.pointer, document.line(step.pointer))
        for path, step in places.steps.items()
        if path not in begun
    ]
    missed += [
        NotCovered(f"{branch.name} of {branch.of}", branch.pointer, document.line(branch.pointer))
        for branch in places.branches
        if not _taken(branch, begun, chosen)
    ]
    total = len(places.steps) + len(places.branches)
    return FlowCoverage(
        flow.id, str(file), total - len(missed), total, tuple(sorted(missed, key=lambda one: (one.line, one.what)))
    )


def _taken(branch: Branch, begun: set[str], chosen: set[tuple[str, int]]) -> bool:
    if branch.case is not None:
        return (branch.of, branch.case) in chosen
    return any(step in begun for step in branch.steps)
