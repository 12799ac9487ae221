"""Compiling a flow's trigger: its settings, how its sender is verified, and its dedupe key."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from hookline.errors import Problem
from hookline.expressions import Expressions, Template
from hookline.flows.compiled import CompiledTrigger
from hookline.flows.keys import compile_key
from hookline.flows.names import CredentialUse, unknown_component
from hookline.flows.structure import model_problems
from hookline.flows.verify import Verification, compile_verify, mislabelled
from hookline.model.webhook import WebhookSettings
from hookline.registry import Registry
from hookline.trigger import RequestTrigger

_SETTINGS: Final = "/trigger/with"
_VERIFY: Final = f"{_SETTINGS}/verify"


def compile_trigger(
    raw: Mapping[str, Any],
    registry: Registry,
    expressions: Expressions,
    check_references: Callable[[Template], list[Problem]],
) -> tuple[CompiledTrigger | None, CredentialUse | None, list[Problem]]:
    """The trigger, None where an error is among the problems, and the credential that verifies with it.

    `raw` is the document's `trigger`, of which nothing is taken for granted.
    """
    use, given = raw.get("use"), raw.get("with", {})
    if not isinstance(use, str) or not isinstance(given, dict):
        return None, None, []
    trigger = registry.triggers.get(use)
    if trigger is None:
        return None, None, [unknown_component("trigger", use, registry.triggers, registry, "/trigger/use")]
    problems: list[Problem] = []
    settings: BaseModel | None = None
    try:
        settings = trigger.settings.model_validate(given)
    except ValidationError as error:
        problems += model_problems(trigger.settings, given, _SETTINGS, error)
    verification, dedupe_key = Verification(), None
    if isinstance(trigger, RequestTrigger):
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
    if isinstance(settings, WebhookSettings) and verification.scheme is not None:
        problems += mislabelled(verification.scheme, settings, _SETTINGS)
    use_of_credential = verification.credential
    if settings is None or any(problem.severity == "error" for problem in problems):
        return None, use_of_credential, problems
    compiled = CompiledTrigger(
        use=use,
        settings=settings,
        webhook=settings if isinstance(settings, WebhookSettings) else None,
        scheme=verification.scheme,
        scheme_settings=verification.settings,
        credential=use_of_credential.name if use_of_credential is not None else None,
        dedupe_key=dedupe_key,
    )
    return compiled, use_of_credential, problems
