"""The connector `s3` and its credential."""

from importlib.util import find_spec
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from hookline.api import Connector, FromVars, Reach
from hookline_s3.reference_text import DESCRIPTION, ERRORS, EXAMPLE


class S3Credential(BaseModel):
    """The access key and the location of a bucket."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: Annotated[str | None, Reach("object")] = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$",
        description="The bucket; if it is set, steps can't name another one.",
    )
    prefix: Annotated[str, Reach("object")] = Field(
        default="", max_length=512, description="The beginning of all keys, up to a slash: steps see no other objects."
    )
    access_key_id: str | None = Field(
        default=None, min_length=1, description="The access key's id; by default the one in the server's environment."
    )
    secret_access_key: SecretStr | None = Field(default=None, description="The secret access key.")
    session_token: SecretStr | None = Field(default=None, description="The session token of a temporary key.")
    region: Annotated[str, Reach("service_url")] = Field(
        default="us-east-1", pattern=r"^[A-Za-z0-9-]+$", description="The bucket's region."
    )
    endpoint: Annotated[str | None, Reach("service_url")] = Field(
        default=None,
        pattern=r"^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?$",
        description="The server's URL, such as https://minio.internal:9000, if it isn't Amazon's.",
    )

    @property
    def url(self) -> str:
        """Return the server's URL."""
        return self.endpoint or f"https://s3.{self.region}.amazonaws.com"

    @field_validator("prefix")
    @classmethod
    def _plain(cls, prefix: str) -> str:
        prefix = prefix.strip("/")
        if prefix and any(part in ("", ".", "..") or not part.isprintable() for part in prefix.split("/")):
            raise ValueError("a prefix must be names separated by single slashes")
        return prefix

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("give access_key_id and secret_access_key, or neither")
        # This raises ValueError for a port that is too large.
        _ = urlsplit(self.url).port
        return self


connector = Connector(
    "s3",
    title="S3",
    credential=S3Credential,
    hosts=("{endpoint}", "*.amazonaws.com"),
    unavailable=None if find_spec("obstore") else "pip install 'hookline[s3]'",
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
    extra="s3",
)

Bucket = Annotated[
    str | None, Reach("object"), FromVars(), Field(description="The bucket; by default the credential's.")
]
Key = Annotated[str, Reach("object"), Field(description="The object's key, such as `invoices/2026/1.pdf`.")]
Replace = Annotated[bool, Field(description="Replace an object that exists at the new key; otherwise the step fails.")]
