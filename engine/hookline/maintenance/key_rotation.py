"""The rotation of the master key: everything that an older key encrypts is encrypted with the first key."""

from collections.abc import Callable
from typing import Final

from hookline.access.audit import audited
from hookline.credentials.stored_credentials import Credentials
from hookline.kernel.cancellation import shielded
from hookline.kernel.clocks import Clock
from hookline.kernel.suggestions_and_counts import counted
from hookline.model.access import Actor
from hookline.model.batch import BatchPlace
from hookline.secrets.encryption import FOR_DATA_KEY, Vault, for_subscription
from hookline.secrets.redaction import reencrypt_batch_item, reencrypt_callback
from hookline.storage.change_declarations import (
    RecordAudit,
    ReencryptBatchItem,
    ReencryptCallback,
    ReencryptSubscription,
    RetireKeys,
    SetDataKey,
)
from hookline.storage.store import Store

#: The number of data keys that one commit encrypts again.
_PAGE: Final = 200
_LARGE_PAGE: Final = 20
"""The number of values that are read and written whole, since their keys are a part of them."""


async def rotate_keys(
    credentials: Credentials,
    store: Store,
    vault: Vault,
    clock: Clock,
    new_id: Callable[[], str],
    *,
    by: Actor,
    retire: bool = True,
) -> int:
    """Encrypt credentials, keys of redacted values and subscriptions with the vault's first key.

    The keys are those of executions, and those of items of batches and of callbacks that no step has taken yet.

    `retire`: true if nothing else is encrypted with an older key. Then no node needs the older keys any more.

    It takes several commits, and each records `by`. If nothing has another key, nothing is recorded.

    Returns the number of credentials that another key had encrypted. Raises CredentialError if one can't be decrypted,
    and then changes none; RedactedUnreadable if the key of redacted values can't be decrypted; and StoreError.
    """

    def record(what: str) -> RecordAudit:
        return audited(new_id(), clock.now(), by, "key.rotate", detail=what)

    rotated = await credentials.rotate(by=by)
    await shielded(_reencrypt_data_keys(store, vault, record))
    await shielded(_reencrypt_batch_items(store, vault, record))
    await shielded(_reencrypt_callbacks(store, vault, record))
    await shielded(_reencrypt_subscriptions(store, vault, record))
    if retire:
        await store.commit([RetireKeys((vault.first,), clock.now())])
    return rotated


async def _reencrypt_data_keys(store: Store, vault: Vault, record: Callable[[str], RecordAudit]) -> None:
    after = ""
    while page := await store.data_keys(after, _PAGE):
        after = page[-1][0]
        renewed = [
            SetDataKey(execution_id, vault.reencrypt(key, purpose=FOR_DATA_KEY), key)
            for execution_id, key in page
            if not vault.is_current(key)
        ]
        if renewed:
            await store.commit((*renewed, record(counted(len(renewed), "data key"))))


async def _reencrypt_batch_items(store: Store, vault: Vault, record: Callable[[str], RecordAudit]) -> None:
    after: BatchPlace | None = None
    while page := await store.batch_bodies(after, _LARGE_PAGE):
        after = page[-1][0]
        renewed = [
            ReencryptBatchItem(at, new, body)
            for at, body in page
            if (new := reencrypt_batch_item(body, vault)) is not None
        ]
        if renewed:
            await store.commit((*renewed, record(counted(len(renewed), "batch item"))))


async def _reencrypt_callbacks(store: Store, vault: Vault, record: Callable[[str], RecordAudit]) -> None:
    after = ""
    while page := await store.callbacks_to_come(after, _LARGE_PAGE):
        after = page[-1][0]
        renewed = [
            ReencryptCallback(id_, new, packed)
            for id_, packed in page
            if (new := reencrypt_callback(packed, vault)) is not None
        ]
        if renewed:
            await store.commit((*renewed, record(counted(len(renewed), "callback"))))


async def _reencrypt_subscriptions(store: Store, vault: Vault, record: Callable[[str], RecordAudit]) -> None:
    renewed = [
        ReencryptSubscription(flow_id, vault.reencrypt(value, purpose=for_subscription(flow_id)), value)
        for flow_id, value in (await store.subscriptions()).items()
        if not vault.is_current(value)
    ]
    if renewed:
        await store.commit((*renewed, record(counted(len(renewed), "subscription"))))
