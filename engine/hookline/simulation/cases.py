"""Case files: `<id>.test.json` beside `<id>.json` holds messages for a flow, stubs, and the expected results."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from hookline.executions.ending import ON_ERROR_USE
from hookline.executions.waiting_callers import FINISHED
from hookline.flows.blocks.flow_call import CompiledCall
from hookline.flows.blocks.parallel import CompiledParallel
from hookline.flows.blocks.step_walkers import without_items
from hookline.flows.blocks.switch import CompiledSwitch
from hookline.flows.blocks.try_block import CompiledTry
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.model_problems import model_problems
from hookline.flows.documents.read import Document, read
from hookline.kernel.errors import FlowInvalid, Problem, StepError
from hookline.kernel.json import decode
from hookline.kernel.pointers_and_patches import escape
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.model.durations import Duration, FlowJsonSchema
from hookline.sdk.context_parts import check_key, packed
from hookline.simulation.step_paths import StepPaths, step_paths

ExpectedOutcome: TypeAlias = Literal[
    "completed", "filtered", "stopped", "failed", "timed_out", "outcome_unknown", "cancelled", "waiting"
]


#: The outcomes of a flow that doesn't fail.
_SUCCEEDED: Final = ("completed", "filtered", "stopped")


class _CaseDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputAttachment(_CaseDocument):
    """A file that comes with the input."""

    name: str = "file"
    filename: str | None = None
    type: str = "application/octet-stream"
    content: str | None = Field(default=None, description="The file's text.")
    file: str | None = Field(default=None, description="A path, relative to the case file.")

    @model_validator(mode="after")
    def _one_source(self) -> "InputAttachment":
        if (self.content is None) == (self.file is None):
            raise ValueError("an attachment has either content or file")
        return self


class CaseInput(_CaseDocument):
    """The message that starts the execution."""

    body: Any = None
    headers: dict[str, str] = Field(default_factory=dict)
    attachments: tuple[InputAttachment, ...] = ()
    method: str | None = Field(
        default=None,
        description="The request's method; by default POST if the flow accepts it, or else the first method that it "
        "accepts.",
    )
    path: str = Field(default="", description="The part of the URL's path after the flow's id.")
    query: dict[str, str | list[str]] = Field(default_factory=dict, description="The request's query, by name.")


class StubError(_CaseDocument):
    """The error that a stubbed step fails with."""

    code: str = "step.failed"
    message: str = "stubbed failure"
    retryable: bool = False
    step: str | None = Field(
        default=None,
        description="The path of the inner step that failed, if this is the stub of a foreach or of a called flow.",
    )


class Stub(_CaseDocument):
    """The prepared result of a step: of an action, of a call of another flow, or of a foreach with all its items."""

    result: Any = Field(default=None, description="The body of its result.")
    status: int | None = Field(default=None, description="The status beside the body, as with http.request.")
    headers: dict[str, str] = Field(default_factory=dict, description="The headers of its result.")
    beside: dict[str, Any] = Field(default_factory=dict, description="Further values beside the body, by name.")
    stream: int | None = Field(
        default=None,
        ge=0,
        description="The number of items of a stream, in place of `result`. The case doesn't have the items, so that "
        "a foreach over them needs a stub, too.",
    )
    error: StubError | None = Field(
        default=None, description="The error with which the step fails, in place of `result`."
    )

    @model_validator(mode="after")
    def _one_result(self) -> "Stub":
        if self.stream is not None and "result" in self.model_fields_set:
            raise ValueError("a stub gives either a result or a stream")
        return self


class Answer(_CaseDocument):
    """A callback for a waiting step."""

    body: Any = None
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, Any] = Field(default_factory=dict)
    method: str = "POST"
    after: Duration = Field(
        default=timedelta(0), description="The time from the beginning of the wait to the callback."
    )


class ExpectedCall(_CaseDocument):
    """A call of a stubbed step; anything that isn't named may have any value."""

    step: str | None = None
    use: str | None = None
    with_: dict[str, Any] | None = Field(default=None, alias="with")


class ExpectedReply(_CaseDocument):
    """The response that the caller gets."""

    status: int | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = None


class Expectation(_CaseDocument):
    """The expected result of a case; anything that it doesn't name may have any value."""

    outcome: ExpectedOutcome = Field(description="The outcome of the execution; `waiting` if it still waits.")
    body: Any = Field(default=None, description="The last body.")
    reply: ExpectedReply | None = Field(default=None, description="The response to the caller; null if there is none.")
    steps: dict[str, Any] = Field(
        default_factory=dict,
        description="Steps by path, such as `lines[1]/post`: the result of the step, its `error` and its `attempts`; "
        "null if it didn't run.",
    )
    path: tuple[str, ...] | None = Field(
        default=None, description="The paths of all steps that ran, in the order in which each first ended."
    )
    calls: tuple[ExpectedCall, ...] | None = Field(default=None, description="All calls of stubbed steps, in order.")
    error: dict[str, Any] | None = Field(
        default=None, description="The `code`, `message` and `step` of the error; null if there is none."
    )
    took: Duration | None = Field(
        default=None, description="The simulated duration, to the second; waits count in full."
    )


class Case(_CaseDocument):
    """One case."""

    name: str
    input: CaseInput = CaseInput()
    now: AwareDatetime | None = Field(
        default=None, description="The time at which the execution starts; 2026-01-01T00:00:00Z by default."
    )
    vars: dict[str, Any] = Field(default_factory=dict, description="Values that replace the flow's own vars, by name.")
    state: dict[str, Any] = Field(
        default_factory=dict, description="The flow state at the start, by key; `state.get` reads it."
    )
    retries: int = Field(
        default=0, ge=0, description="The number of times that an operator retries the failed execution."
    )
    stubs: dict[str, Stub | tuple[Stub, ...]] = Field(
        default_factory=dict,
        description=(
            "Stubs by the step's path, with or without the numbers of items. A list has one stub for each "
            "attempt, and the last one is also for those after it. The path of a step in a called flow begins with "
            "the path of the calling step. A stub of a foreach stands for all of its items."
        ),
    )
    answers: dict[str, Answer | None] = Field(
        default_factory=dict,
        description="Callbacks by the path of the waiting step. If there is none, or null, nobody calls the step.",
    )
    expect: Expectation


class CaseFile(_CaseDocument):
    """The cases of one flow."""

    schema_: str | None = Field(default=None, alias="$schema")
    cases: tuple[Case, ...] = Field(min_length=1)


def read_cases(path: Path, *, exact: bool = False) -> CaseFile:
    """Return the cases in a file, for a flow with or without exact numbers. Raises FlowInvalid, with every problem."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FlowInvalid([Problem(f"it can't be read: {error}", file=str(path))]) from error
    return parse_cases(data, str(path), exact=exact)


def parse_cases(data: bytes, file: str | None = None, *, exact: bool = False) -> CaseFile:
    """Return the cases in the text of a file. Raises FlowInvalid, with every problem."""
    document = read(data, file)
    try:
        value = decode(data, exact=exact)
    except ValueError as error:
        raise FlowInvalid([Problem(f"it is not JSON that can be used: {error}", file=file)]) from error
    try:
        cases = CaseFile.model_validate(value)
    except ValidationError as error:
        problems = model_problems(CaseFile, value, "", error)
        raise FlowInvalid([*document.problems, *document.place(problems)]) from error
    if document.problems:
        raise FlowInvalid(document.problems)
    return cases


def check_names(file: CaseFile, flow: CompiledFlow, document: Document) -> list[Problem]:
    """Return the problems of cases that name what the flow doesn't have, or a step that can't be stubbed."""
    places = step_paths(flow)
    found = [
        problem
        for number, case in enumerate(file.cases)
        for problem in case_problems(case, flow, places, f"/cases/{number}")
    ]
    return document.place(found)


def case_problems(case: Case, flow: CompiledFlow, places: StepPaths, at: str = "") -> list[Problem]:
    """Return such problems of one case, whose JSON pointer is `at`."""
    found: list[Problem] = []
    found += _input_problems(case.input, flow, f"{at}/input")
    found += _state_problems(case.state, f"{at}/state")
    found += _stub_problems(case.stubs, places, f"{at}/stubs")
    for name in case.vars.keys() - flow.vars.keys():
        remedy = did_you_mean(name, flow.vars, "declare it in the flow's vars")
        found.append(Problem(f"the flow has no var {name!r}", f"{at}/vars/{escape(name)}", "unknown_var", remedy))
    waits = [step for step, compiled in places.steps.items() if isinstance(compiled, CompiledWait)]
    for name in case.answers:
        if not _names(name, waits, places):
            remedy = did_you_mean(name, waits, f"there are {', '.join(waits)}" if waits else "no step of it waits")
            pointer = f"{at}/answers/{escape(name)}"
            found.append(Problem(f"no step {name!r} waits for a call", pointer, "unknown_step", remedy))
    named = [(name, f"{at}/stubs/{escape(name)}") for name in case.stubs]
    named += [(name, f"{at}/expect/steps/{escape(name)}") for name in case.expect.steps]
    named += [(name, f"{at}/expect/path/{index}") for index, name in enumerate(case.expect.path or ())]
    for index, call in enumerate(case.expect.calls or ()):
        if call.step is not None:
            named.append((call.step, f"{at}/expect/calls/{index}/step"))
    for name, pointer in named:
        if name not in (FINISHED, ON_ERROR_USE) and not _names(name, places.steps, places):
            remedy = did_you_mean(name, places.steps, f"there are {', '.join(places.steps)}")
            found.append(Problem(f"the flow has no step {name!r}", pointer, "unknown_step", remedy))
    return found


def _input_problems(given: CaseInput, flow: CompiledFlow, at: str) -> Iterator[Problem]:
    webhook = flow.trigger.webhook
    if webhook is None:
        for name in sorted({"method", "path", "query"} & given.model_fields_set):
            remedy = "remove it; what comes is the input's body"
            yield Problem(f"no request starts the flow, which has no {name}", f"{at}/{name}", "invalid_value", remedy)
    elif given.method is not None and given.method not in webhook.methods:
        remedy = did_you_mean(given.method, webhook.methods, f"it takes {', '.join(webhook.methods)}")
        yield Problem(f"the flow takes no {given.method}", f"{at}/method", "invalid_value", remedy)


def _state_problems(state: Mapping[str, Any], at: str) -> Iterator[Problem]:
    for key, value in state.items():
        try:
            packed(check_key(key), value)
        except StepError as error:
            yield Problem(error.message, f"{at}/{escape(key)}", "invalid_value")


def _stub_problems(stubs: Mapping[str, Stub | tuple[Stub, ...]], places: StepPaths, at: str) -> Iterator[Problem]:
    for name, given in stubs.items():
        step = places.steps.get(without_items(name))
        if isinstance(step, CompiledWait):
            remedy = f"say under answers what comes for {name!r}"
            yield Problem(
                f"step {name!r} waits for a call, and takes no stub", f"{at}/{escape(name)}", "invalid_value", remedy
            )
        elif isinstance(step, CompiledSwitch | CompiledParallel | CompiledTry):
            remedy = "name the steps in it"
            yield Problem(f"no stub stands for the block {name!r}", f"{at}/{escape(name)}", "invalid_value", remedy)
        elif isinstance(step, CompiledCall):
            for number, stub in enumerate(given if isinstance(given, tuple) else (given,)):
                outcome = stub.beside.get("outcome")
                if outcome is not None and outcome not in _SUCCEEDED:
                    place = f"{at}/{escape(name)}" + (f"/{number}" if isinstance(given, tuple) else "")
                    remedy = f"it is one of {', '.join(_SUCCEEDED)}; what fails has an error"
                    message = f"a flow that succeeds doesn't end as {outcome!r}"
                    yield Problem(message, f"{place}/beside/outcome", "invalid_value", remedy)


def names_step(name: str, places: StepPaths) -> bool:
    """Return true if a name is the path of a step, or of a step in a called flow."""
    return _names(name, places.steps, places)


def _names(name: str, known: Iterable[str], places: StepPaths) -> bool:
    """Return true if a name is the path of a step, or of a step in a called flow."""
    plain = without_items(name)
    if plain in known:
        return True
    parts = plain.split("/")
    outer = ("/".join(parts[:length]) for length in range(1, len(parts)))
    return any(isinstance(places.steps.get(path), CompiledCall) for path in outer)


def cases_schema() -> str:
    """Return the JSON Schema of case files, as text."""
    schema = CaseFile.model_json_schema(schema_generator=FlowJsonSchema)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=1) + "\n"
