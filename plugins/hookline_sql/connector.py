"""The connector `sql`, and its credential type."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from hookline.api import Connector, Reach
from hookline_sql.reference_text import DESCRIPTION, ERRORS, EXAMPLE


class SqlCredential(BaseModel):
    """A database's password, or its whole URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    password: SecretStr | None = Field(default=None, description="The password.")
    username: str | None = Field(default=None, min_length=1, description="The user, if the URL doesn't name it.")
    url: Annotated[SecretStr | None, Reach("database_url")] = Field(
        default=None, description="The whole URL, instead of the step's `url`."
    )

    ca: Annotated[str | None, Reach("pem")] = Field(
        default=None,
        description="Certificates in PEM of the authority that signed the server's certificate, if the system doesn't "
        "trust it: for `?ssl=verify-full` and `?ssl=verify-ca`.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.password is None and self.url is None:
            raise ValueError("give password or url")
        return self


connector = Connector(
    "sql",
    title="SQL databases",
    credential=SqlCredential,
    hosts=("{url}",),
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
)
