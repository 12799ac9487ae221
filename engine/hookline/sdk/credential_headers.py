"""The headers that a credential gives to each request of its connector."""

from base64 import b64encode
from typing import Any

from pydantic import SecretBytes, SecretStr


def credential_headers(credential_type: str, credential: Any, key_header: str) -> dict[str, str]:
    """Return the headers for a credential of type `bearer`, `basic` or `api-key`.

    Raises ValueError for a credential of another type. A key goes into `key_header`. The models of `bearer` (`token`),
    `basic` (`username`, `password`) and `api-key` (`key`) are a plugin's: they are known by the name of their type. Of
    several secrets in one place, the first is the current one.
    """
    match credential_type:
        case "bearer":
            return {"Authorization": f"Bearer {_plain(credential.token)}"}
        case "basic":
            pair = f"{_plain(credential.username)}:{_plain(credential.password)}"
            return {"Authorization": "Basic " + b64encode(pair.encode()).decode()}
        case "api-key":
            return {key_header: _plain(credential.key)}
        case _:
            raise ValueError(f"a credential of type {credential_type!r} gives no header by itself")


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = value[0]
    if isinstance(value, SecretStr | SecretBytes):
        value = value.get_secret_value()
    return value.decode() if isinstance(value, bytes) else str(value)
