"""The check of a key that was just made: a store with encrypted data has an older key, which is lost."""

from collections.abc import Sequence
from typing import Final

from hookline.kernel.errors import CredentialError
from hookline.kernel.suggest import counted
from hookline.storage.store import Store

_NAMED: Final = 10
"""The most names of one kind in the error."""


async def check_new_key(store: Store) -> None:
    """Raise CredentialError if anything is stored that only another key can decrypt; and StoreError."""
    lost: list[str] = []
    if credentials := [stored.name for stored in await store.credentials()]:
        lost.append(f"{counted(len(credentials), 'credential')} ({_names(credentials)})")
    if subscriptions := sorted(await store.subscriptions()):
        lost.append(f"the subscriptions of {counted(len(subscriptions), 'flow')} ({_names(subscriptions)})")
    if redacted := [execution_id for execution_id, _ in await store.data_keys("", _NAMED + 1)]:
        lost.append(f"the redacted values of executions ({_names(redacted)})")
    if lost:
        raise CredentialError(
            "the key that encrypts credentials and redacted values is missing, and without it these can't be read: "
            f"{'; '.join(lost)}. Put the file secret.key back beside the database, or set HOOKLINE_SECRET_KEY. If the "
            "key is lost for good, make a new one: `hookline credentials new-key`. What the lost key has encrypted "
            "stays unreadable, and the credentials have to be set again"
        )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
