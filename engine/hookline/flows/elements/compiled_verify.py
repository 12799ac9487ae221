"""Compiling `verify`: the scheme that verifies senders, its settings and its credential."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from hookline.discovery.registry import Registry
from hookline.flows.documents.model_problems import model_problems
from hookline.flows.elements.outside_references import CredentialUse, unknown_component
from hookline.flows.elements.paths_masked_by_schemes import NO_MASKED_PATHS, MaskedPaths, masked_paths_of
from hookline.kernel.errors import Problem
from hookline.kernel.plugin_model_validation import validate_safely
from hookline.kernel.pointers_and_patches import adding, escape, removing, replacing
from hookline.model.webhook import RequestSettings, takes
from hookline.sdk.schemes import Scheme


@dataclass(frozen=True, slots=True)
class CompiledVerify:
    """A compiled `verify`. Without a scheme, nothing is verified."""

    scheme: Scheme[Any, Any] | None = None
    settings: BaseModel | None = None
    credential: CredentialUse | None = None

    @property
    def masked(self) -> MaskedPaths:
        """The paths that are masked in its messages before anything reads them."""
        return NO_MASKED_PATHS if self.scheme is None else masked_paths_of(self.scheme, self.settings)


def compile_verify(verify: Any, registry: Registry, pointer: str, problems: list[Problem]) -> CompiledVerify:
    """Compile `verify`, which may be any JSON. Adds its problems to `problems`."""
    given = {"scheme": verify} if isinstance(verify, str) else verify
    if not isinstance(given, dict) or not isinstance(given.get("scheme"), str):
        # The settings' own model reports it.
        return CompiledVerify()
    name, credential = given["scheme"], given.get("credential")
    own = {key: value for key, value in given.items() if key not in ("scheme", "credential")}
    scheme_pointer = pointer if isinstance(verify, str) else f"{pointer}/scheme"
    scheme = registry.schemes.get(name)
    if scheme is None and name != "none":
        known = [*registry.schemes, "none"]
        problems.append(unknown_component("scheme", name, known, registry, scheme_pointer))
        return CompiledVerify()
    if scheme is None:
        problems.append(
            Problem(
                "requests are not verified: anyone who knows the URL can start this flow",
                scheme_pointer,
                "not_verified",
                "name the scheme with which the sender signs, unless anyone may send",
                "warning",
            )
        )
    settings = _scheme_settings(scheme, own, pointer, problems)
    takes = scheme.credential if scheme is not None else None
    if takes is None and credential is not None:
        problems.append(
            Problem(
                f"scheme {name!r} takes no credential",
                f"{pointer}/credential",
                "credential_unwanted",
                "remove it",
                fix=removing(f"{pointer}/credential"),
            )
        )
    if takes is not None and credential is None and scheme is not None and scheme.credential_required:
        problems.append(
            Problem(
                f"scheme {name!r} needs a credential",
                pointer,
                "missing_key",
                f'name one: {{"scheme": "{name}", "credential": "…"}}, '
                f"and create it with `hookline credentials set … --type {name}`",
                fix=(
                    replacing(pointer, {"scheme": name, "credential": ""})
                    if isinstance(verify, str)
                    else adding(f"{pointer}/credential", "")
                ),
            )
        )
    if takes is None or not isinstance(credential, str):
        return CompiledVerify(scheme, settings)
    return CompiledVerify(scheme, settings, CredentialUse(credential, f"{pointer}/credential", (name,), sent=False))


def _scheme_settings(
    scheme: Scheme[Any, Any] | None, own: Mapping[str, Any], pointer: str, problems: list[Problem]
) -> BaseModel | None:
    if scheme is None:
        problems.extend(
            Problem(
                f"there is no key {key!r} here",
                f"{pointer}/{escape(key)}",
                "unknown_key",
                "remove it; scheme 'none' has no settings",
                fix=removing(f"{pointer}/{escape(key)}"),
            )
            for key in own
        )
        return None
    try:
        settings: BaseModel = validate_safely(scheme.settings, own)
    except ValidationError as error:
        problems += model_problems(scheme.settings, own, pointer, error)
        return None
    return settings


def content_type_problems(scheme: Scheme[Any, Any], webhook: RequestSettings, pointer: str) -> list[Problem]:
    """Warnings for a provider that sends JSON under another media type. `pointer` is that of the settings."""
    sent = scheme.json_as
    if sent is None:
        return []
    problems = []
    if webhook.body == "auto":
        problems.append(
            Problem(
                f"the provider of scheme {scheme.name!r} sends JSON as {sent}, which would not be read as JSON",
                f"{pointer}/body",
                "json_not_read",
                'write "body": "json" beside "verify"',
                "warning",
                fix=adding(f"{pointer}/body", "json"),
            )
        )
    if webhook.media_types is not None and not takes(webhook.media_types, sent):
        problems.append(
            Problem(
                f"the provider of scheme {scheme.name!r} sends JSON as {sent}, which is rejected here",
                f"{pointer}/media_types",
                "media_type_rejected",
                f'add "{sent}"',
                "warning",
                fix=adding(f"{pointer}/media_types/-", sent),
            )
        )
    return problems
