"""Credentials, without their secrets."""

import msgspec

from hookline.clock import rfc3339
from hookline.runtime.credentials import CredentialInfo
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
