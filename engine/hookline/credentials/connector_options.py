"""The options of a setting, asked of its connector."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from hookline.credentials.access_tokens import AccessTokens
from hookline.credentials.used_credential import CredentialAccess, CredentialLookup, UsedCredential
from hookline.discovery.registry import PartKind, Registry
from hookline.flows.elements.expressions import Expressions
from hookline.kernel.errors import CredentialError, NoOptions, OptionsNotReady, Problem, StepError, StoreError
from hookline.kernel.logs import Log
from hookline.kernel.plugin_model_validation import error_text
from hookline.kernel.pointers_and_patches import pointer_to
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.plugin_host.plugin_calls import PluginCalls, PluginDefect, PluginTimeout
from hookline.plugin_host.result_conversion import NotJson, to_json
from hookline.sdk.action import Action
from hookline.sdk.context_parts import Resources
from hookline.sdk.http_client import HttpClient
from hookline.sdk.settings.options_functions import MAX_OPTIONS, SEARCH, Option, OptionsContext, OptionsFunction
from hookline.sdk.triggers import ConnectorTrigger
from hookline.secrets.masking import HiddenValues

_LONGEST: Final = 30.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class OptionsRequest:
    """A request for the options of a setting."""

    component: str
    """The name of an action or a trigger."""
    setting: str
    credential: str | None = None
    """The name of a credential."""
    chosen: Mapping[str, Any] | None = None
    """The values of other settings, as in the flow so far."""
    search: str = ""


@dataclass(frozen=True, slots=True)
class OptionsPage:
    """The first options of a setting."""

    options: tuple[Option, ...]
    more: bool
    """True if there are more. `search` finds them, if the function can search."""


async def fetch_options(
    request: OptionsRequest,
    credentials: CredentialLookup,
    calls: PluginCalls,
    *,
    http: HttpClient,
    resources: Resources,
    log: Log,
    tokens: AccessTokens | None = None,
) -> OptionsPage:
    """Fetch the options of a setting from the service.

    Raises NoOptions if the setting has none, OptionsNotReady if other settings must be chosen first or are invalid,
    CredentialError, and StepError if the service can't be reached or the connector has a defect.
    """
    component, options_function = _component_and_function(calls.registry, request)
    if component.unavailable is not None:
        raise OptionsNotReady(f"{component.name}: {component.unavailable}")
    arguments = _arguments(options_function, request, calls.registry)
    hidden = HiddenValues()
    if options_function.takes_context:
        used = _used(component, request, CredentialAccess(credentials, http, resources, tokens))
        arguments["ctx"] = OptionsContext(used.value, used.http, log, used.resources, used.type, used.tokens)
        hidden = used.hidden
    kind: PartKind = "action" if isinstance(component, Action) else "trigger"
    try:
        # The response of a service may repeat the secrets that it was sent.
        with calls.contain(kind, component.name, passing=(StoreError,), hidden=hidden):
            return await calls.call(kind, component.name, _listed(options_function, arguments), timeout=_LONGEST)
    except StoreError as error:
        raise StepError(hidden.mask_text(error.message), code=error.code, retryable=True) from None
    except PluginTimeout:
        message = f"listing the options of {request.setting!r} took longer than {_LONGEST:g} s"
        raise StepError(message, code="timed_out", retryable=True) from None
    except PluginDefect as defect:
        message = f"listing the options of {request.setting!r}: {defect.message}"
        raise StepError(message, code="connector.defect") from None


def _component_and_function(
    registry: Registry, request: OptionsRequest
) -> tuple[Action | ConnectorTrigger, OptionsFunction]:
    action, trigger = registry.actions.get(request.component), registry.triggers.get(request.component)
    found = [one for one in (action, trigger) if isinstance(one, Action | ConnectorTrigger)]
    for one in found:
        options_function = one.options.get(request.setting)
        if options_function is not None:
            return one, options_function
    if action is None and trigger is None:
        names = {*registry.actions, *registry.triggers}
        remedy = did_you_mean(request.component, names, "`hookline components` lists all")
        raise NoOptions(f"there is no action or trigger {request.component!r} ({remedy})")
    known = sorted({name for one in found for name in one.options})
    listed = f"it offers options for {', '.join(known)}" if known else "it offers none for any setting"
    remedy = did_you_mean(request.setting, known, listed)
    raise NoOptions(f"{request.component} offers no options for {request.setting!r} ({remedy})")


def _arguments(options_function: OptionsFunction, request: OptionsRequest, registry: Registry) -> dict[str, Any]:
    """Return the function's arguments from the settings chosen before. Raises OptionsNotReady with every problem."""
    expressions = Expressions(registry.mappers, ())
    given: dict[str, Any] = {SEARCH: request.search} if options_function.searches else {}
    unknown: set[str] = set()
    for name in options_function.depends_on:
        if request.chosen is None or name not in request.chosen:
            continue
        template, problems = expressions.template(request.chosen[name], f"/with/{name}")
        if problems or not template.constant:
            unknown.add(name)
        else:
            given[name] = template.value
    try:
        model = options_function.settings.model_validate(given)
    except ValidationError as error:
        problems = []
        for one in error.errors(include_url=False, include_input=False):
            name = str(one["loc"][0])
            if one["type"] != "missing":
                message = error_text(one)
            elif name in unknown:
                message = "it is an expression, whose value isn't known before the flow runs"
            else:
                message = "it must be chosen first"
            problems.append(Problem(message, pointer_to(("with", *one["loc"])), one["type"]))
        said = "; ".join(f"{problem.pointer.removeprefix('/with/')}: {problem.message}" for problem in problems)
        raise OptionsNotReady(
            f"the options of {request.setting!r} depend on other settings: {said}", problems=problems
        ) from None
    return {parameter: getattr(model, name) for name, parameter in options_function.parameters.items()}


def _used(component: Action | ConnectorTrigger, request: OptionsRequest, access: CredentialAccess) -> UsedCredential:
    if request.credential is None and component.needs_credential:
        wanted = " or ".join(component.credential_types)
        raise CredentialError(f"{component.name} needs a credential of type {wanted}: name one")
    return access.of(request.credential, component, flow_id=None)


async def _listed(options_function: OptionsFunction, arguments: Mapping[str, Any]) -> OptionsPage:
    """Return the first options of a function's list. Raises NotJson if an item is not an Option."""
    given: Any = options_function.run(**arguments)
    if not isinstance(given, AsyncIterator):
        given = await given
    options: list[Option] = []
    if not isinstance(given, AsyncIterator):
        everything = list(given)
        options = [_option(one, place) for place, one in enumerate(everything[:MAX_OPTIONS])]
        return OptionsPage(tuple(options), len(everything) > MAX_OPTIONS)
    try:
        async for one in given:
            if len(options) == MAX_OPTIONS:
                return OptionsPage(tuple(options), True)
            options.append(_option(one, len(options)))
    finally:
        close = getattr(given, "aclose", None)
        if close is not None:
            await close()
    return OptionsPage(tuple(options), False)


def _option(one: Any, place: int) -> Option:
    if not isinstance(one, Option):
        raise NotJson(f"item {place} is {type(one).__name__}, not an Option")
    value = to_json(one.value, f"the value of item {place}")
    return Option(value, str(one.label) if one.label else value if isinstance(value, str) else str(value))
