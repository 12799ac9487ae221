"""Compiling a flow: resolve all names, compile all expressions and report all problems in one pass."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from hookline.discovery.registry import Registry
from hookline.flows.blocks import step_type_of
from hookline.flows.blocks.batch import CompiledBatch
from hookline.flows.blocks.step_type import CompileContext, CompiledStep
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.compiler.compiled_flow import CompiledFlow, CompiledTrigger, FlowSettings, wait_places
from hookline.flows.compiler.redaction import compile_redaction, key_problems, tag_problems
from hookline.flows.compiler.step_ids import assign_step_ids
from hookline.flows.compiler.trigger import compile_trigger
from hookline.flows.documents.model_problems import document_problems
from hookline.flows.documents.read import Document, read
from hookline.flows.documents.version import version_of
from hookline.flows.elements.expressions import Expressions, Template
from hookline.flows.elements.message_keys import MessageKey, compile_key
from hookline.flows.elements.outside_references import CredentialUse, FlowUse, unknown_component
from hookline.flows.elements.paths_masked_by_schemes import NO_MASKED_PATHS, MaskedPaths, masked_paths_of
from hookline.flows.elements.scope_check import ON_ARRIVAL, DeclaredNames, VisibleNames
from hookline.flows.elements.tags import Tags
from hookline.flows.schemas.body_schema import BodySchema, compile_schema
from hookline.kernel.errors import FlowInvalid, Problem
from hookline.kernel.json import encode, fraction, to_decimal
from hookline.kernel.pointers_and_patches import adding, escape, removing
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.model.flow import FLOW_ID, FlowDocument
from hookline.secrets.redaction_rules import RedactionRules

VARS_PREFIX: Final = "HOOKLINE_VARS_"


def variables_of(flow_id: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    """The variables of an environment that may override vars of a flow; each belongs to one flow at most.

    An id has no two dashes in a row, so what is before the first `__` of a variable is the id of its flow.
    """
    if re.fullmatch(FLOW_ID, flow_id) is None:
        return {}
    start = f"{VARS_PREFIX}{_variable(flow_id)}__"
    return {variable: text for variable, text in environment.items() if variable.startswith(start)}


def override_vars(
    flow_id: str, declared: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[Mapping[str, Any], list[Problem]]:
    """A flow's vars with the overrides from environment variables, and the problems of the overrides.

    The vars are `declared` itself if nothing is overridden.

    The variable for the var `table` of flow `my-flow` is `HOOKLINE_VARS_MY_FLOW__TABLE`. It holds text if the var is
    text, otherwise JSON.
    """
    start = f"{VARS_PREFIX}{_variable(flow_id)}__"
    names = {_variable(name): name for name in declared}
    replaced, problems = dict[str, Any](), list[Problem]()
    for variable, text in sorted(variables_of(flow_id, environment).items()):
        name = names.get(variable.removeprefix(start))
        if name is None:
            known = [start + each for each in names]
            remedy = did_you_mean(variable, known, "declare the var in the flow, or unset the variable")
            message = f"the environment variable {variable} is set, but the flow has no such var"
            problems.append(Problem(message, "/vars", "unknown_override", remedy, "warning"))
        elif isinstance(declared[name], str):
            replaced[name] = text
        else:
            try:
                replaced[name] = json.loads(text, parse_float=fraction)
            except ValueError:
                message = f"the environment variable {variable} is not JSON, but the var that it replaces is not text"
                remedy = "set it to JSON, such as 5, true or [1, 2]"
                problems.append(Problem(message, f"/vars/{escape(name)}", "invalid_override", remedy))
    return {**declared, **replaced} if replaced else declared, problems


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


ON_ERROR_PREFIX: Final = "on_error/"
"""The prefix of the paths of steps in a flow's `on_error`."""
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CompileResult:
    """The result of compiling a document."""

    flow: CompiledFlow | None
    """None if there is an error among the problems."""
    problems: tuple[Problem, ...]
    """In the order of the text, warnings included; each with its file and line."""
    credentials: tuple[CredentialUse, ...]
    """Every place that names a credential. The compiler doesn't check whether the credential exists."""
    flows: tuple[FlowUse, ...]
    """Every place that names another flow, which needn't exist either."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the flow from running."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def compile_flow(
    source: bytes | Document,
    registry: Registry,
    *,
    file: str | None = None,
    environment: Mapping[str, str] = _NOTHING,
) -> CompiledFlow:
    """Compile a flow.

    `environment` holds the variables that may override its vars; they aren't part of its version. Raises FlowInvalid
    with all errors.
    """
    document = read(source, file) if isinstance(source, bytes) else source
    examined = compile_document(document, registry, environment=environment)
    if examined.flow is None:
        raise FlowInvalid(examined.errors)
    return examined.flow


def compile_document(
    document: Document,
    registry: Registry,
    *,
    environment: Mapping[str, str] = _NOTHING,
    without_actions: bool = False,
) -> CompileResult:
    """Compile a document. All of its problems are reported, warnings included.

    `without_actions`: if only actions are missing, the result has a flow, which accepts messages but can't run.
    """
    compiler = _Compiler(document, registry, environment)
    flow = compiler.flow(without_actions=without_actions)
    problems = (*document.problems, *compiler.problems)
    if any(problem.severity == "error" for problem in document.problems):
        flow = None
    return CompileResult(flow, tuple(document.place(problems)), tuple(compiler.credentials), tuple(compiler.flows))


class _Compiler:
    """Compiles one document.

    It reads the JSON itself and assumes nothing about it, so that a problem in one place doesn't hide others. Typed
    values, such as durations, come from the model, which only exists if the document's form is right.
    """

    def __init__(self, document: Document, registry: Registry, environment: Mapping[str, str]) -> None:
        self._value = document.value
        self._registry = registry
        self._raw: Mapping[str, Any] = document.value if isinstance(document.value, dict) else {}
        self._model: FlowDocument | None = None
        self.problems: list[Problem] = []
        found, repeated = assign_step_ids(self._raw)
        try:
            self._model = FlowDocument.model_validate(document.value)
        except ValidationError as error:
            self.problems += document_problems(document.value, error, found.of)
        exact = self._exact()
        expressions = Expressions(registry.mappers, self._mappers(), exact=exact)
        declared, flow_id = self._raw.get("vars"), self._raw.get("id")
        self._declared: Mapping[str, Any] = declared if isinstance(declared, dict) else {}
        if exact:
            self._declared = to_decimal(self._declared)
        self._vars, problems = override_vars(flow_id if isinstance(flow_id, str) else "", self._declared, environment)
        self.problems += problems
        if exact and self._vars is not self._declared:
            self._vars = to_decimal(self._vars)
        self.problems += repeated
        names = DeclaredNames(found.pointers, self._vars.keys(), found.items)
        self._compiling = CompileContext(
            registry, expressions, self._vars, names, found.of, step_type_of, self.problems
        )

    @property
    def credentials(self) -> list[CredentialUse]:
        """Every place compiled so far that names a credential."""
        return self._compiling.credentials

    @property
    def flows(self) -> list[FlowUse]:
        """Every place compiled so far that names another flow."""
        named = self._model.on_error if self._model is not None else None
        uses = [FlowUse(named, "/on_error")] if isinstance(named, str) else []
        return [*self._compiling.flows, *uses]

    def flow(self, *, without_actions: bool) -> CompiledFlow | None:
        """Compile the flow; None if there are errors, or, `without_actions`, others than missing actions."""
        trigger = self._trigger()
        schema = self._schema()
        order_by = self._order_by(trigger)
        documents = self._model.steps if self._model is not None else None
        steps, behind = self._compiling.steps(self._raw.get("steps"), documents, "/steps", VisibleNames())
        on_error_steps = self._on_error(behind)
        self._shadowing()
        tags = self._tags(trigger)
        redaction = self._redaction(trigger, order_by, tags)
        self._gathering(trigger)
        missing = self._compiling.missing_actions
        tolerated = [problem for _, problem in missing] if without_actions else []
        errors = (problem for problem in self.problems if problem.severity == "error")
        if self._model is None or trigger is None or any(problem not in tolerated for problem in errors):
            return None
        return CompiledFlow(
            id=self._model.id,
            version=version_of(self._raw),
            settings=FlowSettings.of(self._model),
            source=encode(self._value),
            trigger=trigger,
            vars=self._vars,
            declared_vars=self._declared,
            steps=steps,
            schema=schema,
            credentials=frozenset(use.name for use in self.credentials),
            order_by=order_by,
            tags=tags,
            on_error_steps=on_error_steps,
            on_error_flow=self._model.on_error if isinstance(self._model.on_error, str) else None,
            waits={step.id: step for step in self._compiling.compiled_steps.values() if isinstance(step, CompiledWait)},
            wait_places=(
                *wait_places(steps),
                *wait_places(on_error_steps, ON_ERROR_PREFIX),
            ),
            redaction_rules=redaction,
            calls=tuple(self.flows),
            missing_actions=frozenset(name for name, _ in missing),
        )

    def _on_error(self, behind: VisibleNames) -> tuple[CompiledStep, ...]:
        """Compile the steps that run after a failure. Any of the flow's other steps may have run before."""
        given = self._raw.get("on_error")
        model = self._model.on_error if self._model is not None else None
        place = VisibleNames().within("error").besides(behind.steps | behind.maybe)
        steps, _ = self._compiling.steps(given, model if isinstance(model, tuple) else None, "/on_error", place)
        return steps

    def _gathering(self, trigger: CompiledTrigger | None) -> None:
        """Report batches in flows whose executions run one at a time: while one waits, no other can join its batch."""
        if "order_by" in self._raw:
            why, remedy = "`order_by` holds back", "remove order_by, and use its value as the batch's key"
            fix = removing("/order_by")
        elif trigger is not None and trigger.one_at_a_time:
            why, remedy = "the flow's schedule holds back", 'add "overlap": true to the trigger'
            fix = adding("/trigger/with/overlap", True)
        else:
            return
        for step in self._compiling.compiled_steps.values():
            if isinstance(step, CompiledBatch):
                message = f"while one execution waits here, {why} the executions that should join its batch"
                self._compiling.problem(message, step.pointer, "batch_in_order", remedy, fix=fix)

    def _shadowing(self) -> None:
        """Warn that callbacks of correlating steps take paths of the trigger, if the flow reads `trigger.path`."""
        if not self._compiling.reads_path:
            return
        for step in self._compiling.compiled_steps.values():
            if isinstance(step, CompiledWait) and step.key_of_call is not None:
                self._compiling.problem(
                    f"callbacks for this step come to the URL's path {step.id!r}, so a request with that path never "
                    "starts the flow, but its expressions read $.trigger.path",
                    f"{step.pointer}/with/correlate",
                    "path_taken",
                    "give the step an id that no sender uses as a path",
                    "warning",
                )

    def _exact(self) -> bool:
        """Return whether the trigger says `"numbers": "exact"`."""
        trigger = self._raw.get("trigger")
        settings = trigger.get("with") if isinstance(trigger, dict) else None
        return isinstance(settings, dict) and settings.get("numbers") == "exact"

    def _mappers(self) -> list[str]:
        """The installed mappers that the flow lists. Reports the others."""
        given = self._raw.get("mappers")
        named: list[str] = []
        for index, name in enumerate(given if isinstance(given, list) else ()):
            if not isinstance(name, str):
                continue
            if name in self._registry.mappers:
                named.append(name)
                continue
            pointer = f"/mappers/{index}"
            self.problems.append(unknown_component("mapper", name, self._registry.mappers, self._registry, pointer))
        return named

    def _trigger(self) -> CompiledTrigger | None:
        raw = self._raw.get("trigger")
        if not isinstance(raw, dict):
            return None
        trigger, credential, problems = compile_trigger(
            raw, self._registry, self._compiling.expressions, self._on_arrival, self._vars
        )
        if credential is not None:
            self.credentials.append(credential)
        self.problems += problems
        return trigger

    def _order_by(self, trigger: CompiledTrigger | None) -> MessageKey | None:
        if trigger is not None and trigger.one_at_a_time and "order_by" in self._raw:
            self.problems.append(
                Problem(
                    "the flow's schedule already runs its executions one at a time",
                    "/order_by",
                    "order_of_schedule",
                    'remove it, or add "overlap": true to the trigger',
                    fix=removing("/order_by"),
                )
            )
            return None
        key, problems = compile_key(
            "order_by",
            self._raw.get("order_by"),
            "/order_by",
            self._compiling.expressions,
            self._on_arrival,
            masked=_masked_by(trigger),
            if_constant=("the flow's executions run one at a time", "warning"),
        )
        self.problems += problems
        return key

    def _tags(self, trigger: CompiledTrigger | None) -> Tags | None:
        given = self._raw.get("tags")
        templates: dict[str, Template] = {}
        for name, value in (given if isinstance(given, dict) else {}).items():
            pointer = f"/tags/{escape(name)}"
            template, problems = self._compiling.expressions.template(value, pointer)
            self.problems += [*problems, *self._on_arrival(template)]
            masked = _masked_by(trigger)
            if not problems and (secret := masked.read_by(template)) is not None:
                message = f"{secret} is a secret of scheme {masked.scheme!r}: the tag is the same for every message"
                self._compiling.problem(message, pointer, "masked_key", "use a value that is no secret", "warning")
            templates[name] = template
        return Tags(templates) if templates else None

    def _redaction(
        self, trigger: CompiledTrigger | None, order_by: MessageKey | None, tags: Tags | None
    ) -> RedactionRules | None:
        if self._model is None:
            return None
        redaction, problems = compile_redaction(
            self._model.redact, self._compiling.expressions, self._compiling.names.steps
        )
        self.problems += problems
        if redaction is not None:
            dedupe_key = trigger.dedupe_key if trigger is not None else None
            keys = [(dedupe_key, "/trigger/with/dedupe_key"), (order_by, "/order_by")]
            self.problems += key_problems(redaction, keys, self._compiling.compiled_steps.values())
            self.problems += tag_problems(redaction, tags)
        return redaction

    def _schema(self) -> BodySchema | None:
        raw = self._raw.get("schema")
        if not isinstance(raw, dict):
            return None
        schema, problems = compile_schema(raw, "/schema")
        self.problems += problems
        return schema

    def _on_arrival(self, template: Template) -> list[Problem]:
        """The problems of the names in an expression that is evaluated when a message arrives."""
        return list(self._compiling.references(template, VisibleNames(roots=ON_ARRIVAL)))


def _masked_by(trigger: CompiledTrigger | None) -> MaskedPaths:
    """The places of a trigger's messages that its scheme masks."""
    if trigger is None or trigger.scheme is None:
        return NO_MASKED_PATHS
    return masked_paths_of(trigger.scheme, trigger.scheme_settings)
