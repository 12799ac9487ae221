"""The client of an IMAP server: a connection whose calls run in a thread, one after the other."""

import asyncio
import imaplib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, TypeVar

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError, LoginError

from hookline.api import AuthExpired, Resources, StepError, Unavailable
from hookline_email.connector import EmailCredential

T = TypeVar("T")

_TIMEOUT: Final = 60.0
"""The maximum seconds for each response of the server."""
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Folder:
    """The state of a folder when it was opened."""

    uidvalidity: int
    uidnext: int
    count: int


@dataclass(frozen=True, slots=True)
class About:
    """The properties of a mail that are known without reading it."""

    size: int
    received_at: datetime
    """With a time zone."""
    flags: tuple[str, ...]


class Session:
    """A connection after its login. Each call raises StepError: see `failure`."""

    def __init__(self, client: IMAPClient, run: "_Thread", where: str) -> None:
        self._client = client
        self._run = run
        self._where = where

    async def open(self, folder: str, *, readonly: bool) -> Folder:
        """Open a folder."""

        def select(client: IMAPClient) -> Folder:
            said = client.select_folder(folder, readonly=readonly)
            if b"UIDVALIDITY" not in said:
                raise StepError(f"{self._where} has no permanent ids of the mails in {folder!r}", code="email.folder")
            following = said.get(b"UIDNEXT")
            if following is None:
                following = client.folder_status(folder, ["UIDNEXT"])[b"UIDNEXT"]
            return Folder(said[b"UIDVALIDITY"], following, said[b"EXISTS"])

        try:
            return await self._call(select)
        except StepError as error:
            if error.error_code != "email.imap":
                raise
            raise StepError(f"the folder {folder!r} can't be opened: {error.message}", code="email.folder") from error

    async def search(self, first: int, last: int, *, unseen: bool, since: date | None) -> list[int]:
        """Return the ids of the mails between two ids, in ascending order."""
        criteria: list[Any] = ["UID", f"{first}:{last}"]
        if unseen:
            criteria.append("UNSEEN")
        if since is not None:
            criteria += ["SINCE", since]
        found = await self._call(lambda client: client.search(criteria))
        # IMAP treats a range whose end is below its beginning as the reversed range.
        return sorted(uid for uid in found if first <= uid <= last)

    async def about(self, uids: Sequence[int]) -> dict[int, About]:
        """Return the properties of mails, without those that no longer exist."""
        wanted = ["RFC822.SIZE", "INTERNALDATE", "FLAGS"]
        found = await self._call(lambda client: client.fetch(uids, wanted))
        now = datetime.now(UTC)
        # A mail is not left out because the server omits some of its properties.
        return {
            uid: About(
                said.get(b"RFC822.SIZE") or 0,
                said.get(b"INTERNALDATE") or now,
                tuple(_text(flag) for flag in said.get(b"FLAGS") or ()),
            )
            for uid, said in found.items()
        }

    async def newest(self) -> int | None:
        """Return the id of the last mail; None if the folder is empty."""
        found: list[int] = await self._call(lambda client: client.search(["UID", "*"]))
        return max(found, default=None)

    async def read(self, uid: int, *, whole: bool) -> bytes | None:
        """Return a mail's bytes, or those of its headers; it stays unread. None if it no longer exists.

        The bytes are empty if the server has the mail but doesn't return it, for example because its file is damaged.
        """
        part = "BODY.PEEK[]" if whole else "BODY.PEEK[HEADER]"
        content: bytes | None = None
        try:
            found = await self._call(lambda client: client.fetch([uid], [part]))
            content = found.get(uid, {}).get(b"BODY[]" if whole else b"BODY[HEADER]")
        except StepError as error:
            if error.error_code != "email.imap":
                raise
        return content or (b"" if await self._has(uid) else None)

    async def _has(self, uid: int) -> bool:
        def search(client: IMAPClient) -> bool:
            # Only now it is known which mails others have removed.
            client.noop()
            return uid in client.search(["UID", str(uid)])

        return await self._call(search)

    async def mark_seen(self, uids: Sequence[int]) -> None:
        """Mark mails as read."""
        await self._call(lambda client: client.add_flags(uids, [rb"\Seen"], silent=True))

    async def delete(self, uids: Sequence[int]) -> None:
        """Remove only these mails, not others that somebody else marked for removal."""

        def remove(client: IMAPClient) -> None:
            client.add_flags(uids, [rb"\Deleted"], silent=True)
            if client.has_capability("UIDPLUS"):
                client.uid_expunge(uids)

        await self._call(remove)

    async def move(self, uids: Sequence[int], folder: str) -> None:
        """Move mails to another folder, which must exist."""

        def move(client: IMAPClient) -> bool:
            if not client.folder_exists(folder):
                raise StepError(f"there is no folder {folder!r} to move mails to; create it", code="email.folder")
            if client.has_capability("MOVE"):
                client.move(uids, folder)
                return True
            client.copy(uids, folder)
            return False

        if not await self._call(move):
            await self.delete(uids)

    async def _call(self, work: Callable[[IMAPClient], T]) -> T:
        try:
            return await self._run(lambda: work(self._client))
        except (IMAPClientError, OSError, ValueError) as error:
            raise failure(error, self._where) from error


@asynccontextmanager
async def session(resources: Resources, credential: EmailCredential) -> AsyncIterator[Session]:
    """Open a connection to the credential's server. Raises StepError: see `failure`."""
    host, port = credential.imap()
    where = f"{host}:{port}"
    made = await resources.connect(host, port)
    made.settimeout(_TIMEOUT)
    run = _Thread(made)
    try:
        try:
            client = await run(lambda: _logged_in(run, credential, host, port))
        except (IMAPClientError, OSError, ValueError) as error:
            raise failure(error, where) from error
        yield Session(client, run, where)
        with suppress(IMAPClientError, OSError):
            await run(client.logout)
    finally:
        run.close()


def failure(error: Exception, where: str) -> StepError:
    """Convert an IMAP error to the error of a poll.

    `email.login` (AuthExpired); `email.disconnected`, `email.timeout`, `email.tls` (Unavailable); `email.imap` for
    commands that the server rejects.
    """
    text = " ".join(str(error).split())[:_SHOWN]
    if isinstance(error, LoginError):
        if "UNAVAILABLE" in text or "LIMIT" in text:
            return Unavailable(f"{where} doesn't accept logins now: {text}", code="email.login")
        return AuthExpired(f"{where} doesn't accept the user name and password: {text}", code="email.login")
    if isinstance(error, ssl.SSLError):
        return Unavailable(f"TLS with {where} failed: {text}", code="email.tls")
    if isinstance(error, TimeoutError):
        return Unavailable(f"{where} did not answer in time", code="email.timeout")
    if isinstance(error, IMAPClientAbortError | OSError):
        return Unavailable(f"{where} ended the connection: {text}", code="email.disconnected")
    return StepError(f"{where}: {text}", code="email.imap")


def _logged_in(run: "_Thread", credential: EmailCredential, host: str, port: int) -> IMAPClient:
    security = credential.imap_security
    context = None if security == "none" else credential.tls()
    if security == "tls" and context is not None:
        run.made = context.wrap_socket(run.made, server_hostname=host)
    client = run.client = _Client(run.made, host, port)
    if security == "starttls":
        client.starttls(context)
    password = credential.imap_password
    client.login(credential.imap_username or "", "" if password is None else password.get_secret_value())
    return client


class _Thread:
    """Runs calls in its own thread. A cancelled call closes the connection, so that the thread ends."""

    def __init__(self, made: socket.socket) -> None:
        self.made = made
        self.client: IMAPClient | None = None
        # The TLS wrapper takes over the socket's descriptor.
        self._cut = made.dup()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="imap")

    async def __call__(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._thread.submit(work))

    def close(self) -> None:
        """Close the connection, whatever its state is."""
        with suppress(OSError):
            self._cut.shutdown(socket.SHUT_RDWR)
        self._cut.close()
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        with suppress(OSError):
            if self.client is not None:
                self.client.shutdown()
            self.made.close()


class _Connected(imaplib.IMAP4):
    """The client of the standard library, over an existing connection."""

    def __init__(self, made: socket.socket, host: str, port: int) -> None:
        self._made = made
        super().__init__(host, port)

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        return self._made


class _Client(IMAPClient):  # type: ignore[misc]  # it has no types
    def __init__(self, made: socket.socket, host: str, port: int) -> None:
        self._made = made
        super().__init__(host, port, ssl=False, timeout=_TIMEOUT)
        self.normalise_times = False
        # It would keep each received line in a log that nobody reads.
        self._imap.debug = 0

    def _create_IMAP4(self) -> imaplib.IMAP4:  # noqa: N802 - its name
        return _Connected(self._made, self.host, self.port)


def _text(flag: bytes | str) -> str:
    return flag.decode("latin-1") if isinstance(flag, bytes) else flag
