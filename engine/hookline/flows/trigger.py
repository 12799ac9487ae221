"""Compiling a flow's trigger: its settings; for requests how their sender is verified, and their dedupe key."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from hookline.errors import ExpressionError, Problem
from hookline.expressions import Expressions, Template
from hookline.flows.compiled import CompiledTrigger
from hookline.flows.keys import compile_key
from hookline.flows.names import CredentialUse, unknown_component
from hookline.flows.structure import model_problems
from hookline.flows.verify import compile_verify, mislabelled
from hookline.judged import judged
from hookline.model.webhook import WebhookSettings
from hookline.poll import PollTrigger
from hookline.registry import Registry
from hookline.trigger import RequestTrigger, ScheduleTrigger, Trigger

_SETTINGS: Final = "/trigger/with"
_VERIFY: Final = f"{_SETTINGS}/verify"


def compile_trigger(
    raw: Mapping[str, Any],
    registry: Registry,
    expressions: Expressions,
    check_references: Callable[[Template], list[Problem]],
    vars: Mapping[str, Any],
) -> tuple[CompiledTrigger | None, CredentialUse | None, list[Problem]]:
    """The trigger, None where an error is among the problems, and the credential that it uses.

    `raw` is the document's `trigger`, of which nothing is taken for granted.
    """
    use, given = raw.get("use"), raw.get("with", {})
    if not isinstance(use, str) or not isinstance(given, dict):
        return None, None, []
    trigger = registry.triggers.get(use)
    if trigger is None:
        return None, None, [unknown_component("trigger", use, registry.triggers, registry, "/trigger/use")]
    if isinstance(trigger, RequestTrigger):
        compiled, credential, problems = _request(trigger, given, registry, expressions, check_references)
    else:
        compiled, credential, problems = _own(trigger, raw.get("credential"), given, expressions, vars)
    if not isinstance(trigger, PollTrigger) or not trigger.credential_types:
        problems += _unwanted_credential(trigger, raw.get("credential"))
    if any(problem.severity == "error" for problem in problems):
        compiled = None
    return compiled, credential, problems


def _own(
    trigger: Trigger, credential: Any, given: dict[str, Any], expressions: Expressions, vars: Mapping[str, Any]
) -> tuple[CompiledTrigger | None, CredentialUse | None, list[Problem]]:
    """A trigger that no request starts. Its settings may read `vars`."""
    template, problems = expressions.template(given, _SETTINGS)
    value: Any = given
    if not problems and not template.constant:
        value, problems = _resolved(template, vars)
    settings: BaseModel | None = None
    if not problems:
        try:
            settings = judged(trigger.settings, value)
        except ValidationError as error:
            problems += model_problems(trigger.settings, value, _SETTINGS, error)
    use_of_credential = None
    if isinstance(trigger, PollTrigger):
        use_of_credential, found = _credential(trigger, credential)
        problems += found
        if trigger.unavailable is not None:
            message = f"trigger {trigger.name!r} can't be used here"
            problems.append(Problem(message, "/trigger/use", "unavailable", trigger.unavailable))
    if settings is None:
        return None, use_of_credential, problems
    compiled = CompiledTrigger(
        use=trigger.name,
        settings=settings,
        webhook=None,
        scheme=None,
        scheme_settings=None,
        credential=use_of_credential.name if use_of_credential is not None else None,
        dedupe_key=None,
        schedule=trigger.schedule(settings) if isinstance(trigger, ScheduleTrigger) else None,
        poll=trigger if isinstance(trigger, PollTrigger) else None,
    )
    return compiled, use_of_credential, problems


def _resolved(template: Template, vars: Mapping[str, Any]) -> tuple[Any, list[Problem]]:
    """The settings with their expressions evaluated, which know nothing but `vars`."""
    references = [reference for _, expression in template.parts() for reference in expression.references]
    if any(reference.path[:1] != ("vars",) for reference in references):
        remedy = "write it out, or declare it in the flow's vars: $.vars.name"
        message = "settings of a trigger may read 'vars' and nothing else: there is no message yet"
        return None, [Problem(message, _SETTINGS, "not_from_vars", remedy)]
    try:
        return template.evaluate({"vars": vars}), []
    except ExpressionError as error:
        return None, [Problem(error.message, _SETTINGS, error.code, "declare it in the flow's vars")]


def _credential(trigger: PollTrigger, name: Any) -> tuple[CredentialUse | None, list[Problem]]:
    types = trigger.credential_types
    if isinstance(name, str) and types:
        return CredentialUse(name, "/trigger/credential", types), []
    if name is None and trigger.needs_credential:
        message = f"trigger {trigger.name!r} needs a credential of type {' or '.join(types)}"
        remedy = f'add "credential": "…", and make it with `hookline credentials set … --type {types[0]}`'
        return None, [Problem(message, "/trigger", "missing_key", remedy)]
    return None, []


def _unwanted_credential(trigger: Trigger, name: Any) -> list[Problem]:
    if name is None:
        return []
    remedy = "remove it"
    if isinstance(trigger, RequestTrigger):
        remedy = 'put it beside the scheme: "verify": {"scheme": "…", "credential": "…"}'
    return [
        Problem(
            f"trigger {trigger.name!r} takes no credential here", "/trigger/credential", "credential_unwanted", remedy
        )
    ]


def _request(
    trigger: RequestTrigger,
    given: Mapping[str, Any],
    registry: Registry,
    expressions: Expressions,
    check_references: Callable[[Template], list[Problem]],
) -> tuple[CompiledTrigger | None, CredentialUse | None, list[Problem]]:
    """A trigger that requests start."""
    problems: list[Problem] = []
    settings: WebhookSettings | None = None
    try:
        settings = judged(trigger.settings, given)
    except ValidationError as error:
        problems += model_problems(trigger.settings, given, _SETTINGS, error)
    verification = compile_verify(given.get("verify"), registry, _VERIFY, problems)
    dedupe_key, found = compile_key(
        "dedupe_key",
        given.get("dedupe_key"),
        f"{_SETTINGS}/dedupe_key",
        expressions,
        check_references,
        masked=verification.masked,
        if_constant=("all but the first would be duplicates", "error"),
    )
    problems += found
    if settings is not None and verification.scheme is not None:
        problems += mislabelled(verification.scheme, settings, _SETTINGS)
    use_of_credential = verification.credential
    if settings is None:
        return None, use_of_credential, problems
    compiled = CompiledTrigger(
        use=trigger.name,
        settings=settings,
        webhook=settings,
        scheme=verification.scheme,
        scheme_settings=verification.settings,
        credential=use_of_credential.name if use_of_credential is not None else None,
        dedupe_key=dedupe_key,
    )
    return compiled, use_of_credential, problems
