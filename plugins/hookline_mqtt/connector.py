"""The connector and its credential type."""

from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from hookline.api import Connector, Reach
from hookline_mqtt.reference_text import DESCRIPTION, ERRORS, EXAMPLE


class MqttLogin(BaseModel):
    """The address of a broker, and a user."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[str, Reach("service_url")] = Field(min_length=1, description="The broker's host.")
    port: int | None = Field(
        default=None, gt=0, lt=65536, description="The broker's port; by default 1883, or 8883 with TLS."
    )
    username: str | None = Field(default=None, description="The user name, if the broker needs one.")
    password: SecretStr | None = Field(default=None, description="The password.")
    tls: bool = Field(default=False, description="Encrypt the connection with TLS.")
    ca: Annotated[str | None, Reach("pem")] = Field(
        default=None,
        description="Certificates in PEM of the authority that signed the broker's certificate, if the system doesn't "
        "trust it.",
    )
    client_id: str = Field(
        default="hookline",
        min_length=1,
        max_length=200,
        description="The beginning of client ids, which a dash and the flow's id follow. Two installations at one "
        "broker need different ones.",
    )
    version: Literal["5", "3.1.1"] = Field(default="5", description="The version of MQTT; 3.1.1 has no properties.")

    @property
    def shown(self) -> str:
        """Return the broker's address, without secrets."""
        return f"{self.host}:{self.port_there}"

    @property
    def port_there(self) -> int:
        """Return the broker's port."""
        return self.port or (8883 if self.tls else 1883)


mqtt = Connector(
    "mqtt",
    title="MQTT",
    credential=MqttLogin,
    hosts=("{host}",),
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
    extra="mqtt",
    unavailable=None if find_spec("paho") else "pip install 'hookline[mqtt]'",
)
