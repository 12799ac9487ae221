"""Profiles: the remote servers that `hookline login` knows, in a file that only its owner can read."""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from hookline.kernel.errors import ConfigError

_FILE: Final = "profiles.json"


class Profile(msgspec.Struct, frozen=True):
    """A remote server, and the token with which it is called."""

    url: str
    token: str
    insecure: bool = False
    """True if the token may be sent over plain http, which anybody on the network can read."""

    def __repr__(self) -> str:
        return f"Profile({self.url!r})"


class _Profiles(msgspec.Struct, frozen=True):
    profiles: dict[str, Profile] = {}


def profiles_file() -> Path:
    """The file of the profiles in the user's configuration folder. Raises ConfigError if the user has none."""
    given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    # The specification says that relative paths are to be ignored.
    if given.is_absolute():
        return given / "hookline" / _FILE
    try:
        return Path.home() / ".config" / "hookline" / _FILE
    except RuntimeError:
        raise ConfigError("there is no home directory for profiles; set HOME, or XDG_CONFIG_HOME") from None


def read_profiles() -> Mapping[str, Profile]:
    """Return the profiles by name. Raises ConfigError for a file that others can read, or that can't be read."""
    path = profiles_file()
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(
                    f"{path}: others can read the tokens in it (mode {stat.S_IMODE(mode):04o}); `chmod 600 {path}`, "
                    "and revoke the tokens if others may have read them"
                )
            return msgspec.json.decode(file.read(), type=_Profiles).profiles
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except RecursionError:
        raise ConfigError(f"{path} is damaged: nested too deeply; correct it, or remove it and sign in again") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is damaged: {error}; correct it, or remove it and sign in again") from None


def store_profile(name: str, profile: Profile) -> Path:
    """Store a profile, in place of one with the same name, and return the file. Raises ConfigError."""
    with _changing() as found:
        found[name] = profile
    return profiles_file()


def remove_profile(name: str) -> bool:
    """Remove a profile. Returns false if there is none. Raises ConfigError."""
    with _changing() as found:
        return found.pop(name, None) is not None


@contextlib.contextmanager
def _changing() -> Iterator[dict[str, Profile]]:
    """The profiles, which the block changes; one process at a time, and atomically."""
    path = profiles_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            found = dict(read_profiles())
            yield found
            _write(path, msgspec.json.format(msgspec.json.encode(_Profiles(found))))
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
