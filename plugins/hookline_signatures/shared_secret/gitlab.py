"""GitLab's webhooks: a token, or a signature by Standard Webhooks."""

import hmac
from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hookline.api import NotVerified, RequestVerifier, Scheme, SignedRequest, Verified
from hookline_signatures.building_blocks.header_text import as_received, message_id, required
from hookline_signatures.building_blocks.secret_fields import Secrets, as_bytes
from hookline_signatures.generic.header_only import among
from hookline_signatures.generic.standard_webhooks import (
    StandardCredential,
    StandardSecrets,
    StandardSettings,
    StandardWebhooks,
)

_TOKEN, _ID_HEADER = "x-gitlab-token", "idempotency-key"


class GitLabCredential(BaseModel):
    """The token that GitLab sends, or the key that it signs with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: Secrets | None = Field(
        default=None, description="The hook's secret token; or a list of tokens, each of which is accepted."
    )
    signing_token: StandardSecrets | None = Field(
        default=None, description="The hook's signing token, `whsec_…`; or a list of tokens, each of which is accepted."
    )

    @model_validator(mode="after")
    def _knows_something(self) -> Self:
        if self.token is None and self.signing_token is None:
            raise ValueError("give a token or a signing_token")
        return self


class GitLab(Scheme[GitLabCredential, StandardSettings]):
    """GitLab's `X-Gitlab-Token`, or its signature by Standard Webhooks in `webhook-signature`.

    In the project's settings, under Webhooks, give the flow's URL, and a secret token or (better, if GitLab offers it)
    a signing token. The secret token is only compared: anybody who sees one request can make others. If the credential
    has both, both have to be right, since GitLab then sends both.

    The dedupe key of a signed request is `webhook-id`, which is part of the signed content, and otherwise
    `Idempotency-Key`; it is the same when GitLab retries. A signed request is rejected if its time is further than
    `tolerance` from the time of receipt. GitLab waits 10 seconds for a response, and after four failures in a row turns
    the webhook off for a while, in the end for good.
    """

    name: ClassVar[str] = "gitlab"
    title: ClassVar[str] = "GitLab"
    credential: ClassVar[type[BaseModel] | None] = GitLabCredential
    settings: ClassVar[type[BaseModel]] = StandardSettings
    signatures: ClassVar[StandardWebhooks] = StandardWebhooks()

    def open(self, request: SignedRequest, credential: GitLabCredential, settings: StandardSettings) -> RequestVerifier:
        """Compare the token, and begin the MAC."""
        known_as = message_id(request, _ID_HEADER)
        if credential.token is not None:
            given = as_received(required(request, _TOKEN))
            if not among(given, as_bytes(credential.token)):
                raise NotVerified("the token is wrong")
        if credential.signing_token is not None:
            return self.signatures.open(request, StandardCredential(secret=credential.signing_token), settings)
        return _Shown(known_as)

    def secret_headers(self, settings: StandardSettings) -> frozenset[str]:
        """Return the header with the token."""
        return frozenset({_TOKEN})

    def sign(
        self, request: SignedRequest, body: bytes, credential: GitLabCredential, settings: StandardSettings
    ) -> Sequence[tuple[str, str]]:
        """Sign with the first token and each signing token; the id is the request's, or made from the body."""
        headers: list[tuple[str, str]] = []
        message_id = request.header(_ID_HEADER) or hmac.new(b"id", body, "sha256").hexdigest()[:32]
        if credential.signing_token is not None:
            standard = StandardCredential(secret=credential.signing_token)
            headers += self.signatures.sign(request, body, standard, settings)
            # GitLab sends one id under two names.
            message_id = dict(headers)["webhook-id"]
        headers.insert(0, (_ID_HEADER, message_id))
        if credential.token is not None:
            headers.append((_TOKEN, as_bytes(credential.token)[0].decode("latin-1")))
        return headers


class _Shown:
    """A request with the right token, whatever the body."""

    def __init__(self, message_id: str | None) -> None:
        self._message_id = message_id

    def feed(self, chunk: bytes) -> None:
        pass

    async def finish(self) -> Verified:
        return Verified(self._message_id)
