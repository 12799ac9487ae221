"""Compiling a flow's trigger: its settings, the verification of requests, and the dedupe key."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from hookline.discovery.registry import Registry
from hookline.flows.compiler.compiled_flow import CompiledTrigger, SubscriptionTrigger
from hookline.flows.compiler.subscription import compile_scheme, webhook_settings
from hookline.flows.documents.model_problems import model_problems
from hookline.flows.elements.compiled_verify import compile_verify, content_type_problems
from hookline.flows.elements.expressions import Expressions, Template
from hookline.flows.elements.message_keys import MessageKey, compile_key
from hookline.flows.elements.outside_references import CredentialUse, unknown_component
from hookline.flows.elements.paths_masked_by_schemes import NO_MASKED_PATHS, MaskedPaths, masked_paths_of
from hookline.kernel.errors import ExpressionError, Problem, StepError
from hookline.kernel.plugin_model_validation import validate_safely
from hookline.kernel.pointers_and_patches import adding, removing
from hookline.model.webhook import WebhookSettings
from hookline.sdk.poll import PollTrigger
from hookline.sdk.settings.setting_upgrades import older_settings, plain_name
from hookline.sdk.triggers import (
    ConnectorTrigger,
    ConsumeTrigger,
    RequestTrigger,
    ScheduleTrigger,
    Trigger,
    WebhookTrigger,
)

_SETTINGS: Final = "/trigger/with"
_VERIFY: Final = f"{_SETTINGS}/verify"


def compile_trigger(
    raw: Mapping[str, Any],
    registry: Registry,
    expressions: Expressions,
    check_references: Callable[[Template], list[Problem]],
    vars: Mapping[str, Any],
) -> tuple[CompiledTrigger | None, CredentialUse | None, list[Problem]]:
    """Compile the trigger; None if there are errors. The credential that it uses is returned beside it.

    `raw` is the document's `trigger`, which may be any object.
    """
    use, given = raw.get("use"), raw.get("with", {})
    if not isinstance(use, str) or not isinstance(given, dict):
        return None, None, []
    trigger = registry.triggers.get(use)
    if trigger is None and not registry.has_connectors:
        trigger = registry.triggers.get(plain_name(use))
    if trigger is None:
        return None, None, [unknown_component("trigger", use, registry.triggers, registry, "/trigger/use")]
    if isinstance(trigger, RequestTrigger):
        compiled, credential, problems = _request(trigger, given, registry, expressions, check_references)
    elif isinstance(trigger, WebhookTrigger):
        compiled, credential, problems = _subscribing(
            trigger, raw.get("credential"), given, registry, expressions, check_references, vars
        )
    else:
        compiled, credential, problems = _source(
            trigger, raw.get("credential"), given, expressions, check_references, vars
        )
    if not isinstance(trigger, ConnectorTrigger) or not trigger.credential_types:
        problems += _unwanted_credential(trigger, raw.get("credential"))
    if any(problem.severity == "error" for problem in problems):
        compiled = None
    return compiled, credential, problems


def _source(
    trigger: Trigger,
    credential: Any,
    given: dict[str, Any],
    expressions: Expressions,
    check_references: Callable[[Template], list[Problem]],
    vars: Mapping[str, Any],
) -> tuple[CompiledTrigger | None, CredentialUse | None, list[Problem]]:
    """Compile a source. Its settings may read `vars`; the dedupe key of a broker's message reads the message."""
    consumer = trigger if isinstance(trigger, ConsumeTrigger) else None
    key_source = None if consumer is None else given.get("dedupe_key")
    given = {name: value for name, value in given.items() if consumer is None or name != "dedupe_key"}
    template, problems = expressions.template(given, _SETTINGS)
    value: Any = given
    if not problems and not template.constant:
        value, problems = _resolved(template, vars)
    if key_source is not None and not problems:
        value = {**value, "dedupe_key": key_source}
    settings: BaseModel | None = None
    if not problems:
        try:
            settings = (
                trigger.validated(value)
                if isinstance(trigger, PollTrigger)
                else validate_safely(trigger.settings, value)
            )
        except ValidationError as error:
            problems += model_problems(trigger.settings, value, _SETTINGS, error)
        except StepError as error:
            problems.append(Problem(error.message, _SETTINGS, "invalid_value", "write settings of the newest version"))
    if isinstance(trigger, PollTrigger) and trigger.upgrade is not None:
        remedy = f"`hookline fmt --upgrade` rewrites them for version {trigger.upgrade.newest}"
        problems.append(Problem(older_settings(trigger.upgrade), "/trigger/use", "older_version", remedy, "note"))
    dedupe_key = None
    if consumer is not None:
        dedupe_key, found = _dedupe_key({"dedupe_key": key_source}, expressions, check_references, NO_MASKED_PATHS)
        problems += found
    use_of_credential = None
    if isinstance(trigger, ConnectorTrigger):
        use_of_credential, found = _credential(trigger, credential)
        problems += found
    if settings is None:
        return None, use_of_credential, problems
    compiled = CompiledTrigger(
        use=trigger.name,
        settings=settings,
        webhook=None,
        scheme=None,
        scheme_settings=None,
        credential=use_of_credential.name if use_of_credential is not None else None,
        dedupe_key=dedupe_key,
        consumer=consumer,
        schedule=trigger.schedule(settings) if isinstance(trigger, ScheduleTrigger) else None,
        poll=trigger if isinstance(trigger, PollTrigger) else None,
    )
    return compiled, use_of_credential, problems


def _resolved(template: Template, vars: Mapping[str, Any]) -> tuple[Any, list[Problem]]:
    """The settings with their expressions evaluated, which may only read `vars`."""
    references = [reference for _, expression in template.parts() for reference in expression.references]
    if any(reference.path[:1] != ("vars",) for reference in references):
        remedy = "write the value, or declare it in the flow's vars: $.vars.name"
        message = "settings of a trigger may only read 'vars', because there is no message yet"
        return None, [Problem(message, _SETTINGS, "not_from_vars", remedy)]
    try:
        return template.evaluate({"vars": vars}), []
    except ExpressionError as error:
        return None, [Problem(error.message, _SETTINGS, error.code, "declare it in the flow's vars")]


def _subscribing(
    trigger: WebhookTrigger,
    credential: Any,
    given: dict[str, Any],
    registry: Registry,
    expressions: Expressions,
    check_references: Callable[[Template], list[Problem]],
    vars: Mapping[str, Any],
) -> tuple[CompiledTrigger | None, CredentialUse | None, list[Problem]]:
    """Compile a trigger that subscribes with its provider. Its own settings may read `vars`."""
    names = trigger.own_names()
    own = {name: value for name, value in given.items() if name in names}
    template, problems = expressions.template(own, _SETTINGS)
    if not problems:
        own, problems = _resolved(template, vars)
    value = {**given, **own} if not problems else given
    settings: BaseModel | None = None
    if not problems:
        try:
            settings = trigger.settings.model_validate(value)
        except ValidationError as error:
            problems += model_problems(trigger.settings, value, _SETTINGS, error)
    use_of_credential, found = _credential(trigger, credential)
    problems += found
    signed = compile_scheme(trigger, registry, problems)
    masked = NO_MASKED_PATHS if signed is None else masked_paths_of(*signed)
    dedupe_key, found = _dedupe_key(given, expressions, check_references, masked)
    problems += found
    if settings is None or signed is None:
        return None, use_of_credential, problems
    webhook = webhook_settings(trigger, given)
    compiled = CompiledTrigger(
        use=trigger.name,
        settings=settings,
        webhook=webhook,
        scheme=signed[0],
        scheme_settings=signed[1],
        credential=use_of_credential.name if use_of_credential is not None else None,
        dedupe_key=dedupe_key,
        subscribes=SubscriptionTrigger(trigger, own),
    )
    return compiled, use_of_credential, [*problems, *content_type_problems(signed[0], webhook, _SETTINGS)]


def _credential(trigger: ConnectorTrigger, name: Any) -> tuple[CredentialUse | None, list[Problem]]:
    types = trigger.credential_types
    problems: list[Problem] = []
    if trigger.unavailable is not None:
        message = f"trigger {trigger.name!r} is not available"
        problems.append(Problem(message, "/trigger/use", "unavailable", trigger.unavailable))
    if isinstance(name, str) and types:
        return CredentialUse(name, "/trigger/credential", types), problems
    if name is None and trigger.needs_credential:
        message = f"trigger {trigger.name!r} needs a credential of type {' or '.join(types)}"
        remedy = f'add "credential": "…", and create it with `hookline credentials set … --type {types[0]}`'
        problems.append(Problem(message, "/trigger", "missing_key", remedy, fix=adding("/trigger/credential", "")))
    return None, problems


def _unwanted_credential(trigger: Trigger, name: Any) -> list[Problem]:
    if name is None:
        return []
    remedy = "remove it"
    if isinstance(trigger, RequestTrigger):
        remedy = 'put it beside the scheme: "verify": {"scheme": "…", "credential": "…"}'
    at = "/trigger/credential"
    message = f"trigger {trigger.name!r} takes no credential here"
    return [Problem(message, at, "credential_unwanted", remedy, fix=removing(at))]


def _request(
    trigger: RequestTrigger,
    given: Mapping[str, Any],
    registry: Registry,
    expressions: Expressions,
    check_references: Callable[[Template], list[Problem]],
) -> tuple[CompiledTrigger | None, CredentialUse | None, list[Problem]]:
    """Compile a trigger that receives requests."""
    problems: list[Problem] = []
    settings: WebhookSettings | None = None
    try:
        settings = validate_safely(trigger.settings, given)
    except ValidationError as error:
        problems += model_problems(trigger.settings, given, _SETTINGS, error)
    verification = compile_verify(given.get("verify"), registry, _VERIFY, problems)
    dedupe_key, found = _dedupe_key(given, expressions, check_references, verification.masked)
    problems += found
    if settings is not None and verification.scheme is not None:
        problems += content_type_problems(verification.scheme, settings, _SETTINGS)
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
        request=trigger,
    )
    return compiled, use_of_credential, problems


def _dedupe_key(
    given: Mapping[str, Any],
    expressions: Expressions,
    check_references: Callable[[Template], list[Problem]],
    masked: MaskedPaths,
) -> tuple[MessageKey | None, list[Problem]]:
    return compile_key(
        "dedupe_key",
        given.get("dedupe_key"),
        f"{_SETTINGS}/dedupe_key",
        expressions,
        check_references,
        masked=masked,
        if_constant=("all messages but the first would be duplicates", "error"),
    )
