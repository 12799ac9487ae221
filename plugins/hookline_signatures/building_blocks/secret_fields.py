"""Secrets in credentials: one, or several while one replaces another."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

#: Providers choose many of these secrets, so that a stricter bound would shut senders out that can't do better.
#: What is shorter is no key but a slip: an unset variable, a paste that was cut off.
SHORTEST: Final = 5
#: Where only the provider can sign.
OWN_KEY_REMEDY: Final = (
    "make a key of your own, and a credential for tests that holds it as `private_key` in place of the provider's "
    "(docs/how-to/receive-from-providers.md)"
)


def listed(value: Any) -> Any:
    """Return a value as a list; a single value becomes a list of one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _long_enough(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    # What many providers' secrets begin with says nothing.
    bare = [secret.get_secret_value().strip().removeprefix("whsec_") for secret in secrets]
    if any(len(text.encode()) < SHORTEST for text in bare):
        raise ValueError(f"a secret needs at least {SHORTEST} bytes; this one is empty or cut off")
    return secrets


AnySecrets: TypeAlias = Annotated[
    tuple[SecretStr, ...],
    BeforeValidator(listed, json_schema_input_type=SecretStr | list[SecretStr]),
    Field(min_length=1, max_length=10),
]
"""One secret, or a list of them, each of which verifies."""

Secrets: TypeAlias = Annotated[AnySecrets, AfterValidator(_long_enough)]
"""The same, of secrets that are used as they are written."""


def as_bytes(secrets: Sequence[SecretStr]) -> list[bytes]:
    """The keys: each secret's UTF-8."""
    return [secret.get_secret_value().encode() for secret in secrets]
