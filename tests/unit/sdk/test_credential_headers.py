"""Each general type of credential gives its header."""

import pytest
from pydantic import BaseModel, SecretStr

from hookline.api import credential_headers


class Token(BaseModel):
    token: SecretStr


class Pair(BaseModel):
    username: str
    password: SecretStr


class Key(BaseModel):
    key: list[SecretStr]


@pytest.mark.parametrize(
    ("credential_type", "credential", "headers"),
    [
        ("bearer", Token(token=SecretStr("a")), {"Authorization": "Bearer a"}),
        ("basic", Pair(username="a", password=SecretStr("b")), {"Authorization": "Basic YTpi"}),
        ("api-key", Key(key=[SecretStr("a"), SecretStr("b")]), {"X-Key": "a"}),
    ],
)
def test_a_credential_gives_its_header(credential_type: str, credential: BaseModel, headers: dict[str, str]) -> None:
    assert credential_headers(credential_type, credential, "X-Key") == headers


def test_a_credential_of_another_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="'oauth2' gives no header by itself"):
        credential_headers("oauth2", Token(token=SecretStr("a")), "X-Key")
