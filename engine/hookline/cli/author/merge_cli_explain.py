"""`hookline check --explain FLOW[:STEP]`: what is known of the values in scope at a flow's steps."""

import os
from collections.abc import Sequence
from pathlib import Path

from hookline.config import Settings
from hookline.flows.check.explain import Explained
from hookline.flows.types.samples import NO_SAMPLES, Samples, read_samples
from hookline.kernel.errors import ConfigError
from hookline.kernel.json import decode
from hookline.kernel.suggest import did_you_mean


def samples_beside(file: Path) -> Samples:
    """What the cases of a flow's file show; nothing where there are none, or none that can be read."""
    try:
        return read_samples(decode(file.with_suffix(".test.json").read_bytes()))
    except (OSError, ValueError, RecursionError):
        # What is wrong with them is for `hookline test` to say.
        return NO_SAMPLES


def explained(wanted: str, settings: Settings) -> Sequence[Explained]:
    """The steps that are asked for: of a flow's file or id, all, or the one named behind a colon.

    Raises ConfigError where there is no such flow or step, and FlowInvalid where the flow has errors.
    """
    from hookline.discovery.discover import discover
    from hookline.flows.check.explain import explain
    from hookline.flows.compiler.compile import compile_flow
    from hookline.flows.documents.read import read

    name, step = (wanted, "") if Path(wanted).is_file() else _parts(wanted)
    file = Path(name) if Path(name).is_file() else settings.flows / f"{name}.json"
    if not file.is_file():
        near = did_you_mean(name, [path.stem for path in settings.flows.glob("*.json")])
        raise ConfigError(f"there is no flow {name!r} in {settings.flows}/{f'; {near}' if near else ''}")
    flow = compile_flow(read(file.read_bytes(), str(file)), discover(), environment=os.environ)
    steps = explain(flow, samples_beside(file))
    if not step:
        return steps
    found = [one for one in steps if one.step == step]
    if not found:
        ids = [one.step for one in steps]
        raise ConfigError(
            f"flow {flow.id!r} has no step {step!r}; {did_you_mean(step, ids, 'it has ' + ', '.join(ids))}"
        )
    return found


def _parts(wanted: str) -> tuple[str, str]:
    name, _, step = wanted.rpartition(":")
    return (name, step) if name else (wanted, "")


def explained_text(steps: Sequence[Explained]) -> str:
    """The steps as people read them."""
    lines: list[str] = []
    for one in steps:
        lines.append(f"{one.step} ({one.pointer})")
        lines += [f"  {path}: {shape}" for path, shape in one.scope.items()]
        lines.append("  → no step comes after it" if one.body is None else f"  → body: {one.body}")
    return "\n".join(lines)
