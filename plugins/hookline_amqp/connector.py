"""The connector and its credential type."""

from importlib.util import find_spec
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from hookline.api import Connector, Reach
from hookline_amqp.reference_text import DESCRIPTION, ERRORS, EXAMPLE

SCHEMES: Final = ("amqp", "amqps")


class AmqpLogin(BaseModel):
    """The address of a broker, and a user."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[SecretStr | None, Reach("service_url")] = Field(
        default=None,
        description="The whole address: `amqp://user:password@host:5672/vhost`, with `amqps:` for TLS. Besides it, "
        "only `ca` may be given.",
    )
    host: Annotated[str | None, Reach("service_url")] = Field(
        default=None, description="The broker's host, if there is no `url`."
    )
    port: int | None = Field(
        default=None, gt=0, lt=65536, description="The broker's port; by default 5672, or 5671 with TLS."
    )
    username: str = Field(default="guest", description="The user name; by default `guest`.")
    password: SecretStr | None = Field(default=None, description="The password; by default that of `guest`.")
    vhost: Annotated[str, Reach("broker")] = Field(default="/", description="The virtual host.")
    tls: bool = Field(default=False, description="Encrypt the connection with TLS.")
    ca: Annotated[str | None, Reach("pem")] = Field(
        default=None,
        description="Certificates in PEM of the authority that signed the broker's certificate, if the system doesn't "
        "trust it.",
    )

    @model_validator(mode="after")
    def _one_address(self) -> "AmqpLogin":
        others = sorted(self.model_fields_set & {"host", "port", "username", "password", "vhost", "tls"})
        if self.url is None:
            if not self.host:
                raise ValueError("give `host` or `url`")
            return self
        if others:
            raise ValueError(f"`url` says {', '.join(others)} already: give only one of them")
        parts = urlsplit(self.url.get_secret_value())
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise ValueError("`url` must be amqp://user:password@host:5672/vhost, or amqps://… for TLS")
        return self

    @property
    def shown(self) -> str:
        """Return the broker's address, without secrets."""
        if self.url is None:
            return f"{self.host}:{self.port or (5671 if self.tls else 5672)}"
        parts = urlsplit(self.url.get_secret_value())
        return f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"


amqp = Connector(
    "amqp",
    title="AMQP",
    credential=AmqpLogin,
    hosts=("{url}", "{host}"),
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
    extra="amqp",
    unavailable=None if find_spec("aio_pika") else "pip install 'hookline[amqp]'",
)
