"""The stubs of a case, which answer in place of everything outside."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn, Protocol, TypeVar

from hookline.discovery.registry import Registry
from hookline.executions.execution_context import StepFailed
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.blocks.step_walkers import without_items
from hookline.kernel.errors import StepError
from hookline.model.callbacks_and_pages import Call as Arrived
from hookline.model.callbacks_and_pages import raw_json
from hookline.model.execution import ErrorInfo, Outcome
from hookline.model.foreach_progress_and_streams import Stream
from hookline.model.message import Attachment
from hookline.sdk.action import Action, Reply
from hookline.simulation.cases import Answer, Case, Stub

_T = TypeVar("_T")
#: The blob id of a stubbed stream, whose items don't exist.
_NO_BLOB: Final = "stub"


@dataclass(frozen=True, slots=True)
class PreparedStub:
    """A function in the place of an action, a foreach or a batch, with a prepared result."""

    give: Callable[[], Awaitable[Any]]
    """Raises StepError, and for a foreach StepFailed."""
    call: bool = True
    """True if it counts as a call."""


@dataclass(frozen=True, slots=True)
class FinishedStub:
    """The prepared end of a called flow, which doesn't run."""

    body: Any = None
    attachments: tuple[Attachment, ...] | None = None
    """None for those of the message that it gets."""
    outcome: Outcome = Outcome.COMPLETED
    error: ErrorInfo | None = None
    at: datetime | None = None
    """None if it ends at once."""


@dataclass(frozen=True, slots=True)
class NeverFinishedStub:
    """A called flow that doesn't end."""


class Outside(Protocol):
    """The outside of a simulated flow. The path of a step in a called flow begins with that of the calling step."""

    def call(self, path: str, attempt: int, action: Action, settings: Any) -> PreparedStub | None:
        """Return the stub of an action; None if it runs itself."""
        ...

    def without_file(self, path: str, action: Action, settings: Any) -> PreparedStub | None:
        """Return the stub of an action whose file doesn't exist."""
        ...

    def items(self, path: str, block: CompiledForeach, items: list[Any] | Stream) -> PreparedStub | None:
        """Return the stub of all items of a foreach; None if they run."""
        ...

    def starts(self, path: str) -> None:
        """Note that a step is about to start a flow."""
        ...

    def flow(self, path: str, attempt: int, flow_id: str) -> FinishedStub | NeverFinishedStub | None:
        """Return the prepared end of a called flow; None if it runs."""
        ...

    def arrives(self, path: str, begun: datetime) -> tuple[datetime, Arrived] | None:
        """Return the callback of a step that has begun to wait, with its time."""
        ...

    @property
    def retries(self) -> int:
        """The number of times that an operator retries the failed execution."""
        ...

    def gathered(self, path: str, attempt: int) -> PreparedStub | None:
        """Return the stub of a batch; None if the step waits for other executions."""
        ...


class CaseStubs:
    """The stubs and the answers of a case: by the step's whole path, or by its path without the items' numbers."""

    def __init__(self, case: Case, registry: Registry) -> None:
        self._case = case
        self._registry = registry
        self._made: dict[str, int] = {}
        self.missing: list[str] = []
        """The calls that had no stub."""

    @property
    def retries(self) -> int:
        """The number of retries in the case."""
        return self._case.retries

    def call(self, path: str, attempt: int, action: Action, settings: Any) -> PreparedStub | None:
        """Return the stub's result or its error. An action with effects and without a stub fails."""
        stub = self._stub(path)

        async def give() -> Reply:
            if stub is None:
                self._lacks(path, f"{action.name} has effects")
            return _result(stub)

        return None if stub is None and touches_nothing_outside(action, self._registry) else PreparedStub(give)

    def without_file(self, path: str, action: Action, settings: Any) -> PreparedStub | None:
        """Return None: all files are those of the case."""
        return None

    def items(self, path: str, block: CompiledForeach, items: list[Any] | Stream) -> PreparedStub | None:
        """Return the stub's result or its error. A foreach over a stubbed stream needs a stub, too."""
        stubbed = bool(self._case.stubs) and _at(self._case.stubs, path) is not None
        nowhere = isinstance(items, Stream) and items.blob_id == _NO_BLOB
        if not stubbed and not nowhere:
            return None

        async def give() -> Reply:
            stub = self._stub(path)
            if stub is None:
                self._lacks(path, "it goes through a stream whose items the case doesn't have,")
            try:
                return _result(stub)
            except StepError as error:
                step = stub.error.step if stub.error is not None else None
                info = ErrorInfo(error.error_code, error.message, step or path, error.retryable)
                raise StepFailed(info) from error

        return PreparedStub(give, call=False)

    def starts(self, path: str) -> None:
        """Do nothing."""

    def flow(self, path: str, attempt: int, flow_id: str) -> FinishedStub | NeverFinishedStub | None:
        """Return the stub's result; without a stub, the flow runs."""
        stub = self._stub(path)
        if stub is None:
            return None
        if stub.error is not None:
            return FinishedStub(
                outcome=Outcome.FAILED,
                error=ErrorInfo(stub.error.code, stub.error.message, stub.error.step, stub.error.retryable),
            )
        return FinishedStub(stub.result, outcome=Outcome(stub.beside.get("outcome", Outcome.COMPLETED)))

    def arrives(self, path: str, begun: datetime) -> tuple[datetime, Arrived] | None:
        """Return the callback that the case gives."""
        answer: Answer | None = _at(self._case.answers, path)
        if answer is None:
            return None
        at = begun + answer.after
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return at, Arrived(raw_json(answer.body), headers, (), answer.method, answer.query, at, "test case", None)

    def gathered(self, path: str, attempt: int) -> PreparedStub | None:
        """Return the stub's result, a list, or its error. Without a stub, the step waits, and nobody joins."""
        stub = self._stub(path)
        if stub is None:
            return None

        async def give() -> Reply:
            return _result(stub)

        return PreparedStub(give, call=False)

    def has(self, path: str) -> bool:
        """Return true if the case has a stub for a step."""
        return _at(self._case.stubs, path) is not None

    def _lacks(self, path: str, why: str) -> NoReturn:
        """Note that a stub is missing, which fails the case even if the flow handles the error. Raises StepError."""
        text = (
            f'step {path}: {why} and no stub; add it to the case: "stubs": {{"{without_items(path)}": {{"result": …}}}}'
        )
        self.missing.append(text)
        raise StepError(text, code="case.stub")

    def _stub(self, path: str) -> Stub | None:
        """Return the stub of a step's next attempt, including an operator's retries."""
        if not self._case.stubs:
            return None
        given = _at(self._case.stubs, path)
        if not isinstance(given, tuple):
            return given
        made = self._made[path] = self._made.get(path, 0) + 1
        return given[min(made, len(given)) - 1] if given else None


def touches_nothing_outside(action: Action, registry: Registry) -> bool:
    """Return true if an action touches nothing outside: it is pure, or its connector says so."""
    return action.pure or any(
        not c.outside and action in (*c.actions.values(), *c.pinned.values()) for c in registry.connectors.values()
    )


def _result(stub: Stub) -> Reply:
    if stub.error is not None:
        raise StepError(stub.error.message, code=stub.error.code, retryable=stub.error.retryable)
    status = {} if stub.status is None else {"status": stub.status}
    body = stub.result if stub.stream is None else Stream(_NO_BLOB, stub.stream)
    return Reply(body, stub.headers, {**status, **stub.beside})


def _at(values: Mapping[str, _T], path: str) -> _T | None:
    found = values.get(path)
    return found if found is not None else values.get(without_items(path))
