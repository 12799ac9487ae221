"""The charts of the states of executions and of the journal entries of steps, drawn from the tables in the code."""

from collections.abc import Mapping
from typing import Final, TypeVar

from hookline.executions.steps.step import SITUATIONS, Situation
from hookline.model.execution import FINAL, STEP_TRANSITIONS, TRANSITIONS

_State = TypeVar("_State")


def executions() -> str:
    """The states of an execution, as a Mermaid state diagram."""
    lines = ["[*] --> queued: its message is accepted", "[*] --> running: it starts with its acceptance"]
    lines += _arrows(TRANSITIONS)
    lines += [f"{state} --> [*]" for state in sorted(FINAL)]
    return _diagram(lines)


def steps() -> str:
    """The states of a step in the journal, as a Mermaid state diagram."""
    return _diagram(_arrows(STEP_TRANSITIONS))


def last_entries() -> str:
    """What happens when an execution reaches a step, by the state of the step's last entry, as a table."""
    rows = ["| last entry | what happens |", "| --- | --- |"]
    for situation, what_happens in _SITUATIONS.items():
        states = [str(state) for state, found in SITUATIONS.items() if found is situation]
        if situation is Situation.FIRST_TRY:
            states = ["none", *states, "an interruption before it began"]
        rows.append(f"| {', '.join(states)} | {what_happens} |")
    return "\n".join(rows)


_SITUATIONS: Final = {
    Situation.FIRST_TRY: "the step runs",
    Situation.REPLAYED: "its result is taken from the journal",
    Situation.FAILED: "the failure is handled again; after an operator's retry the step runs instead, unless the flow "
    "handles the failure, or nobody knows whether a step that must not run twice took effect",
    Situation.WAITING: "it waits further, or goes on because the time, the turn or the callback has come",
    Situation.IN_DOUBT: "it must not run twice, and nobody knows whether it took effect: it fails",
}


def _arrows(transitions: Mapping[_State, Mapping[_State, str]]) -> list[str]:
    return [
        f"{old or '[*]'} --> {new}: {cause.replace('`', '').replace(':', ',')}"
        for old, states in transitions.items()
        for new, cause in states.items()
    ]


def _diagram(lines: list[str]) -> str:
    return "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in lines), "```"])
