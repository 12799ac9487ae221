"""Flows, and what comes from outside while they run, made by chance."""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from tests.integration.flow_reference import Act, Call, Plan

#: How deep blocks stand in one another.
_DEEPEST: Final = 3

Step = dict[str, Any]


class FlowMaker:
    """Makes one flow, and the plan of what its acts do and what comes for its waits."""

    def __init__(self, dice: Random, calls: str | None = None) -> None:
        """`calls`: the id of another flow, which steps of this one may call."""
        self._dice = dice
        self._calls = calls
        self._count = 0
        self.plan = Plan()

    def document(self) -> dict[str, Any]:
        """The flow but its id and its trigger; its last step tells what came of it."""
        made: dict[str, Any] = {"steps": [*self._steps(0, []), self._act([], inside=False, sure=True)]}
        if self._chance(0.2):
            made["on_error"] = [self._act([], inside=False, values=["$.body", "$.error.code"])]
        if self._chance(0.1):
            made["timeout"] = self._dice.choice(["4s", "15s"])
        return made

    def _chance(self, part: float) -> bool:
        return self._dice.random() < part

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    def _steps(self, depth: int, known: list[str], *, inside: bool = False, least: int = 1, **more: Any) -> list[Step]:
        """`known`: acts before these whose results are numbers. `inside`: of a foreach."""
        known = list(known)
        made: list[Step] = []
        for _ in range(self._dice.randint(least, 3)):
            step = self._step(depth, known, inside=inside, **more)
            if self._chance(0.1):
                step["when"] = self._condition(known, inside=inside)
            elif step.get("use") == "probe.act" and step.get("on_error") != "continue":
                known.append(step["id"])
            made.append(step)
        return made

    def _step(self, depth: int, known: list[str], *, inside: bool, ends: bool = True, caught: bool = False) -> Step:
        blocks: list[Callable[..., Step]] = [self._switch, self._foreach, self._parallel, self._try, self._try]
        if depth < _DEEPEST and self._chance(0.45):
            return self._dice.choice(blocks)(depth + 1, known, inside=inside, ends=ends, caught=caught)
        if self._calls is not None and self._chance(0.15):
            return self._call(self._calls)
        kind = self._dice.random()
        if kind < 0.6:
            return self._act(known, inside=inside, caught=caught)
        if kind < 0.72:
            return self._wait()
        if kind < 0.82:
            return {"id": self._id("sleep"), "use": "sleep", "with": {"for": self._dice.choice(["500ms", "3s"])}}
        if kind < 0.9:
            return {
                "id": self._id("map"),
                "use": "map",
                "with": {"body": self._value(known, inside=inside, caught=caught)},
            }
        if kind < 0.96 or not ends:
            keep = self._condition(known, inside=inside)
            return {"id": self._id("filter"), "use": "filter", "with": {"keep": keep}}
        if kind < 0.98:
            return {"id": self._id("stop"), "use": "stop"}
        return {"id": self._id("fail"), "use": "fail", "with": {"message": "so it was meant", "code": "meant"}}

    def _value(self, known: list[str], *, inside: bool, caught: bool = False) -> Any:
        values: list[Any] = ["$.body", "$.trigger.body", self._dice.randint(0, 9)]
        values += [f"$.steps.{step_id}.body" for step_id in known]
        values += ["$.item", "$.index"] if inside else []
        values += ["$.error.code"] * 3 if caught else []
        return self._dice.choice(values)

    def _condition(self, known: list[str], *, inside: bool) -> Any:
        conditions: list[Any] = [True, False]
        conditions += [f"{{{{ steps.{step_id}.body % 2 == 0 }}}}" for step_id in known]
        conditions += [f"{{{{ index == {self._dice.randint(0, 2)} }}}}"] * 2 if inside else []
        return self._dice.choice(conditions)

    def _act(
        self,
        known: list[str],
        *,
        inside: bool,
        caught: bool = False,
        values: list[Any] | None = None,
        sure: bool = False,
    ) -> Step:
        step_id = self._id("act")
        value = [self._dice.choice(values)] if values else [self._value(known, inside=inside, caught=caught), "$.body"]
        once = not sure and self._chance(0.15)
        given = {"value": {"index": "$.index" if inside else 0, "of": value, "once": once}}
        step: Step = {"id": step_id, "use": "probe.act", "with": given}
        if self._chance(0.3):
            step["retry"] = {
                "attempts": self._dice.randint(1, 3),
                "wait": self._dice.choice(["200ms", "1s", "5s"]),
                "factor": 1,
            }
        if self._chance(0.15):
            step["on_error"] = "continue"
        if once:
            step.pop("retry", None)
            step["delivery"] = "at_most_once"
        if not sure and self._chance(0.06):
            # In real time, which is short: an act that ends by itself must not be taken for one that doesn't.
            step["timeout"] = "20ms"
            self.plan.acts[step_id] = [Act(hangs=True)]
            return step
        one = Act if sure else self._one_act
        self.plan.acts[step_id] = [one() for _ in range(3 if inside else 1)]
        return step

    def _one_act(self) -> Act:
        away = self._dice.choice([0, 0, 0, 0, 0, 0, 1, 1, 2, 9])
        for_good, turns = self._chance(0.12), self._dice.choice([0, 0, 1, 5, 30])
        return Act(away, for_good=for_good, turns=turns, rounds=self._dice.choice([1, 1, 2, 3]))

    def _wait(self) -> Step:
        step_id = self._id("wait")
        never = self._chance(0.25)
        settings = {"timeout": "20s"} if never else self._dice.choice([{}, {"timeout": "2d"}])
        step: Step = {"id": step_id, "use": "webhook", "with": {"verify": "none", **settings}}
        if self._chance(0.3):
            step["on_error"] = "continue"
        whens = ["never"] if never else ["early", "late", "late"]
        self.plan.calls[step_id] = [
            Call(self._dice.choice(whens), self._dice.randint(0, 99)) for _ in range(self._dice.randint(1, 3))
        ]
        return step

    def _call(self, flow_id: str) -> Step:
        given = {"id": flow_id, "wait": self._chance(0.75)}
        step: Step = {"id": self._id("call"), "use": "flow", "with": given}
        if self._chance(0.3):
            step["on_error"] = "continue"
        return step

    def _switch(self, depth: int, known: list[str], *, inside: bool, **more: Any) -> Step:
        cases: list[dict[str, Any]] = [
            {
                "when": self._condition(known, inside=inside),
                "steps": self._steps(depth, known, inside=inside, **more),
            }
            for _ in range(self._dice.randint(1, 2))
        ]
        if self._chance(0.5):
            cases.append({"otherwise": True, "steps": self._steps(depth, known, inside=inside, least=0, **more)})
        return {"id": self._id("switch"), "switch": cases, "match": self._dice.choice(["first", "first", "all"])}

    def _foreach(self, depth: int, known: list[str], *, inside: bool, **more: Any) -> Step:
        items: Any = list(range(self._dice.randint(0, 4)))
        step: Step = {"id": self._id("each"), "foreach": items, "concurrency": self._dice.choice([1, 1, 2, 4])}
        if self._chance(0.4):
            step["on_error"] = "continue"
        if self._chance(0.2):
            step["collect"] = "count"
        step["steps"] = self._steps(depth, known, inside=True, **more)
        return step

    def _parallel(self, depth: int, known: list[str], *, inside: bool, **more: Any) -> Step:
        branches = {
            f"b{number}": self._steps(depth, known, inside=inside, **more) for number in range(self._dice.randint(1, 3))
        }
        step: Step = {"id": self._id("fan"), "parallel": branches}
        if self._chance(0.3):
            step["on_error"] = "continue"
        return step

    def _try(self, depth: int, known: list[str], *, inside: bool, **more: Any) -> Step:
        step: Step = {"id": self._id("try"), "try": self._steps(depth, known, inside=inside, **more)}
        if self._chance(0.7):
            step["catch"] = self._steps(depth, known, inside=inside, **{**more, "caught": True})
        if self._chance(0.5) or "catch" not in step:
            # What a stop in here replaces is not what is looked at.
            step["finally"] = self._steps(depth, known, inside=inside, **{**more, "ends": False, "caught": False})
        return step
