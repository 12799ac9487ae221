"""What a flow keeps, as one attempt at a step sees and changes it."""

from typing import Any, Final

from hookline.executions.context import ExecutionRun
from hookline.kernel.errors import StepError
from hookline.kernel.json import JsonValue, reader
from hookline.sdk.context import check_key, packed
from hookline.storage.changes import SetState

#: By whether the numbers of the flow are exact.
_VALUES: Final = {exact: reader(Any, exact=exact) for exact in (False, True)}


class StagedState:
    """Keeps what the attempt changes until it has succeeded; see `hookline.sdk.context.FlowState`."""

    def __init__(self, run: ExecutionRun, *, pure: bool) -> None:
        self._run = run
        self._pure = pure
        self._staged: dict[str, bytes | None] = {}

    async def get(self, key: str) -> JsonValue:
        """The value under a key."""
        self._check(key)
        if key in self._staged:
            value = self._staged[key]
        else:
            kept = self._run.journal.kept(key)
            value = await self._run.services.store.state(self._run.flow.id, key) if kept is None else kept.value
        return None if value is None else _VALUES[self._run.flow.exact].decode(value)

    async def set(self, key: str, value: JsonValue) -> None:
        """Keep a value under a key."""
        self._check(key)
        self._staged[key] = packed(key, value)

    def changes(self, counts: str | None = None) -> tuple[SetState, ...]:
        """What becomes durable with the step's entry. Raises StepError for a key that the step `counts`, too."""
        if counts is not None and counts in self._staged:
            raise StepError(f"the step sets {counts!r} and counts on it", code="connector.defect")
        now = self._run.services.clock.now()
        return tuple(SetState(self._run.flow.id, key, value, now) for key, value in self._staged.items())

    def _check(self, key: str) -> None:
        if self._pure:
            # It is done again whenever the execution goes on, and has to give the same.
            raise RuntimeError("a pure action has no state")
        check_key(key)
