"""What answers in the place of everything outside, as a case says it."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from hookline.connector import Action, Reply
from hookline.errors import StepError
from hookline.ports import Joined
from hookline.registry import Registry
from hookline.testing.cases import Answer, Case, Stub
from hookline.testing.flow_places import without_items

_T = TypeVar("_T")


class Outside(Protocol):
    """What a flow meets while it is tried out. Paths of steps of called flows stand behind that of the calling step."""

    def call(self, path: str, attempt: int, action: Action, settings: Any) -> Any:
        """What an action with effects gives. Raises StepError."""
        ...

    def flow(self, path: str, attempt: int, flow_id: str, given: Any) -> Reply | None:
        """What a flow that is called gives; None where it is to run. Raises StepError."""
        ...

    def answer(self, path: str) -> Answer | None:
        """What comes for a step that waits."""
        ...

    def gathered(self, path: str, attempt: int) -> Reply | Joined | None:
        """What a step gives that gathers, or whose batch is joined there; None where it waits for others. Raises
        StepError."""
        ...


class CaseStubs:
    """The stubs and the answers of a case: by the step's whole path, or by its path without the items' numbers."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.missing: list[str] = []
        """What was met, and no stub is for."""

    def call(self, path: str, attempt: int, action: Action, settings: Any) -> Any:
        """The stub's result. Raises its StepError, and one where there is no stub."""
        stub = self._stub(path, attempt)
        return self._result(stub) if stub is not None else self.lacks(path, f"{action.name} has effects")

    def flow(self, path: str, attempt: int, flow_id: str, given: Any) -> Reply | None:
        """The stub's result; without one the flow runs."""
        stub = self._stub(path, attempt)
        return None if stub is None else self._result(stub)

    def answer(self, path: str) -> Answer | None:
        """What the case says that comes."""
        return _at(self._case.answers, path)

    def gathered(self, path: str, attempt: int) -> Reply | None:
        """The stub's result, a list; without one the step waits, and nobody joins."""
        stub = self._stub(path, attempt)
        return None if stub is None else self._result(stub)

    def lacks(self, path: str, why: str) -> Any:
        """Note that a stub is missing, which fails the case whatever the flow makes of it. Raises StepError."""
        text = (
            f'step {path}: {why} and no stub; add it to the case: "stubs": {{"{without_items(path)}": {{"result": …}}}}'
        )
        self.missing.append(text)
        raise StepError(text, code="case.stub")

    def _stub(self, path: str, attempt: int) -> Stub | None:
        given = _at(self._case.stubs, path)
        if isinstance(given, tuple):
            return given[min(attempt, len(given)) - 1] if given else None
        return given

    def _result(self, stub: Stub) -> Reply:
        if stub.error is not None:
            raise StepError(stub.error.message, code=stub.error.code, retryable=stub.error.retryable)
        status = {} if stub.status is None else {"status": stub.status}
        return Reply(stub.result, stub.headers, {**status, **stub.beside})


def runs_itself(action: Action, registry: Registry) -> bool:
    """Whether an action touches nothing outside: those that are pure, and those of connectors that say so."""
    return action.pure or any(not c.outside and action in c.actions.values() for c in registry.connectors.values())


def _at(values: Mapping[str, _T], path: str) -> _T | None:
    found = values.get(path)
    return found if found is not None else values.get(without_items(path))
