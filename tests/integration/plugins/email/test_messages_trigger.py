"""`email.messages`, against a real IMAP server."""

import asyncio
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

import pytest
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError
from tests.integration.http_servers import error_of
from tests.integration.plugins.email.certificates import Certificate
from tests.integration.plugins.email.dovecot_server import PASSWORD, USER, Dovecot

from hookline.api import AuthExpired, PollItem, PollResult, StepError, Unavailable
from hookline.plugin_host.resources import EngineResources
from hookline.testing.connector_harness import Harness


def account(server: Dovecot, **more: Any) -> dict[str, Any]:
    return {
        "imap_host": "127.0.0.1",
        "imap_port": server.port,
        "imap_security": "none",
        "imap_username": USER,
        "imap_password": PASSWORD,
        **more,
    }


def mail(subject: str, text: str = "text") -> bytes:
    return f"From: Bob <bob@example.org>\r\nTo: {USER}\r\nSubject: {subject}\r\n\r\n{text}\r\n".encode()


class Box:
    """A folder of a test's own, and the trigger that looks at it."""

    def __init__(self, server: Dovecot, actions: Harness) -> None:
        self.server = server
        self.actions = actions
        self.folder = f"box-{uuid4().hex[:10]}"
        server.make(self.folder)
        self.cursor: Any = None
        self.more = False

    def add(self, *subjects: str, at: datetime | None = None) -> None:
        for subject in subjects:
            self.server.add(mail(subject), self.folder, at)

    async def look(self, **settings: Any) -> PollResult:
        polled = await self.actions.run_poll(
            "email.messages",
            cursor=self.cursor,
            credential=account(self.server),
            **{"folder": self.folder, **settings},
        )
        self.cursor, self.more = polled.cursor, polled.more
        return polled

    async def subjects(self, **settings: Any) -> list[str]:
        return [item.body["subject"] for item in (await self.look(**settings)).items]

    async def one(self, raw: bytes, **settings: Any) -> PollItem:
        self.server.add(raw, self.folder)
        (item,) = (await self.look(**settings)).items
        return item

    def flags(self) -> list[bytes]:
        return self.server.flags(self.folder)

    async def content(self, item: PollItem, index: int) -> bytes:
        return b"".join([chunk async for chunk in self.actions.blobs.open(item.attachments[index].id)])


@pytest.fixture
def box(dovecot: Dovecot, actions: Harness) -> Box:
    return Box(dovecot, actions)


async def test_a_mail_comes_with_all_that_is_in_it(box: Box) -> None:
    message = EmailMessage()
    message["From"] = "Zoë Müller <zoe@example.org>"
    message["To"] = "Ada <ada@example.com>, bob@example.org"
    message["Reply-To"] = "answers@example.org"
    message["Subject"] = "Grüße – 你好"
    message["Date"] = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    message["Message-ID"] = "<1@example.org>"
    message["X-Order"] = "17"
    message.set_content("Straße\n")
    message.add_alternative('<p>Straße <img src="cid:logo"></p>', subtype="html")
    message.add_attachment(b"GIF89a", maintype="image", subtype="gif", disposition="inline", cid="<logo>")
    message.add_attachment(b"%PDF\0\xff", maintype="application", subtype="pdf", filename="Rechnung ä.pdf")
    at = datetime(2026, 3, 1, 12, 31, tzinfo=UTC)
    box.server.add(message.as_bytes().replace(b"\n", b"\r\n"), box.folder, at)
    (item,) = (await box.look()).items
    body = item.body
    assert body["subject"] == "Grüße – 你好"
    assert body["from"] == {"name": "Zoë Müller", "address": "zoe@example.org"}
    assert body["to"] == [
        {"name": "Ada", "address": "ada@example.com"},
        {"name": None, "address": "bob@example.org"},
    ]
    assert (body["cc"], body["reply_to"]) == ([], [{"name": None, "address": "answers@example.org"}])
    assert (body["date"], body["received_at"]) == ("2026-03-01T12:30:00Z", "2026-03-01T12:31:00Z")
    assert (body["text"], body["html"]) == ("Straße\n", '<p>Straße <img src="cid:logo"></p>\n')
    assert (body["message_id"], body["in_reply_to"]) == ("<1@example.org>", None)
    assert (body["folder"], body["uid"], body["flags"]) == (box.folder, 1, [])
    assert (body["complete"], body["problems"]) == (True, [])
    assert item.headers["x-order"] == "17"
    files = [(file.name, file.filename, file.type, file.size) for file in item.attachments]
    assert files == [
        ("cid:logo", None, "image/gif", 6),
        ("attachment", "Rechnung ä.pdf", "application/pdf", 6),
    ]
    assert await box.content(item, 1) == b"%PDF\0\xff"
    assert box.flags() == [b"1 (FLAGS ())"]


async def test_only_what_is_new_comes_and_nothing_twice(box: Box) -> None:
    box.add("old")
    assert await box.subjects(baseline=True) == []
    box.add("a", "b")
    assert await box.subjects() == ["a", "b"]
    assert await box.subjects() == []
    box.add("c")
    assert await box.subjects() == ["c"]


async def test_an_empty_folder_has_nothing_that_existed(box: Box) -> None:
    assert await box.subjects(baseline=True) == []
    box.add("a")
    assert await box.subjects() == ["a"]


async def test_a_large_folder_comes_in_parts(box: Box) -> None:
    box.add("a", "b", "c", "d", "e")
    seen: list[list[str]] = []
    while not seen or box.more:
        seen.append(await box.subjects(max_messages=2))
    assert seen == [["a", "b"], ["c", "d"], ["e"]]


async def test_ids_are_searched_in_windows(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookline_email.messages_trigger._WINDOW", 2)
    monkeypatch.setattr("hookline_email.messages_trigger._WINDOWS", 2)
    box.add(*"abcdefg")
    with box.server.client() as client:
        client.select(box.folder)
        client.store("1:5", "+FLAGS", "\\Seen")
    seen: list[str] = []
    looks = 0
    while not looks or box.more:
        seen += await box.subjects(unseen=True)
        looks += 1
    assert seen == ["f", "g"]
    assert looks > 1


async def test_unread_mails_alone_and_those_since_a_day(box: Box) -> None:
    box.add("old", at=datetime(2026, 1, 1, 12, tzinfo=UTC))
    box.add("read", "new", at=datetime(2026, 6, 1, 12, tzinfo=UTC))
    with box.server.client() as client:
        client.select(box.folder)
        client.store("2", "+FLAGS", "\\Seen")
    assert await box.subjects(unseen=True, since="2026-05-01") == ["new"]


async def test_mails_are_marked_once_their_messages_are_accepted(box: Box) -> None:
    box.add("a")
    assert await box.subjects(after="mark_seen") == ["a"]
    # The cursor that says what to mark is committed together with the message: not before that is it done.
    assert box.more
    assert box.flags() == [b"1 (FLAGS ())"]
    before = box.cursor
    assert await box.subjects(after="mark_seen") == []
    assert box.cursor["pending"] == []
    assert box.flags() == [b"1 (FLAGS (\\Seen))"]
    # Killed before that was committed, it is done again.
    box.cursor = before
    assert await box.subjects(after="mark_seen") == []
    assert box.flags() == [b"1 (FLAGS (\\Seen))"]


async def test_mails_are_deleted_and_no_others(box: Box) -> None:
    box.add("a", "b")
    assert await box.subjects(after="delete", max_messages=1) == ["a"]
    with box.server.client() as client:
        client.select(box.folder)
        client.store("2", "+FLAGS", "\\Deleted")
    assert await box.subjects(after="delete") == ["b"]
    assert box.flags() == [b"1 (FLAGS (\\Deleted))"]


async def test_mails_are_moved(box: Box) -> None:
    box.add("a")
    done = f"{box.folder} erledigt ü"
    after = {"move_to": done}
    assert await box.subjects(after=after) == ["a"]
    error = await error_of(box.look(after=after))
    assert error.error_code == "email.folder"
    assert "there is no folder" in error.message
    assert box.flags() == [b"1 (FLAGS ())"]
    with box.server.client() as client:
        client.create('"' + done.replace("ü", "&APw-") + '"')
    assert await box.subjects(after=after) == []
    assert box.flags() == []
    box.folder, box.cursor = done, None
    assert await box.subjects() == ["a"]


async def test_a_mail_that_is_moved_back_comes_again(box: Box) -> None:
    box.add("a")
    first = (await box.look(after="delete")).items[0]
    await box.look(after="delete")
    box.add("a")
    second = (await box.look(after="delete")).items[0]
    assert first.id != second.id


async def test_new_ids_of_a_folder_give_no_mail_twice_and_lose_none(box: Box) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    box.add("older", at=at - timedelta(hours=1))
    box.add("a", "b", at=at)
    assert await box.subjects() == ["older", "a", "b"]
    box.add("same second", at=at)
    box.add("late", at=at + timedelta(minutes=1))
    box.server.give_new_ids(box.folder)
    assert sorted(await box.subjects()) == ["late", "same second"]
    assert [line[1] for line in box.actions.log.lines] == ["a mailbox has new ids; mails are recognized by their time"]
    assert await box.subjects() == []
    box.add("later")
    assert await box.subjects() == ["later"]


async def test_new_ids_before_anything_came_give_no_old_mails(box: Box) -> None:
    box.add("old")
    assert await box.subjects(baseline=True) == []
    box.server.give_new_ids(box.folder)
    assert await box.subjects() == []
    box.add("new")
    assert await box.subjects() == ["new"]


async def test_what_was_to_be_deleted_is_left_where_ids_mean_other_mails(box: Box) -> None:
    box.add("a")
    assert await box.subjects(after="delete") == ["a"]
    box.server.give_new_ids(box.folder)
    assert await box.subjects(after="delete") == []
    assert len(box.flags()) == 1


async def test_a_mail_that_is_too_large_comes_with_its_headers(box: Box) -> None:
    large = mail("large").replace(b"Subject:", b"X-A: b\r\nSubject:") + b"x" * 3000
    item = await box.one(large, max_size=2000)
    assert item.body["subject"] == "large"
    assert (item.body["complete"], item.body["text"]) == (False, None)
    assert item.body["size"] > 3000
    assert item.headers["x-a"] == "b"
    assert item.attachments == ()


async def test_what_goes_meanwhile_is_left_out(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    from hookline_email.imap import Session

    box.add("a", "b")
    about = Session.about

    async def then_deleted(session: Session, uids: Any) -> Any:
        found = await about(session, uids)
        with box.server.client() as client:
            client.select(box.folder)
            client.store("1", "+FLAGS", "\\Deleted")
            client.expunge()
        return found

    monkeypatch.setattr(Session, "about", then_deleted)
    assert await box.subjects() == ["b"]


@pytest.mark.parametrize("gives", ["nothing", "no"])
async def test_a_mail_that_the_server_does_not_give_stops_no_others(
    box: Box, monkeypatch: pytest.MonkeyPatch, gives: str
) -> None:
    fetch = IMAPClient.fetch

    def broken(client: IMAPClient, uids: Any, data: Any) -> Any:
        if uids != [1] or "BODY.PEEK[]" not in data:
            return fetch(client, uids, data)
        if gives == "no":
            raise IMAPClientError("FETCH failed: NO [SERVERBUG]")
        return {1: {b"SEQ": 1}}

    monkeypatch.setattr(IMAPClient, "fetch", broken)
    box.add("a", "b")
    first, second = (await box.look()).items
    assert (first.body["uid"], first.body["complete"]) == (1, False)
    assert first.body["problems"] == ["the server doesn't return its content"]
    assert second.body["subject"] == "b"
    assert await box.subjects() == []


async def test_a_wrong_password_is_said_and_not_shown(box: Box) -> None:
    credential = account(box.server, imap_password="wrong-password")
    error = await error_of(box.actions.run_poll("email.messages", credential=credential))
    assert isinstance(error, AuthExpired)
    assert error.error_code == "email.login"
    assert "wrong-password" not in error.message


async def test_a_folder_that_isn_t_there_is_said(box: Box) -> None:
    error = await error_of(box.look(folder="nowhere"))
    assert error.error_code == "email.folder"
    assert "'nowhere'" in error.message


async def test_an_inside_address_is_not_reached(box: Box) -> None:
    box.actions.resources = EngineResources()
    error = await error_of(box.look())
    assert error.error_code == "engine.egress"


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_server_that_isn_t_one_is_unavailable(actions: Harness, security: str) -> None:
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    server = await asyncio.start_server(hello, "127.0.0.1", 0)
    credential = {
        "imap_host": "127.0.0.1",
        "imap_port": server.sockets[0].getsockname()[1],
        "imap_security": security,
        "imap_username": USER,
        "imap_password": PASSWORD,
    }
    error = await error_of(actions.run_poll("email.messages", credential=credential))
    assert isinstance(error, StepError)
    assert error.error_code in ("email.tls", "email.imap", "email.disconnected")
    server.close()
    await server.wait_closed()


async def test_a_connection_is_encrypted_before_the_password_is_sent(
    actions: Harness, started: Callable[..., Dovecot], certificate: Certificate
) -> None:
    server = started((certificate.file, certificate.key))
    server.add(mail("a"))
    trusted = account(server, imap_security="starttls", ca_certificate=certificate.authority)
    polled = await actions.run_poll("email.messages", credential=trusted)
    assert [item.body["subject"] for item in polled.items] == ["a"]
    error = await error_of(actions.run_poll("email.messages", credential=account(server, imap_security="starttls")))
    assert isinstance(error, Unavailable)
    assert error.error_code == "email.tls"


async def test_a_look_that_is_cancelled_ends_its_connection(actions: Harness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        credential = {
            "imap_host": "127.0.0.1",
            "imap_port": silent.getsockname()[1],
            "imap_security": "none",
            "imap_username": USER,
            "imap_password": PASSWORD,
        }
        looking = asyncio.create_task(actions.run_poll("email.messages", credential=credential))
        loop = asyncio.get_running_loop()
        connection, _ = await asyncio.wait_for(loop.sock_accept(silent), 5)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        with connection:
            connection.setblocking(False)
            assert await asyncio.wait_for(loop.sock_recv(connection, 10), 5) == b""
