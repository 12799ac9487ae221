"""How a step's credential becomes a header."""

from base64 import b64encode
from typing import Any

from pydantic import SecretBytes, SecretStr


def authorization(credential_type: str | None, credential: Any, key_header: str) -> dict[str, str]:
    """The header for a credential of type `bearer`, `basic` or `api-key`, whose models are another plugin's.

    `key_header` is where a key goes. Where several secrets stand side by side the first is the current one.
    """
    if credential_type == "bearer":
        return {"Authorization": f"Bearer {_plain(credential.token)}"}
    if credential_type == "basic":
        pair = f"{_plain(credential.username)}:{_plain(credential.password)}"
        return {"Authorization": "Basic " + b64encode(pair.encode()).decode()}
    return {} if credential_type is None else {key_header: _plain(credential.key)}


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = value[0]
    if isinstance(value, SecretStr | SecretBytes):
        value = value.get_secret_value()
    return value.decode() if isinstance(value, bytes) else str(value)
