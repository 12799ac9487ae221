"""Compiling the parts of a trigger that subscribes with its provider: its scheme, credential and webhook."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from hookline.discovery.registry import Registry
from hookline.flows.elements.outside_references import unknown_component
from hookline.kernel.errors import Problem
from hookline.model.webhook import SUBSCRIBED, WebhookSettings
from hookline.sdk.schemes import Scheme
from hookline.sdk.triggers import WebhookTrigger

_USE: Final = "/trigger/use"


def compile_scheme(
    trigger: WebhookTrigger, registry: Registry, problems: list[Problem]
) -> tuple[Scheme[Any, Any], BaseModel] | None:
    """The scheme with which the trigger's provider signs, and its settings. Adds their problems to `problems`."""
    scheme = registry.schemes.get(trigger.scheme)
    if scheme is None:
        problems.append(unknown_component("scheme", trigger.scheme, registry.schemes, registry, _USE))
        return None
    origin = registry.origin("trigger", trigger.name)
    remedy = f"upgrade plugin {origin}, or report the defect to its author"
    try:
        settings: BaseModel = scheme.settings.model_validate(trigger.scheme_settings)
    except ValidationError as error:
        message = f"trigger {trigger.name!r} has invalid settings for scheme {scheme.name!r}: {error}"
        problems.append(Problem(message, _USE, "trigger_defect", remedy))
        return None
    if scheme.credential is not None and secret_field(trigger, scheme) is None:
        message = (
            f"trigger {trigger.name!r} doesn't say which field of a credential of scheme {scheme.name!r} is the secret"
        )
        problems.append(Problem(message, _USE, "trigger_defect", remedy))
        return None
    return scheme, settings


def secret_field(trigger: WebhookTrigger, scheme: Scheme[Any, Any]) -> str | None:
    """The field of the scheme's credential that holds the subscription's secret; None if that isn't known."""
    fields = {} if scheme.credential is None else scheme.credential.model_fields
    required = [name for name, field in fields.items() if field.is_required()]
    wanted = trigger.secret_field or ("secret" if "secret" in fields else None)
    if wanted is None and len(required) == 1:
        wanted = required[0]
    # Nobody could give the values of other required fields.
    return wanted if wanted in fields and required in ([], [wanted]) else None


def subscription_credential(
    trigger: WebhookTrigger, scheme: Scheme[Any, Any], secrets: Sequence[str]
) -> BaseModel | None:
    """The credential that verifies requests signed with one of several secrets.

    If the scheme's credential holds only one secret, the first is used. Raises pydantic's ValidationError if that is
    not a valid secret of the scheme.
    """
    field = secret_field(trigger, scheme)
    if scheme.credential is None or field is None:
        return None
    if len(secrets) > 1:
        try:
            return scheme.credential.model_validate({field: list(secrets)})
        except ValidationError:
            pass  # the scheme takes only one secret, or one is invalid; the newest alone shows which
    return scheme.credential.model_validate({field: secrets[0]})


def webhook_settings(trigger: WebhookTrigger, given: Mapping[str, Any]) -> WebhookSettings:
    """The settings of the trigger's webhook, taken from all its settings. Raises pydantic's ValidationError."""
    verify = {**trigger.scheme_settings, "scheme": trigger.scheme}
    return WebhookSettings.model_validate(
        {"verify": verify, **{name: value for name, value in given.items() if name in SUBSCRIBED}}
    )
