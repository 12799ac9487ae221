"""The keys that encrypt credentials, as the settings have them."""

from hookline.config import Settings
from hookline.secrets.vault import load_or_create_key, read_keys


def secret_keys(settings: Settings) -> tuple[bytes, ...]:
    """The keys; where none are set, one is made and kept beside the database.

    Raises CredentialError where they can't be used.
    """
    if settings.secret_key is not None:
        return read_keys(settings.secret_key.get_secret_value())
    return load_or_create_key(settings.data_dir / "secret.key")
