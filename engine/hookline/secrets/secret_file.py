"""A file with a generated secret, readable only by its owner."""

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from hookline.kernel.errors import CredentialError


def load_or_create(path: Path, generate: Callable[[], str]) -> str:
    """Return the text of a file, which is created with mode 0600 and a generated text if it doesn't exist.

    Two processes that start at the same time agree on one text. Raises CredentialError for a file that others can read,
    or that can't be read or created.
    """
    try:
        if not path.exists():
            _create(path, generate())
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise CredentialError(
                    f"{path}: others can read this secret (mode {stat.S_IMODE(mode):04o}); `chmod 600 {path}`, "
                    "and make a new one if others may have read it"
                )
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialError(f"{path}: the secret can't be read or made: {error}") from error


def _create(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link, unlike a rename, never replaces a file: the first process creates the secret.
            path.hardlink_to(draft)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
