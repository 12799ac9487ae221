"""Whether the service takes a credential: what its connector's `verify` says."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from hookline.credentials.access_tokens import AccessTokens
from hookline.credentials.store import Credentials
from hookline.kernel.errors import CredentialError, StepError, StoreError
from hookline.kernel.logs import Log
from hookline.plugin_host.host import PluginDefect, PluginHost, PluginTimeout
from hookline.sdk.connector import VerifyContext
from hookline.sdk.context import Resources
from hookline.sdk.http import HttpClient
from hookline.secrets.masking import HiddenValues, secret_values

_LONGEST: Final = 30.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a credential."""

    name: str
    type: str
    state: Literal["well", "failed", "unknown"]
    """`unknown`: its type has no way to verify it."""
    message: str
    code: str | None = None
    """The error's, where it failed."""


async def verify(
    name: str,
    credentials: Credentials,
    host: PluginHost,
    *,
    http: HttpClient,
    resources: Resources,
    log: Log,
    tokens: AccessTokens | None = None,
) -> Verdict:
    """Ask. Raises CredentialError where there is no such credential, or it can't be read."""
    type_, credential = credentials.get(name)
    connector = host.registry.verifier(type_)
    if connector is None or connector.verifier is None:
        return Verdict(name, type_, "unknown", f"credentials of type {type_} can't be verified: no plugin says how")
    if connector.unavailable is not None:
        return Verdict(name, type_, "failed", connector.unavailable, "unavailable")
    own = None if tokens is None else tokens.of(name)
    hidden = HiddenValues(secret_values(credential)) if own is None else own.hidden
    context: VerifyContext[Any] = VerifyContext(credential, http, log, resources, own)
    try:
        with host.contain("connector", connector.name, hidden=hidden):
            said = await host.call("connector", connector.name, connector.verifier(context), timeout=_LONGEST)
    except StepError as error:
        return Verdict(name, type_, "failed", hidden.mask_text(error.message), error.error_code)
    except (StoreError, CredentialError) as error:
        return Verdict(name, type_, "failed", hidden.mask_text(error.message), error.code)
    except PluginTimeout:
        return Verdict(name, type_, "failed", f"it took longer than {_LONGEST:g} s", "timed_out")
    except PluginDefect as defect:
        return Verdict(name, type_, "failed", defect.message, "connector.defect")
    return Verdict(name, type_, "well", hidden.mask_text(str(said)) if said else f"{connector.title} takes it")
