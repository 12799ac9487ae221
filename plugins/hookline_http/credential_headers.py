"""How a step's credential becomes a header."""

from base64 import b64encode
from typing import Any

from pydantic import SecretBytes, SecretStr

from hookline.api import StepError


def authorization(
    credential_type: str | None, credential: Any, key_header: str, token: str | None = None
) -> dict[str, str]:
    """The headers for a credential of type `bearer`, `basic` or `api-key`, or for the access token of another.

    `key_header` is where a key goes.
    The models of `bearer` (`token`), `basic` (`username`, `password`) and `api-key` (`key`) are another plugin's: they
    are known by the name of their type, and where several secrets stand side by side the first is the current one.
    """
    if token is not None:
        return {"Authorization": f"Bearer {token}"}
    match credential_type:
        case None:
            return {}
        case "bearer":
            return {"Authorization": f"Bearer {_plain(credential.token)}"}
        case "basic":
            pair = f"{_plain(credential.username)}:{_plain(credential.password)}"
            return {"Authorization": "Basic " + b64encode(pair.encode()).decode()}
        case "api-key":
            return {key_header: _plain(credential.key)}
        case _:
            raise StepError(f"http.request can't use a credential of type {credential_type!r}", code="http.credential")


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = value[0]
    if isinstance(value, SecretStr | SecretBytes):
        value = value.get_secret_value()
    return value.decode() if isinstance(value, bytes) else str(value)
