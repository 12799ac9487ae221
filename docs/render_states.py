"""The charts of the states of executions and of the journal entries of steps, drawn from the tables in the code."""

from hookline.model.execution import FINAL, STEP_TRANSITIONS, TRANSITIONS


def executions() -> str:
    """The states of an execution, as a Mermaid state diagram."""
    lines = ["[*] --> queued", "[*] --> running: it starts with its acceptance"]
    lines += [f"{old} --> {new}" for old, states in TRANSITIONS.items() for new in sorted(states)]
    lines += [f"{state} --> [*]" for state in sorted(FINAL)]
    return _diagram(lines)


def steps() -> str:
    """The states of a step in the journal, as a Mermaid state diagram."""
    return _diagram(
        [
            f"{old or '[*]'} --> {new}: {cause.replace('`', '').replace(':', ',')}"
            for old, states in STEP_TRANSITIONS.items()
            for new, cause in states.items()
        ]
    )


def _diagram(lines: list[str]) -> str:
    return "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in lines), "```"])
