"""Waiting until nobody is changing a folder: no file changes for a while, and git isn't at work."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hookline.catalog.flow_folder import FileStamp, stamps
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import FolderBusy

QUIET: Final = 1.0
"""Seconds without a change after which a folder is settled."""
_EVERY: Final = 0.2
_REMIND: Final = 60.0
"""Seconds until it is reported again."""
_LONG: Final = 10.0
"""Seconds after which a lock of git is reported, since git may have died and left it."""


class SettledFolder:
    """Waits until a folder is settled, so that a pull of many files is seen as a whole."""

    def __init__(self, directory: Path, clock: Clock, log: Any) -> None:
        self._directory = directory
        self._clock = clock
        self._log = log

    async def wait(self) -> None:
        """Return once no flow file has changed for a second, and git has no lock.

        A folder that can't be read counts as unchanged; reading it afterwards raises the error.
        """
        began = since = self._clock.monotonic()
        reported: float | None = None
        seen = self._stamps()
        while self._clock.monotonic() - since < QUIET:
            await self._clock.sleep(_EVERY)
            found, lock, now = self._stamps(), git_lock(self._directory), self._clock.monotonic()
            if found != seen or lock is not None:
                seen, since = found, now
            if lock is not None and now - (began + _LONG if reported is None else reported + _REMIND) > 0:
                self._log.error("no flow is deployed while git holds its lock", lock=str(lock))
                reported = now
        if reported is not None:
            self._log.info("git has released its lock")

    def _stamps(self) -> Mapping[str, FileStamp] | None:
        try:
            return stamps(self._directory)
        except OSError:
            return None

    async def wait_for_git(self) -> None:
        """Return once git has no lock. Raises FolderBusy if it keeps its lock for longer than its commands take."""
        began = self._clock.monotonic()
        while (lock := git_lock(self._directory)) is not None:
            if self._clock.monotonic() - began > _LONG:
                raise FolderBusy(
                    f"git is changing the folder of the flows: try again once {lock} is gone, and remove it if git has "
                    "died and left it"
                )
            await self._clock.sleep(_EVERY)


def git_lock(directory: Path) -> Path | None:
    """The lock that git holds while it changes the working tree of a folder; None if git isn't changing it."""
    for folder in (directory.resolve(), *directory.resolve().parents):
        try:
            lock = _lock_in(folder / ".git")
            if lock is not None:
                return lock if lock.exists() else None
        except OSError:
            # Without permission for the repository, the lock can't be seen.
            return None
    return None


def _lock_in(git: Path) -> Path | None:
    """The place of the lock; None if this is no repository. In a linked working tree, `.git` is a file."""
    try:
        if git.is_dir():
            return git / "index.lock"
        kind, _, place = git.read_text(encoding="utf-8").strip().partition(": ")
    except (OSError, UnicodeDecodeError):
        return None
    return git.parent / place / "index.lock" if kind == "gitdir" else None
