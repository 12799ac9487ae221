"""The check of a credential with its service, by the connector's `verify` function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from hookline.credentials.access_tokens import AccessTokens
from hookline.credentials.used_credential import CredentialAccess, CredentialLookup
from hookline.kernel.errors import CredentialError, StepError, StoreError
from hookline.kernel.logs import Log
from hookline.plugin_host.plugin_calls import PluginCalls, PluginDefect, PluginTimeout
from hookline.sdk.connector import VerifyContext
from hookline.sdk.context_parts import Resources
from hookline.sdk.http_client import HttpClient

_LONGEST: Final = 30.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """The result of a check."""

    name: str
    type: str
    state: Literal["valid", "failed", "unknown"]
    """`unknown`: no plugin can verify credentials of this type."""
    message: str
    code: str | None = None
    """The error's code, if the check failed."""


async def check_credential(
    name: str,
    credentials: CredentialLookup,
    calls: PluginCalls,
    *,
    http: HttpClient,
    resources: Resources,
    log: Log,
    tokens: AccessTokens | None = None,
    files_root: Path | None = None,
) -> CredentialCheck:
    """Check a credential with its service. Raises CredentialError if it doesn't exist or can't be read."""
    access = CredentialAccess(credentials, http, resources, tokens)
    used = access.bound(name, credentials.get(name, None))
    type_ = used.type or ""
    connector = calls.registry.verifier(type_)
    if connector is None or connector.verifier is None:
        return CredentialCheck(name, type_, "unknown", f"no plugin can verify credentials of type {type_}")
    if connector.unavailable is not None:
        return CredentialCheck(name, type_, "failed", connector.unavailable, "unavailable")
    hidden = used.hidden
    context: VerifyContext[Any] = VerifyContext(used.value, used.http, log, used.resources, used.tokens, files_root)
    try:
        with calls.contain("connector", connector.name, hidden=hidden):
            message = await calls.call("connector", connector.name, connector.verifier(context), timeout=_LONGEST)
    except StepError as error:
        return CredentialCheck(name, type_, "failed", hidden.mask_text(error.message), error.error_code)
    except (StoreError, CredentialError) as error:
        return CredentialCheck(name, type_, "failed", hidden.mask_text(error.message), error.code)
    except PluginTimeout:
        return CredentialCheck(name, type_, "failed", f"it took longer than {_LONGEST:g} s", "timed_out")
    except PluginDefect as defect:
        return CredentialCheck(name, type_, "failed", defect.message, "connector.defect")
    return CredentialCheck(
        name, type_, "valid", hidden.mask_text(str(message)) if message else f"{connector.title} accepts it"
    )
