"""The rotation of the master key: everything that an older key encrypts is encrypted with the first key."""

from hookline.credentials.store import Credentials
from hookline.kernel.cancellation import shielded
from hookline.secrets.redaction import rewrap
from hookline.secrets.vault import Vault
from hookline.sources.subscription_store import rewrap_subscriptions
from hookline.storage.store import Store


async def rotate_keys(credentials: Credentials, store: Store, vault: Vault) -> int:
    """Encrypt credentials, keys of redacted values and subscriptions with the vault's first key.

    Returns the number of credentials that another key had encrypted. Raises CredentialError if one can't be decrypted,
    and then changes none; RedactedUnreadable if the key of redacted values can't be decrypted; and StoreError.
    """
    rotated = await credentials.rotate()
    await shielded(rewrap(store, vault))
    await shielded(rewrap_subscriptions(store, vault))
    return rotated
