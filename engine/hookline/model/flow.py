"""The document of a flow: the models of its JSON file.

A step is an action, or one of `BLOCKS`.
"""

from datetime import timedelta
from typing import Annotated, Any, Final, Literal, TypeAlias, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from hookline.model.durations import Duration
from hookline.model.expression_setting_types import ConditionExpression, ListExpression, TextExpression
from hookline.model.message import MAX_TAG, MAX_TAGS
from hookline.model.reach import Reach
from hookline.model.webhook import Rate

FLOW_ID = r"^[a-z0-9]+(-[a-z0-9]+)*$"
FLOW_PATTERN = r"^[a-z0-9*-]+$"
STEP_ID = r"^[a-z][a-z0-9_]*$"
TAG_NAME = r"^[A-Za-z][A-Za-z0-9_-]*$"
ERROR_CODE = r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*(\.\*)?$"
"""The code of an error; `*` as its last part matches all codes that begin in the same way."""


ServingState: TypeAlias = Literal["active", "paused", "stopped"]
"""The state of a flow: it accepts and runs messages, only accepts them, or neither."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class TriggerDocument(_Document):
    """The trigger of the flow."""

    use: str = Field(description="The trigger's name: `webhook`, `schedule`, `manual`, or one of a plugin's.")
    with_: Annotated[dict[str, Any], Reach("settings")] = Field(
        default_factory=dict, alias="with", description="The trigger's settings; see the reference of triggers."
    )
    credential: Annotated[str | None, Reach("credential")] = Field(
        default=None,
        description="The name of the credential of a plugin's trigger, such as a poll. A webhook names its own in "
        "`verify`.",
    )


class RetryDocument(_Document):
    """The retries of a failed step."""

    attempts: int = Field(default=3, ge=1, le=1000, description="The number of attempts, including the first one.")
    wait: Duration = Field(default=timedelta(seconds=1), description="The wait before the second attempt.")
    factor: float = Field(default=2.0, ge=1, description="The factor by which the wait grows each time.")
    cap: Duration = Field(default=timedelta(minutes=5), description="The longest wait.")
    jitter: float = Field(
        default=0,
        ge=0,
        le=1,
        description="The largest part of a wait, from 0 to 1, that is cut off at random, so that steps that failed "
        "together aren't retried together.",
    )
    on: tuple[Annotated[str, StringConstraints(pattern=ERROR_CODE)], ...] | None = Field(
        default=None,
        min_length=1,
        description="The codes of the errors that are retried, such as `http.503` or `http.*`; by default those that "
        "the action calls retryable.",
    )


class _Step(_Document):
    id: str | None = Field(
        default=None,
        pattern=STEP_ID,
        description="The name of the step, unique in the flow; `$.steps.<id>.body` is its result. A step without one "
        "is named after its action or block, as in `log` and `log_2`.",
    )
    when: Annotated[ConditionExpression, Reach("expression")] = Field(
        default=True,
        description="The condition for the step to run; otherwise the message skips it.",
    )


class ActionStep(_Step):
    """Run one action."""

    use: str = Field(description="The action's name, such as `http.request`.")
    with_: Annotated[dict[str, Any], Reach("settings")] = Field(
        default_factory=dict,
        alias="with",
        description="The action's settings; see the reference of actions. Strings may be expressions.",
    )
    credential: Annotated[str | None, Reach("credential")] = Field(
        default=None, description="The name of the credential that it uses."
    )
    retry: RetryDocument | None = Field(
        default=None,
        description="The retries of failed attempts. By default there are three attempts if the action calls the "
        "error retryable, and otherwise one.",
    )
    timeout: Duration | None = Field(
        default=None,
        description="The longest time for one attempt; then it fails with code `timed_out`. By default the server's "
        "`step_timeout`, an hour.",
    )
    rate: Rate | None = Field(
        default=None,
        description="The rate limit of the step over all executions of the flow, such as `5/s`. Calls are evenly "
        "spaced; those above the limit wait for their turn.",
    )
    delivery: Literal["at_least_once", "at_most_once"] = Field(
        default="at_least_once",
        description="`at_least_once` runs the step again if the server died while it ran. With `at_most_once`, a "
        "step that may already have taken effect isn't run again, but fails with code `outcome_unknown`.",
    )
    on_error: Literal["fail", "continue"] = Field(
        default="fail",
        description="The effect of the last failed attempt. `fail` fails the step, so that a `catch` around it "
        "takes over, or the execution fails; `continue` goes on with the message as it was, and sets "
        "`steps.<id>.error`.",
    )


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class CaseDocument(_Document):
    """One case of a switch."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["when"]}, {"required": ["otherwise"]}]})

    when: Annotated[ConditionExpression, Reach("expression")] = Field(
        default=None, description="The condition of the case.", json_schema_extra=_without_default
    )
    otherwise: Literal[True] | None = Field(
        default=None, description="In place of `when`: the case holds if no other did."
    )
    steps: tuple["StepDocument", ...] = Field(description="The steps of this case.")


class SwitchStep(_Step):
    """Run the first case that holds, or all that hold. If none does, the message continues unchanged."""

    switch: tuple[CaseDocument, ...] = Field(
        min_length=1, description="The cases, in the order in which they are tried."
    )
    match: Literal["first", "all"] = Field(
        default="first",
        description="`first` runs the first case that holds, and goes on with its result. `all` runs each case that "
        "holds, one after the other, with the message that reached the switch, and then goes on with that "
        "message.",
    )


class ForeachStep(_Step):
    """Run steps for each item of a list; the body becomes the list of results."""

    foreach: Annotated[ListExpression, Reach("expression")] = Field(
        description="An expression that gives the list; null counts as empty."
    )
    steps: tuple["StepDocument", ...] = Field(
        min_length=1,
        description="The steps that run for each item; the item is the body, and `index` its number from 0.",
    )
    concurrency: int = Field(default=1, ge=1, le=1000, description="The number of items that run side by side.")
    as_: str = Field(
        default="item",
        alias="as",
        pattern=STEP_ID,
        description="The item's name in expressions.",
    )
    on_error: Literal["fail", "continue"] = Field(
        default="fail", description="`continue` leaves out the items that fail and goes on."
    )
    collect: Literal["results", "count"] | None = Field(
        default=None,
        description="The new body: `results`, the items' results in order, or `count`, which is "
        '`{"count": …, "failed": …}`. The results of a list are collected by default, those of a stream counted.',
    )


class ParallelStep(_Step):
    """Run branches side by side; the body becomes an object with each branch's result."""

    parallel: dict[Annotated[str, StringConstraints(pattern=STEP_ID)], tuple["StepDocument", ...]] = Field(
        min_length=1, description="The branches by name; the steps of each run with the message that reached the block."
    )
    on_error: Literal["fail", "continue"] = Field(
        default="fail",
        description="`fail`: the first failure cancels the other branches. `continue` lets them go on, and sets "
        "`steps.<id>.errors.<branch>`.",
    )


class TryStep(_Step):
    """Run steps, and other steps if they fail."""

    try_: tuple["StepDocument", ...] = Field(alias="try", min_length=1, description="The steps that may fail.")
    catch: tuple["StepDocument", ...] | None = Field(
        default=None,
        description="The steps that run if a step of `try` has failed, with the message that reached the block and "
        "`error` in scope. Then the flow goes on.",
    )
    finally_: tuple["StepDocument", ...] | None = Field(
        default=None,
        alias="finally",
        description="The steps that run at the end in any case, also if the execution is stopped or cancelled.",
    )


BLOCKS: Final[dict[str, type[_Step]]] = {
    "switch": SwitchStep,
    "foreach": ForeachStep,
    "parallel": ParallelStep,
    "try": TryStep,
}
"""The blocks, by the key that distinguishes each of them."""

STEPS: Final[tuple[type[_Step], ...]] = (ActionStep, *BLOCKS.values())
"""An action or a block."""


def _kind(step: Any) -> str:
    for key, block in BLOCKS.items():
        if (key in step) if isinstance(step, dict) else isinstance(step, block):
            return block.__name__
    return ActionStep.__name__


# Each tag is its model's name, since pydantic puts tags into the paths of errors, where a key's name would look like
# the key.
StepDocument = Annotated[
    Union[  # noqa: UP007 - a forward reference can't be joined by |
        Annotated[ActionStep, Tag("ActionStep")],
        Annotated[SwitchStep, Tag("SwitchStep")],
        Annotated[ForeachStep, Tag("ForeachStep")],
        Annotated[ParallelStep, Tag("ParallelStep")],
        Annotated[TryStep, Tag("TryStep")],
    ],
    Discriminator(_kind),
]


class RetentionDocument(_Document):
    """The retention of ended executions: whichever limit is reached first."""

    age: Duration | None = Field(
        default=None, description="The time for which they are kept, such as `7d`; the server's `retention` by default."
    )
    count: int | None = Field(
        default=None, ge=0, description="The number of newest executions that are kept; all by default."
    )


class FlowDocument(_Document):
    """One trigger and a list of steps."""

    schema_url: Annotated[str | None, Reach("passed_url")] = Field(
        default=None, alias="$schema", description="The path or URL of the JSON Schema, for editors."
    )
    id: str = Field(
        pattern=FLOW_ID,
        max_length=100,
        description="The name of the flow: its file is `<id>.json`, its URL `/hook/<id>`.",
    )
    title: str = Field(default="", description="Its purpose, in one line.")
    state: ServingState = Field(
        default="active",
        description="A paused flow accepts and keeps messages, a stopped one answers 404; what has begun goes on.",
    )
    trigger: TriggerDocument = Field(description="The event that starts an execution and makes its first message.")
    mappers: Annotated[tuple[str, ...], Reach("expression")] = Field(
        default=(),
        description="Expression languages that it uses besides JSONPath and Jinja, by name.",
    )
    vars: Annotated[dict[str, Any], Reach("environment")] = Field(
        default_factory=dict,
        description="Constants, `$.vars.<name>` in expressions. The variable `HOOKLINE_VARS_<FLOW>__<NAME>` of the "
        "server's environment gives one another value.",
    )
    steps: tuple[StepDocument, ...] = Field(description="The steps, from top to bottom.")
    concurrency: int = Field(
        default=64,
        ge=1,
        le=10000,
        description="The largest number of executions that run side by side; those that wait don't count.",
    )
    order_by: Annotated[str | Annotated[tuple[str, ...], Field(min_length=1)] | None, Reach("expression")] = Field(
        default=None,
        description="An expression over the message, or several that form one key: executions with an equal key run "
        "one at a time, in the order in which they were accepted. By default all run side by side.",
    )
    order_on_failure: Literal["release", "hold"] = Field(
        default="release",
        description="If an execution fails, `release` lets the next one with the key run. `hold` lets it wait until "
        "the failed one was retried with success, or released.",
    )
    timeout: Duration | None = Field(
        default=None,
        description="The longest time for an execution, waits included; then it fails with code `flow.timed_out`. "
        "Its `on_error` steps have the same time once more.",
    )
    on_error: Annotated[
        Annotated[str, StringConstraints(pattern=FLOW_ID)]
        | Annotated[tuple[StepDocument, ...], Field(min_length=1)]
        | None,
        Reach("flow"),
    ] = Field(
        default=None,
        description="The handling of failed executions: steps that run with `error` in scope before the execution "
        "ends, or the id of a flow that is started with the error and the message.",
    )
    callable_by: tuple[Annotated[str, StringConstraints(pattern=FLOW_PATTERN, max_length=100)], ...] = Field(
        default=(),
        description="The flows that may call this one, or start it by their `on_error`: ids, or patterns such as "
        "`billing-*`. By default all flows may. A flow may always call itself.",
    )
    tags: Annotated[
        dict[Annotated[str, StringConstraints(pattern=TAG_NAME, max_length=MAX_TAG)], TextExpression],
        Reach("expression"),
    ] = Field(
        default_factory=dict,
        max_length=MAX_TAGS,
        description='Values by which people find executions, such as `{"order": "$.body.id"}`: expressions over the '
        "message, which are evaluated when it is accepted. A message that doesn't have the value gets no such tag. A "
        f"text of more than {MAX_TAG} characters is cut off.",
    )
    rate: Rate | None = Field(
        default=None, description="The rate limit of accepted messages, such as `10/s`; more get 429."
    )
    max_queued: int | None = Field(
        default=None,
        ge=1,
        description="The largest number of queued messages; more get 429. The server's `max_backlog` by default.",
    )
    retention: RetentionDocument | None = Field(
        default=None,
        description="The time for which its ended executions are kept; the server's `retention` by default.",
    )
    redact: Annotated[tuple[str, ...], Reach("expression")] = Field(
        default=(),
        description="JSONPaths of values that no view shows, such as `$.body.card.number` or "
        "`$.steps.charge.body.token`. They are stored encrypted, and erased once the execution has succeeded, was "
        "cancelled, or its dead letter was discarded.",
    )
    body_schema: Annotated[dict[str, Any] | None, Reach("json_schema")] = Field(
        default=None,
        alias="schema",
        description="The JSON Schema of the body; a body that doesn't satisfy it gets 422.",
    )


CaseDocument.model_rebuild()
SwitchStep.model_rebuild()
ForeachStep.model_rebuild()
ParallelStep.model_rebuild()
TryStep.model_rebuild()
FlowDocument.model_rebuild()
