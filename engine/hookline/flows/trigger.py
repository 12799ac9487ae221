"""Compiling a flow's trigger: its settings, how its sender is verified, and its dedupe key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from hookline.errors import Problem
from hookline.expressions import Expressions, Template
from hookline.flows.compiled import CompiledTrigger
from hookline.flows.keys import compile_key
from hookline.flows.masked import NOTHING, Masked, masked_by
from hookline.flows.names import CredentialUse, unknown_component
from hookline.flows.structure import model_problems
from hookline.model.webhook import WebhookSettings, takes
from hookline.registry import Registry
from hookline.scheme import Scheme
from hookline.trigger import RequestTrigger

_SETTINGS: Final = "/trigger/with"
_VERIFY: Final = f"{_SETTINGS}/verify"


@dataclass(frozen=True, slots=True)
class _Verification:
    scheme: Scheme[Any, Any] | None = None
    settings: BaseModel | None = None
    credential: CredentialUse | None = None

    @property
    def masked(self) -> Masked:
        return NOTHING if self.scheme is None else masked_by(self.scheme, self.settings)


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
    verification, dedupe_key = _Verification(), None
    if isinstance(trigger, RequestTrigger):
        verification = _verification(given.get("verify"), registry, problems)
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
        problems += _mislabelled(verification.scheme, settings)
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


def _mislabelled(scheme: Scheme[Any, Any], webhook: WebhookSettings) -> list[Problem]:
    """What is wrong where a provider sends JSON, and calls it something else."""
    sent = scheme.json_as
    if sent is None:
        return []
    problems = []
    if webhook.body == "auto":
        problems.append(
            Problem(
                f"scheme {scheme.name!r} is of a sender whose JSON comes as {sent}: it would not be read as JSON",
                f"{_SETTINGS}/body",
                "json_not_read",
                'write "body": "json" beside "verify"',
                "warning",
            )
        )
    if webhook.media_types is not None and not takes(webhook.media_types, sent):
        problems.append(
            Problem(
                f"scheme {scheme.name!r} is of a sender whose JSON comes as {sent}, which is refused here",
                f"{_SETTINGS}/media_types",
                "media_type_refused",
                f'add "{sent}"',
                "warning",
            )
        )
    return problems


def _verification(verify: Any, registry: Registry, problems: list[Problem]) -> _Verification:
    given = {"scheme": verify} if isinstance(verify, str) else verify
    if not isinstance(given, dict) or not isinstance(given.get("scheme"), str):
        # The settings' own model has said so.
        return _Verification()
    name, credential = given["scheme"], given.get("credential")
    own = {key: value for key, value in given.items() if key not in ("scheme", "credential")}
    scheme_pointer = _VERIFY if isinstance(verify, str) else f"{_VERIFY}/scheme"
    scheme = registry.schemes.get(name)
    if scheme is None and name != "none":
        known = [*registry.schemes, "none"]
        problems.append(unknown_component("scheme", name, known, registry, scheme_pointer))
        return _Verification()
    if scheme is None:
        problems.append(
            Problem(
                "nothing verifies who sends: whoever knows the URL can start this flow",
                scheme_pointer,
                "not_verified",
                "name the scheme with which the sender signs, unless anybody may send",
                "warning",
            )
        )
    settings = _scheme_settings(scheme, own, problems)
    takes = scheme.credential if scheme is not None else None
    if takes is None and credential is not None:
        problems.append(
            Problem(f"scheme {name!r} takes no credential", f"{_VERIFY}/credential", "credential_unwanted", "remove it")
        )
    if takes is not None and credential is None and scheme is not None and scheme.credential_required:
        problems.append(
            Problem(
                f"scheme {name!r} needs a credential",
                _VERIFY,
                "missing_key",
                f'name one: {{"scheme": "{name}", "credential": "…"}}, '
                f"and make it with `hookline credentials set … --type {name}`",
            )
        )
    if takes is None or not isinstance(credential, str):
        return _Verification(scheme, settings)
    return _Verification(scheme, settings, CredentialUse(credential, f"{_VERIFY}/credential", (name,)))


def _scheme_settings(
    scheme: Scheme[Any, Any] | None, own: Mapping[str, Any], problems: list[Problem]
) -> BaseModel | None:
    if scheme is None:
        problems.extend(
            Problem(f"there is no key {key!r} here", f"{_VERIFY}/{key}", "unknown_key", "scheme 'none' has no settings")
            for key in own
        )
        return None
    try:
        settings: BaseModel = scheme.settings.model_validate(own)
    except ValidationError as error:
        problems += model_problems(scheme.settings, own, _VERIFY, error)
        return None
    return settings
