"""Speaking with an IMAP server: a connection whose calls run in a thread, one after the other."""

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
"""Seconds that each answer of the server may take."""
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
    """A connection that is logged in. Each call raises StepError: see `failure`."""

    def __init__(self, client: IMAPClient, run: "_Thread", where: str) -> None:
        self._client = client
        self._run = run
        self._where = where

    async def open(self, folder: str, *, readonly: bool) -> Folder:
        """Choose a folder."""

        def select(client: IMAPClient) -> Folder:
            said = client.select_folder(folder, readonly=readonly)
            if b"UIDVALIDITY" not in said:
                raise StepError(f"{self._where} keeps no ids of the mails in {folder!r}", code="email.folder")
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
        """The ids of the mails from one to another, ascending."""
        criteria: list[Any] = ["UID", f"{first}:{last}"]
        if unseen:
            criteria.append("UNSEEN")
        if since is not None:
            criteria += ["SINCE", since]
        found = await self._call(lambda client: client.search(criteria))
        # A range that ends below its beginning means the same as the one turned round.
        return sorted(uid for uid in found if first <= uid <= last)

    async def about(self, uids: Sequence[int]) -> dict[int, About]:
        """Return the properties of mails, without those that no longer exist."""
        wanted = ["RFC822.SIZE", "INTERNALDATE", "FLAGS"]
        found = await self._call(lambda client: client.fetch(uids, wanted))
        now = datetime.now(UTC)
        # What a server doesn't say of a mail is no reason to leave it out.
        return {
            uid: About(
                said.get(b"RFC822.SIZE") or 0,
                said.get(b"INTERNALDATE") or now,
                tuple(_text(flag) for flag in said.get(b"FLAGS") or ()),
            )
            for uid, said in found.items()
        }

    async def newest(self) -> int | None:
        """The id of the last mail; None where the folder is empty."""
        found: list[int] = await self._call(lambda client: client.search(["UID", "*"]))
        return max(found, default=None)

    async def read(self, uid: int, *, whole: bool) -> bytes | None:
        """A mail's bytes, or those of its headers; it stays unread. None where it is gone.

        Empty where the server has it and doesn't give it, as where its file is broken.
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
            # What others have removed is known only now.
            client.noop()
            return uid in client.search(["UID", str(uid)])

        return await self._call(search)

    async def mark_seen(self, uids: Sequence[int]) -> None:
        """Mark mails as read."""
        await self._call(lambda client: client.add_flags(uids, [rb"\Seen"], silent=True))

    async def delete(self, uids: Sequence[int]) -> None:
        """Remove mails: these alone, and not others that somebody else marked to be removed."""

        def remove(client: IMAPClient) -> None:
            client.add_flags(uids, [rb"\Deleted"], silent=True)
            if client.has_capability("UIDPLUS"):
                client.uid_expunge(uids)

        await self._call(remove)

    async def move(self, uids: Sequence[int], folder: str) -> None:
        """Move mails to another folder, which has to be there."""

        def move(client: IMAPClient) -> bool:
            if not client.folder_exists(folder):
                raise StepError(f"there is no folder {folder!r} to move mails to; make it", code="email.folder")
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
    """A connection to the credential's server. Raises StepError: see `failure`."""
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

    `email.login` (AuthExpired); `email.disconnected`, `email.timeout`, `email.tls` (Unavailable); `email.imap` for what
    the server rejects.
    """
    text = " ".join(str(error).split())[:_SHOWN]
    if isinstance(error, LoginError):
        if "UNAVAILABLE" in text or "LIMIT" in text:
            return Unavailable(f"{where} lets nobody in now: {text}", code="email.login")
        return AuthExpired(f"{where} doesn't take the user and the password: {text}", code="email.login")
    if isinstance(error, ssl.SSLError):
        return Unavailable(f"no trust in {where}: {text}", code="email.tls")
    if isinstance(error, TimeoutError):
        return Unavailable(f"{where} did not answer in time", code="email.timeout")
    if isinstance(error, IMAPClientAbortError | OSError):
        return Unavailable(f"{where} broke the connection off: {text}", code="email.disconnected")
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
    """Runs calls in a thread of its own. A call that is cancelled closes the connection, so that the thread ends."""

    def __init__(self, made: socket.socket) -> None:
        self.made = made
        self.client: IMAPClient | None = None
        # What TLS is put around takes the socket's file over.
        self._cut = made.dup()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="imap")

    async def __call__(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._thread.submit(work))

    def close(self) -> None:
        """Close the connection, whatever it is at."""
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
    """The standard library's, over a connection that is there already."""

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
        # It would write every line that comes into a log that nobody reads.
        self._imap.debug = 0

    def _create_IMAP4(self) -> imaplib.IMAP4:  # noqa: N802 - its name
        return _Connected(self._made, self.host, self.port)


def _text(flag: bytes | str) -> str:
    return flag.decode("latin-1") if isinstance(flag, bytes) else flag
