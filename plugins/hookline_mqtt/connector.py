"""The connector, and the credential that it takes."""

from importlib.util import find_spec
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from hookline.api import Connector
from hookline_mqtt.reference_page import DESCRIPTION, ERRORS, EXAMPLE


class MqttLogin(BaseModel):
    """How a broker is reached."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, description="The broker's host.")
    port: int | None = Field(default=None, gt=0, lt=65536, description="Its port; 1883, and 8883 with TLS, by default.")
    username: str | None = Field(default=None, description="Who logs in, if anybody has to.")
    password: SecretStr | None = Field(default=None, description="The password.")
    tls: bool = Field(default=False, description="Whether the connection is encrypted.")
    ca: str | None = Field(
        default=None, description="Certificates in PEM that the broker's is signed with, where the system has none."
    )
    client_id: str = Field(
        default="hookline",
        min_length=1,
        max_length=200,
        description="How client ids begin: a flow's is this with a dash and the flow's id. Two installations at one "
        "broker need different ones.",
    )
    version: Literal["5", "3.1.1"] = Field(default="5", description="The version of MQTT; 3.1.1 knows no properties.")

    @property
    def shown(self) -> str:
        """The broker's address, without secrets."""
        return f"{self.host}:{self.port_there}"

    @property
    def port_there(self) -> int:
        """The broker's port."""
        return self.port or (8883 if self.tls else 1883)


mqtt = Connector(
    "mqtt",
    title="MQTT",
    credential=MqttLogin,
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
    extra="mqtt",
    unavailable=None if find_spec("paho") else "pip install 'hookline[mqtt]'",
)
