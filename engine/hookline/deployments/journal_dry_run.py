"""The dry run of a flow along the journal of an execution: it shows where the execution would continue."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from hookline.executions.execution_context import StepGate
from hookline.executions.waiting_callers import FINISHED
from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.batch import USE as GATHER
from hookline.flows.blocks.batch import CompiledBatch
from hookline.flows.blocks.flow_call import USE as FLOW
from hookline.flows.blocks.flow_call import CompiledCall
from hookline.flows.blocks.foreach import USE as FOREACH
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.blocks.parallel import CompiledParallel
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.step_walkers import find_step
from hookline.flows.blocks.switch import CompiledSwitch
from hookline.flows.blocks.try_block import CompiledTry
from hookline.flows.blocks.webhook_wait import USE as WEBHOOK
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.compiler.compile import ON_ERROR_PREFIX
from hookline.model.execution import OUTCOME_UNKNOWN, RATE, REPLAY, StepRecord, StepState
from hookline.model.foreach_progress_and_streams import STREAM, Progress
from hookline.sdk.settings.setting_upgrades import plain_name

#: The names of the blocks in the journal.
_BLOCKS: Final[dict[type[CompiledStep], str]] = {
    CompiledSwitch: "switch",
    CompiledForeach: FOREACH,
    CompiledParallel: "parallel",
    CompiledTry: "try",
    CompiledWait: WEBHOOK,
    CompiledCall: FLOW,
    CompiledBatch: GATHER,
}
_RECOMPUTED: Final = frozenset({"switch", "parallel", "try", REPLAY})


class _Items(msgspec.Struct):
    items: int


class DryRun(StepGate):
    """The gate of a dry run: it ends before the first step that would take effect, and keeps what it has found."""

    def __init__(
        self,
        past: Sequence[StepRecord],
        under_way: Sequence[Progress],
        pure: Callable[[str], bool],
        reopened_after: int,
    ) -> None:
        """`pure` tells whether an action, given by its name, is computed again instead of replayed."""
        self._under_way = {progress.path: progress.total for progress in under_way}
        self._pure = pure
        self._latest = {record.path: record for record in past}
        self._many = unrecorded_items(self._latest)
        self._binding = {path: record for path, record in self._latest.items() if self._binds(record, reopened_after)}
        self._met: set[str] = set()
        self.conflicts: dict[str, str] = {}
        """The reasons of the steps whose entry belongs to something else, by path."""
        self.stops: list[str] = []
        """The paths at which the execution would continue: steps that haven't been done, or that wait."""

    @property
    def unreached(self) -> Sequence[str]:
        """The paths of the finished and running steps that the dry run did not reach, in that order."""
        left = [record for path, record in self._binding.items() if path not in self._met]
        done = [record.path for record in sorted(left, key=lambda record: record.seq)]
        return [*done, *sorted(self._under_way.keys() - self._met)]

    def may_reach(self, path: str, step: CompiledStep) -> bool:
        """Note that a step is reached; return False if its entry belongs to something else."""
        record, use = self._latest.get(path), use_of(step)
        if record is None or record.state is StepState.SKIPPED:
            return True
        both_pure = isinstance(step, CompiledAction) and step.action.pure and self._recomputed(record)
        # The version of its settings doesn't matter for a finished step.
        if plain_name(record.use) != plain_name(use) and not both_pure:
            self.conflicts[path] = f"it is {use} there, and was {record.use}: give the new step another id"
            return False
        self._met.add(path)
        return True

    def may_enter_foreach(self, path: str, total: int, *, many: bool) -> bool:
        """Note that a foreach with this number of items is reached; `many`: the entries of its items aren't kept.

        Returns False if the foreach went through another list, so that it isn't known which of these items are done.
        """
        record, before, kept = self._latest.get(path), self._under_way.get(path), path not in self._many
        self._met.add(path)
        if before is not None:
            kept = False
        elif record is not None and record.state is StepState.SUCCEEDED:
            before = items_of(record)
        if kept or (before == total and many):
            return True
        self.conflicts[path] = f"it would go through {total} items, and went through {before}"
        return False

    def may_act(self, path: str) -> bool:
        """Note that the step would take effect, or wait, and return False."""
        self.stops.append(path)
        return False

    def mark_reached_later(self, prefix: str, steps: Sequence[CompiledStep]) -> None:
        """Note that these steps would be reached in the end, also if an earlier run has done them already."""
        for path, record in self._binding.items():
            if path.startswith(prefix):
                step = find_step(steps, path.removeprefix(prefix))
                if step is not None and plain_name(use_of(step)) == plain_name(record.use):
                    self._met.add(path)

    def _binds(self, record: StepRecord, reopened_after: int) -> bool:
        """Return whether a version must reach the step of an entry."""
        failed = record.error is not None and record.error.code != OUTCOME_UNKNOWN
        if record.state is StepState.SKIPPED or failed or record.signal == RATE or record.path == FINISHED:
            return False
        if record.path.startswith(ON_ERROR_PREFIX) and record.seq <= reopened_after:
            # This failure was handled by an earlier attempt.
            return False
        if record.use == FOREACH:
            return record.path in self._many
        return record.use not in _RECOMPUTED and not self._recomputed(record)

    def _recomputed(self, record: StepRecord) -> bool:
        return self._pure(record.use) and record.signal != STREAM


def unrecorded_items(latest: Mapping[str, StepRecord]) -> frozenset[str]:
    """The paths of the finished foreach blocks of which the journal doesn't keep the entries of all items.

    `latest`: the last entry of each step, by path.
    """
    entered: dict[str, set[str]] = {}
    finished: set[str] = set()
    for path, record in latest.items():
        for start in (place for place, character in enumerate(path) if character == "["):
            entered.setdefault(path[:start], set()).add(path[start : path.index("]", start)])
            if record.state is not StepState.FAILED:
                # Of an item among many only the entry of the failed step is kept.
                finished.add(path[:start])
    return frozenset(
        path
        for path, record in latest.items()
        if record.use == FOREACH
        and record.state is StepState.SUCCEEDED
        and path not in finished
        and len(entered.get(path, ())) < items_of(record)
    )


def items_of(record: StepRecord) -> int:
    """The number of items that a finished foreach went through."""
    return 0 if record.input is None else msgspec.json.decode(record.input, type=_Items).items


def use_of(step: CompiledStep) -> str:
    """The `use` of a step in the journal."""
    return step.action.name if isinstance(step, CompiledAction) else _BLOCKS[type(step)]
