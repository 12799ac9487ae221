"""Which names an expression may use at its place in a flow."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hookline.kernel.errors import Problem
from hookline.kernel.suggest import did_you_mean
from hookline.sdk.mappers import Reference

ALWAYS: Final = frozenset({"body", "headers", "attachments", "trigger", "steps", "vars", "execution"})
ON_ARRIVAL: Final = frozenset({"body", "headers", "attachments", "trigger", "vars"})
"""What there is of it before there is an execution."""
RESERVED: Final = ALWAYS | {"index", "error"}
"""What the item of a foreach can't be called."""


@dataclass(frozen=True, slots=True)
class VisibleNames:
    """A place in a flow, and what is in scope there."""

    roots: frozenset[str] = ALWAYS
    steps: frozenset[str] = frozenset()
    """Ids of the steps that have run whenever this place is reached."""
    maybe: frozenset[str] = frozenset()
    """Ids of steps in the cases of an earlier switch: one of them has run."""

    def after(self, step: str, maybe: Iterable[str] = ()) -> "VisibleNames":
        """The place behind a step; `maybe` are the steps in its cases."""
        return replace(self, steps=self.steps | {step}, maybe=self.maybe.union(maybe))

    def within(self, *names: str) -> "VisibleNames":
        """The place inside a block that gives its steps these names."""
        return replace(self, roots=self.roots.union(names))

    def besides(self, maybe: Iterable[str]) -> "VisibleNames":
        """The place in a case that may run after others."""
        return replace(self, maybe=self.maybe.union(maybe))


@dataclass(frozen=True, slots=True)
class DeclaredNames:
    """Every name that a flow has, wherever it is in scope."""

    steps: Mapping[str, str]
    """From each step's id to its pointer."""
    vars: Collection[str]
    items: Collection[str]
    """What its foreach blocks call their items."""

    def problem(self, reference: Reference, place: VisibleNames, pointer: str) -> Problem | None:
        """What is wrong with a reference of the expression at `pointer`; None where nothing is."""
        if not reference.path:
            return None
        root = reference.path[0]
        if root not in place.roots:
            return self._unknown_root(str(root), place, pointer)
        if len(reference.path) < 2 or not isinstance(reference.path[1], str):
            return None
        if root == "steps":
            return self._step(reference.path[1], reference.optional, place, pointer)
        if root == "vars" and reference.path[1] not in self.vars:
            name = reference.path[1]
            declared = f"the vars are {', '.join(sorted(self.vars))}" if self.vars else "declare it in the flow's vars"
            return Problem(
                f"there is no var {name!r}",
                pointer,
                "unknown_var",
                did_you_mean(name, self.vars, declared),
                "warning" if reference.optional else "error",
            )
        return None

    def _unknown_root(self, root: str, place: VisibleNames, pointer: str) -> Problem:
        if root in {"item", "index", *self.items}:
            return Problem(
                f"{root!r} exists only inside a foreach"
                + (f" whose items are called that; here the item is {_item(place)!r}" if _item(place) else ""),
                pointer,
                "out_of_scope",
                "move the step into the foreach, or read something else",
            )
        if root == "error":
            return Problem(
                "'error' exists only where an error is handled",
                pointer,
                "out_of_scope",
                'after a step with "on_error": "continue", read steps.<id>.error',
            )
        if root in ALWAYS:
            return Problem(
                f"{root!r} doesn't exist yet when a message arrives",
                pointer,
                "out_of_scope",
                f"read one of {', '.join(sorted(place.roots))}",
            )
        if root in self.steps:
            return Problem(f"there is no name {root!r}", pointer, "unknown_name", f"did you mean 'steps.{root}'?")
        if root in self.vars:
            return Problem(f"there is no name {root!r}", pointer, "unknown_name", f"did you mean 'vars.{root}'?")
        names = f"the names here are {', '.join(sorted(place.roots))}; what was sent is in 'body'"
        return Problem(f"there is no name {root!r}", pointer, "unknown_name", did_you_mean(root, place.roots, names))

    def _step(self, step: str, optional: bool, place: VisibleNames, pointer: str) -> Problem | None:
        if step in place.steps:
            return None
        if step in place.maybe:
            return (
                None
                if optional
                else Problem(
                    f"step {step!r} stands in a case of a switch and may not have run",
                    pointer,
                    "step_may_not_run",
                    f'say what holds without it: {{{{ steps.{step} | default(none) }}}}, or "default" by "jsonpath"',
                    "warning",
                )
            )
        if step not in self.steps:
            known = place.steps | place.maybe
            listed = f"the earlier steps are {', '.join(sorted(known))}" if known else "no step comes before this one"
            return Problem(f"there is no step {step!r}", pointer, "unknown_step", did_you_mean(step, known, listed))
        own = self.steps[step]
        if pointer.startswith(f"{own}/"):
            return Problem(
                f"step {step!r} has no result yet while it runs", pointer, "step_later", "refer to an earlier step"
            )
        outer = own.rpartition("/")[0]
        if pointer.startswith(f"{outer}/"):
            return Problem(
                f"step {step!r} comes later", pointer, "step_later", "move it up, or refer to an earlier one"
            )
        return Problem(
            f"step {step!r} stands in a block that doesn't include this place",
            pointer,
            "step_out_of_scope",
            "a block's own result is what later steps can read: refer to the block's id",
        )


def _item(place: VisibleNames) -> str | None:
    return next(iter(place.roots - ALWAYS - {"index", "error"}), None)
