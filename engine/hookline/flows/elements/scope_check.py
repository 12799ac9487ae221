"""The check that expressions read only names that are in scope at their position in a flow."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from hookline.kernel.errors import Problem
from hookline.kernel.pointers_and_patches import adding, escape
from hookline.kernel.suggestions_and_counts import listed, question, unknown_name
from hookline.sdk.mappers import Reference

ALWAYS: Final = frozenset({"body", "headers", "attachments", "trigger", "steps", "vars", "execution"})
ON_ARRIVAL: Final = frozenset({"body", "headers", "attachments", "trigger", "vars"})
"""The names that exist before there is an execution."""
RESERVED: Final = ALWAYS | {"index", "error"}
"""The names that the item of a foreach can't have."""


@dataclass(frozen=True, slots=True)
class VisibleNames:
    """The names in scope at one position in a flow."""

    roots: frozenset[str] = ALWAYS
    steps: frozenset[str] = frozenset()
    """Ids of the steps that have always run before."""
    maybe: frozenset[str] = frozenset()
    """Ids of the steps that may have run before, such as those in the cases of an earlier switch."""

    def after(self, step: str, maybe: Iterable[str] = ()) -> "VisibleNames":
        """The names after a step; `maybe`: ids of the steps inside it that may have run."""
        return replace(self, steps=self.steps | {step}, maybe=self.maybe.union(maybe))

    def within(self, *names: str) -> "VisibleNames":
        """The names inside a block that defines these names for its steps."""
        return replace(self, roots=self.roots.union(names))

    def besides(self, maybe: Iterable[str]) -> "VisibleNames":
        """The names at a position before which these steps may have run."""
        return replace(self, maybe=self.maybe.union(maybe))


@dataclass(frozen=True, slots=True)
class DeclaredNames:
    """All names of a flow, wherever they are in scope."""

    steps: Mapping[str, str]
    """From each step's id to its pointer."""
    vars: Collection[str]
    items: Collection[str]
    """The names of the items of its foreach blocks."""

    def problem(self, reference: Reference, place: VisibleNames, pointer: str) -> Problem | None:
        """The problem with a path that the expression at `pointer` reads; None if there is none."""
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
            declared = listed("the vars are", self.vars) if self.vars else "declare it in the flow's vars"
            severity: Literal["error", "warning"] = "warning" if reference.optional else "error"
            found = unknown_name(
                f"there is no var {name!r}", pointer, "unknown_var", name, self.vars, declared, severity, before="vars."
            )
            # A var of a similar name may be another one.
            return found if found.similar else replace(found, fix=adding(f"/vars/{escape(name)}", ""))
        return None

    def _unknown_root(self, root: str, place: VisibleNames, pointer: str) -> Problem:
        if root in {"item", "index", *self.items}:
            return Problem(
                f"{root!r} exists only inside a foreach"
                + (f" whose items have that name; here the item is {_item(place)!r}" if _item(place) else ""),
                pointer,
                "out_of_scope",
                "move the step into the foreach, or read something else",
            )
        if root == "error":
            return Problem(
                "'error' exists only in `catch` and `on_error`",
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
        message = f"there is no name {root!r}"
        for within, names in (("steps", self.steps), ("vars", self.vars)):
            if root in names:
                meant = f"{within}.{root}"
                return Problem(message, pointer, "unknown_name", question(meant), unknown=root, similar=meant)
        listing = f"the names here are {', '.join(sorted(place.roots))}; the sent data is in 'body'"
        return unknown_name(message, pointer, "unknown_name", root, place.roots, listing)

    def _step(self, step: str, optional: bool, place: VisibleNames, pointer: str) -> Problem | None:
        if step in place.steps:
            return None
        if step in place.maybe:
            return (
                None
                if optional
                else Problem(
                    f"step {step!r} may not have run, because it is in a case of a switch or in a try",
                    pointer,
                    "step_may_not_run",
                    f'give a default: {{{{ steps.{step} | default(none) }}}}, or "default" beside "jsonpath"',
                    "warning",
                    unknown=f"steps.{step}",
                )
            )
        if step not in self.steps:
            known = place.steps | place.maybe
            earlier = listed("the earlier steps are", known) if known else "no step comes before this one"
            message = f"there is no step {step!r}"
            return unknown_name(message, pointer, "unknown_step", step, known, earlier, before="steps.")
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
            f"step {step!r} is inside a block that this expression is not in",
            pointer,
            "step_out_of_scope",
            "later steps can read the result of the block, not those of the steps in it: use the block's id",
        )


def _item(place: VisibleNames) -> str | None:
    return next(iter(place.roots - ALWAYS - {"index", "error"}), None)
