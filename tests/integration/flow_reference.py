"""What a flow does by the rules of the language alone: no journal, no time, no store, one thing after the other.

Acts end as a plan says. Where parts of a block run side by side and several would end it, which one does is chance:
then only the block's failure is known, and not which it was.
"""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from hookline.kernel.json import encode

ATTEMPTS: Final = 3
"""How often a retryable error is tried by default, the first time included."""


class Act(NamedTuple):
    """How an act ends: so many failures come first, and then it does its work, unless it fails for good."""

    away: int = 0
    for_good: bool = False
    turns: int = 0
    """How many turns of the event loop it takes."""
    hangs: bool = False
    """It never ends by itself."""
    rounds: int = 1
    """After so many rounds, of which an operator's retry begins the next one, it doesn't fail any more."""


class Call(NamedTuple):
    """What comes for a step that waits."""

    when: str
    """`early`, before it is reached; `late`, once it waits; or `never`."""
    body: Any = None


@dataclass
class Plan:
    """What comes from outside, by step id; of several it is that of the innermost item's index."""

    acts: dict[str, list[Act]] = field(default_factory=dict)
    calls: dict[str, list[Call]] = field(default_factory=dict)

    def act(self, step_id: str, index: int) -> Act:
        """How an act ends."""
        return self.acts[step_id][index % len(self.acts[step_id])]

    def call(self, step_id: str, index: int) -> Call:
        """What comes for a step that waits."""
        return self.calls[step_id][index % len(self.calls[step_id])]


@dataclass(frozen=True)
class Called:
    """What is known of an execution that a step has started."""

    execution_id: str
    ended: bool = False
    error: str | None = None
    """The code with which it failed."""
    completed: bool = False
    sure: bool = True
    """What it ended with is known."""
    body: Any = None


@dataclass(frozen=True)
class Facts:
    """What the rules leave open, as it was seen: where an engine died, and how the flows ended that were called."""

    unknown: frozenset[str] = frozenset()
    """Paths of what runs at most once and was cut off."""
    called: Mapping[str, Called] = field(default_factory=dict)
    """By the path of the step that called it."""
    stood: Mapping[str, str] = field(default_factory=dict)
    """Of one that is retried: paths of what had failed and stays so, and the codes."""
    results: Mapping[str, Any] = field(default_factory=dict)
    """Of one that is retried: what its acts have given that are done, by their paths."""
    round: int = 0
    """How often it was retried."""


def done(step_id: str, value: Any) -> int:
    """What an act gives."""
    return zlib.crc32(step_id.encode() + encode(value)) % 1000


class Unknown(Exception):
    """What comes next depends on which of several parts was first."""


class Failed(Exception):
    """A step has failed: with one of these errors, each a code and the step's path."""

    def __init__(self, *errors: tuple[str, str]) -> None:
        self.errors = frozenset(errors)
        super().__init__(errors)


DONE, FILTERED, STOPPED = "completed", "filtered", "stopped"

Path = str
Step = Mapping[str, Any]


@dataclass
class Scope:
    """Where a list of steps has got to."""

    body: Any
    steps: dict[str, Any]
    names: Mapping[str, Any]
    lenient: bool = False
    """Something around it takes failures."""

    @property
    def index(self) -> int:
        """The innermost item's, 0 outside of any."""
        index: int = self.names.get("index", 0)
        return index


class Reference:
    """One message's run through a flow."""

    def __init__(self, flow: Mapping[str, Any], plan: Plan, body: Any, facts: Facts | None = None) -> None:
        self.flow = flow
        self.plan = plan
        self.trigger = body
        self.facts = facts or Facts()
        self.stood: dict[Path, str] = dict(self.facts.stood)
        """Where a failure is taken by something in the flow, so that a retry of the execution changes nothing of it."""
        self.flows: set[Path] = set()
        """The steps that call flows."""
        self.body: Any = None
        """What it ends with."""
        self.calls: dict[tuple[Path, int], Any] = {}
        """The value with which each attempt at an act is called."""
        self.waits: dict[Path, Call] = {}
        """What comes for each step that waits."""
        self.optional: set[Path] = set()
        """What begins with one of these may be cut off at any point: what stands beside it ends the block."""
        self.outcome: str | None = None
        """How it ends; None where that is chance."""
        self.errors: frozenset[tuple[str, str]] = frozenset()
        """Where it fails, one of these."""

    def run(self) -> None:
        """Run it."""
        scope = Scope(self.trigger, {}, {})
        try:
            try:
                self.outcome = self._run(self.flow["steps"], scope, "")
                self.body = scope.body
            except Failed as failed:
                self.errors = failed.errors
                if self.flow.get("on_error"):
                    self._on_error(failed)
                self.outcome = "failed"
        except Unknown:
            self.outcome = None

    def call(self, path: Path) -> Call:
        """What comes for a step that waits, whether this came to it or not."""
        *_, index = [0, *map(int, re.findall(r"\[(\d+)\]", path))]
        return self.plan.call(path.rpartition("/")[2], index)

    def is_optional(self, path: Path) -> bool:
        """Whether a step may be cut off, or not be reached."""
        return any(path == one or path.startswith((f"{one}/", f"{one}[")) for one in self.optional)

    def _on_error(self, failed: Failed) -> None:
        scope = Scope(self.trigger, {}, {"error": failed.errors})
        try:
            self._run(self.flow["on_error"], scope, "on_error/")
        except Failed:
            return

    def _run(self, steps: Sequence[Step], scope: Scope, prefix: Path) -> str:
        for step in steps:
            if not self._condition(step.get("when", True), scope):
                continue
            kind = next((key for key in ("switch", "foreach", "parallel", "try") if key in step), "action")
            ending: str = getattr(self, f"_{kind}")(step, scope, prefix)
            if ending != DONE:
                return ending
        return DONE

    # --- expressions: those that the flows of the test have ----------------------------------------------------------

    def _value(self, expression: Any, scope: Scope) -> Any:
        match expression:
            case dict():
                return {name: self._value(value, scope) for name, value in expression.items()}
            case list():
                return [self._value(value, scope) for value in expression]
            case "$.body":
                return scope.body
            case "$.trigger.body":
                return self.trigger
            case "$.item" | "$.index":
                return scope.names[expression[2:]]
            case "$.error.code":
                codes = {code for code, _ in scope.names["error"]}
                if len(codes) > 1:
                    raise Unknown
                return codes.pop()
            case str() if expression.startswith("$.steps."):
                return scope.steps[expression.split(".")[2]]
            case str() if expression.startswith("$"):
                raise AssertionError(f"the reference doesn't know {expression}")
        return expression

    def _condition(self, condition: Any, scope: Scope) -> bool:
        if isinstance(condition, bool):
            return condition
        words = condition.strip("{} ").split()
        match words:
            case ["index", "==", number]:
                return scope.index == int(number)
            case [name, "%", "2", "==", "0"]:
                return bool(self._value(f"$.{name}", scope) % 2 == 0)
        raise AssertionError(f"the reference doesn't know {condition}")

    # --- actions -----------------------------------------------------------------------------------------------------

    def _action(self, step: Step, scope: Scope, prefix: Path) -> str:
        path = prefix + step["id"]
        match step["use"]:
            case "stop":
                return STOPPED
            case "filter":
                return DONE if self._condition(step["with"]["keep"], scope) else FILTERED
            case "sleep":
                return DONE
            case "map":
                scope.body = self._value(step["with"]["body"], scope)
                return DONE
            case "fail":
                raise Failed((step["with"]["code"], path))
        does = {"webhook": self._wait, "flow": self._call}.get(step["use"], self._act)
        go_on = step.get("on_error") == "continue"
        try:
            if path in self.facts.stood:
                raise Failed((self.facts.stood[path], path))
            scope.body = does(step, scope, path)
        except Failed as failed:
            if go_on or scope.lenient:
                self.stood[path] = next(code for code, _ in failed.errors)
            if not go_on:
                raise
        scope.steps[step["id"]] = scope.body
        return DONE

    def _act(self, step: Step, scope: Scope, path: Path) -> Any:
        if path in self.facts.results:
            return self.facts.results[path]
        plan = self.plan.act(step["id"], scope.index)
        value = self._value(step["with"]["value"], scope)
        once = step.get("delivery") == "at_most_once"
        attempts = 1 if once else step["retry"]["attempts"] if "retry" in step else ATTEMPTS
        for attempt in range(1, attempts + 1):
            self.calls[path, attempt] = value
            if path in self.facts.unknown:
                raise Failed(("outcome_unknown", path))
            if plan.hangs:
                continue
            if self.facts.round >= plan.rounds or (attempt > plan.away and not plan.for_good):
                return done(step["id"], value["of"])
            if attempt > plan.away:
                raise Failed(("probe.no", path))
        if plan.hangs:
            raise Failed(("outcome_unknown" if once else "timed_out", path))
        raise Failed(("probe.away", path))

    def _call(self, step: Step, scope: Scope, path: Path) -> Any:
        self.flows.add(path)
        called = self.facts.called.get(path, Called(""))
        if not step["with"]["wait"]:
            return {"execution_id": called.execution_id}
        if not called.ended or not called.sure:
            raise Unknown
        if called.error is not None:
            raise Failed((called.error, path))
        return called.body if called.completed else None

    def _wait(self, step: Step, scope: Scope, path: Path) -> Any:
        call = self.waits[path] = self.plan.call(step["id"], scope.index)
        if call.when == "never":
            raise Failed(("wait_timed_out", path))
        return call.body

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _switch(self, step: Step, scope: Scope, prefix: Path) -> str:
        every = step.get("match") == "all"
        chosen = [case for case in step["switch"] if "when" in case and self._condition(case["when"], scope)]
        chosen = chosen or [case for case in step["switch"] if "otherwise" in case]
        for case in chosen if every else chosen[:1]:
            inner = Scope(scope.body, scope.steps, scope.names, scope.lenient)
            if self._run(case["steps"], inner, f"{prefix}{step['id']}/") == STOPPED:
                return STOPPED
            if not every:
                scope.body = inner.body
        return DONE

    def _try(self, step: Step, scope: Scope, prefix: Path) -> str:
        inside = f"{prefix}{step['id']}/"
        lenient = scope.lenient or "catch" in step
        inner, ending, left = Scope(scope.body, scope.steps, scope.names, lenient), DONE, None
        try:
            ending = self._run(step["try"], inner, inside)
        except Failed as failed:
            if "catch" in step:
                inner = Scope(scope.body, scope.steps, {**scope.names, "error": failed.errors}, scope.lenient)
                try:
                    ending = self._run(step["catch"], inner, inside)
                except Failed as again:
                    left = again
            else:
                left = failed
        if "finally" in step:
            self._run(step["finally"], Scope(inner.body, scope.steps, scope.names, scope.lenient), inside)
        if left is not None:
            raise left
        scope.body = inner.body
        return ending

    def _foreach(self, step: Step, scope: Scope, prefix: Path) -> str:
        items = self._value(step["foreach"], scope) or []
        lenient = scope.lenient or step.get("on_error") == "continue"
        parts = []
        for index, item in enumerate(items):
            inner = Scope(item, dict(scope.steps), {**scope.names, "item": item, "index": index}, lenient)
            parts.append((f"{prefix}{step['id']}[{index}]", step["steps"], inner))
        results = self._side_by_side(step, parts, lambda number: [parts[number][0]])
        if results is None:
            return STOPPED
        failed = sum(ending == "failed" for ending, _ in results)
        found = [body for ending, body in results if ending == DONE]
        scope.body = {"count": len(items), "failed": failed} if step.get("collect") == "count" else found
        scope.steps[step["id"]] = scope.body
        return DONE

    def _parallel(self, step: Step, scope: Scope, prefix: Path) -> str:
        branches = list(step["parallel"].items())
        inside = f"{prefix}{step['id']}"
        lenient = scope.lenient or step.get("on_error") == "continue"
        parts = [(inside, steps, Scope(scope.body, dict(scope.steps), scope.names, lenient)) for _, steps in branches]
        results = self._side_by_side(
            step, parts, lambda number: [f"{inside}/{one['id']}" for one in branches[number][1]]
        )
        if results is None:
            return STOPPED
        scope.body = {name: body for (name, _), (ending, body) in zip(branches, results, strict=True) if ending == DONE}
        scope.steps[step["id"]] = scope.body
        return DONE

    def _side_by_side(
        self, step: Step, parts: Sequence[tuple[Path, Sequence[Step], Scope]], paths: Callable[[int], list[Path]]
    ) -> list[tuple[str, Any]] | None:
        """How each part ends, and its body; None where one of them has stopped the execution.

        `paths`: what the paths of a part's steps begin with.
        """
        endings: list[tuple[str, Any]] = []
        failures: list[Failed] = []
        ending_parts: list[int] = []
        for number, (inside, steps, scope) in enumerate(parts):
            try:
                ending = self._run(steps, scope, f"{inside}/")
            except Failed as failed:
                ending = "failed"
                if step.get("on_error") != "continue":
                    failures.append(failed)
                    ending_parts.append(number)
            if ending == STOPPED:
                ending_parts.append(number)
            endings.append((ending, scope.body))
        if not ending_parts:
            return endings
        sure = ending_parts if len(ending_parts) == 1 else []
        self.optional.update(path for number in range(len(parts)) if number not in sure for path in paths(number))
        if failures:
            if len(failures) < len(ending_parts):
                raise Unknown
            raise Failed(*(error for failed in failures for error in failed.errors))
        return None
