"""Credentials, without their secrets."""

import msgspec

from hookline.clock import rfc3339
from hookline.runtime.credentials import CredentialInfo
from hookline.runtime.verifying import Verdict
from hookline.service.views.pages import Time


class CredentialView(msgspec.Struct, frozen=True):
    """A credential without its secrets."""

    name: str
    type: str
    updated_at: Time
    problem: str | None
    """Why it can't be used."""


def credential_view(info: CredentialInfo) -> CredentialView:
    """A credential without its secrets."""
    return CredentialView(info.name, info.type, rfc3339(info.updated_at), info.problem)


class VerdictView(msgspec.Struct, frozen=True):
    """Whether a credential works."""

    name: str
    type: str
    state: str
    """`well`, `failed`, or `unknown` where its type has no way to verify it."""
    message: str
    """Who it is to the service, or why it can't be used."""
    code: str | None
    """The error's code, where it failed."""


def verdict_view(verdict: Verdict) -> VerdictView:
    """Whether a credential works."""
    return VerdictView(verdict.name, verdict.type, verdict.state, verdict.message, verdict.code)
