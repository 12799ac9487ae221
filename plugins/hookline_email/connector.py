"""The connector `email`, and its credential."""

import ssl
from importlib.util import find_spec
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from hookline.api import Connector, Reach, StepError
from hookline_email.reference_text import DESCRIPTION, ERRORS, EXAMPLE

Security: TypeAlias = Literal["starttls", "tls", "none"]

_SMTP_PORTS: Final[dict[Security, int]] = {"starttls": 587, "tls": 465, "none": 25}
_IMAP_PORTS: Final[dict[Security, int]] = {"starttls": 143, "tls": 993, "none": 143}
_LIBRARIES: Final = ("aiosmtplib", "email_validator", "imapclient")


class EmailCredential(BaseModel):
    """An account at a mail server: SMTP to send, IMAP to receive, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    smtp_host: Annotated[str | None, Reach("service_url")] = Field(
        default=None, min_length=1, description="The SMTP server, which accepts mail for sending."
    )
    smtp_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="The port of the SMTP server; by default 587 (starttls), 465 (tls) or 25 (none).",
    )
    smtp_security: Security = Field(
        default="starttls",
        description="The encryption of the connection: from the start (`tls`), before a password is sent "
        "(`starttls`), or none (`none`), for servers on this machine.",
    )
    smtp_username: str | None = Field(
        default=None, min_length=1, description="The user name at the SMTP server; without it, there is no login."
    )
    smtp_password: SecretStr | None = Field(default=None, description="The password at the SMTP server.")
    sender: str | None = Field(
        default=None,
        min_length=1,
        description="The sender of mail if a step gives none: `Shop <shop@example.com>`.",
    )
    imap_host: Annotated[str | None, Reach("service_url")] = Field(
        default=None, min_length=1, description="The IMAP server, which has the mailbox."
    )
    imap_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="The port of the IMAP server; by default 993 (tls) or 143 (starttls, none).",
    )
    imap_security: Security = Field(
        default="tls", description="The encryption of the connection, like `smtp_security`."
    )
    imap_username: str | None = Field(default=None, min_length=1, description="The user name at the IMAP server.")
    imap_password: SecretStr | None = Field(default=None, description="The password at the IMAP server.")
    ca_certificate: Annotated[str | None, Reach("pem")] = Field(
        default=None,
        description="Certificates in PEM of your own authority, which signed the servers' certificates; it is trusted "
        "in addition to those of the system.",
    )

    @field_validator("ca_certificate")
    @classmethod
    def _is_pem(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=value)
            except (ssl.SSLError, ValueError):
                raise ValueError(
                    "it is not a certificate in PEM, which begins with -----BEGIN CERTIFICATE-----"
                ) from None
        return value

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        if self.smtp_host is None and self.imap_host is None:
            raise ValueError("give smtp_host to send, imap_host to receive, or both")
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("give smtp_username and smtp_password, or neither")
        if self.imap_host is not None and (self.imap_username is None or self.imap_password is None):
            raise ValueError("give imap_username and imap_password with imap_host")
        return self

    def smtp(self) -> tuple[str, int]:
        """Return host and port. Raises StepError (`email.credential`) if the credential has no SMTP server."""
        if self.smtp_host is None:
            raise StepError("the credential has no smtp_host, so it can't send mail", code="email.credential")
        return self.smtp_host, self.smtp_port or _SMTP_PORTS[self.smtp_security]

    def imap(self) -> tuple[str, int]:
        """Return host and port. Raises StepError (`email.credential`) if the credential has no IMAP server."""
        if self.imap_host is None:
            raise StepError("the credential has no imap_host, so it can't receive mail", code="email.credential")
        return self.imap_host, self.imap_port or _IMAP_PORTS[self.imap_security]

    def tls(self) -> ssl.SSLContext:
        """Return the TLS context that verifies servers. It takes a while, because it reads the system's authorities."""
        context = ssl.create_default_context()
        if self.ca_certificate is not None:
            context.load_verify_locations(cadata=self.ca_certificate)
        return context


def _unavailable() -> str | None:
    return None if all(map(find_spec, _LIBRARIES)) else "pip install 'hookline[email]'"


email: Final = Connector(
    "email",
    title="Email",
    credential=EmailCredential,
    hosts=("{smtp_host}", "{imap_host}"),
    unavailable=_unavailable(),
    extra="email",
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
)
