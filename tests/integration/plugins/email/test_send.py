"""`email.send`, against a real SMTP server."""

import asyncio
import json
import socket
import ssl
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from tests.integration.http_servers import error_of
from tests.integration.plugins.email.certificates import Certificate
from tests.integration.plugins.email.conftest import StartSmtp
from tests.integration.plugins.email.smtp_server import PASSWORD, USER, SmtpServer

from hookline.api import Attachment, AuthExpired, Message, StepError, Unavailable
from hookline.plugin_host.resources import EngineResources
from hookline.testing.connector_harness import Harness

LETTER: dict[str, Any] = {"to": "ada@example.com", "subject": "Hello", "text": "How are you?"}


def plain(server: SmtpServer, **more: Any) -> dict[str, Any]:
    return {
        "smtp_host": "127.0.0.1",
        "smtp_port": server.port,
        "smtp_security": "none",
        "sender": "Shop <shop@example.com>",
        **more,
    }


async def sent(actions: Harness, server: SmtpServer, **settings: Any) -> Any:
    return (await actions.run_action("email.send", credential=plain(server), with_={**LETTER, **settings})).body


async def rejected(actions: Harness, server: SmtpServer, **settings: Any) -> StepError:
    return await error_of(sent(actions, server, **settings))


def text_of(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    text: str = part.get_content()
    return text.replace("\r\n", "\n")


async def kept(actions: Harness, name: str, content: bytes, filename: str | None, type: str) -> Attachment:
    writer = await actions.blobs.create()
    await writer.write(content)
    blob = await writer.commit()
    return Attachment(blob.id, name, filename, type, blob.size, blob.sha256)


async def test_a_mail_arrives_as_it_was_said(actions: Harness, smtp: StartSmtp) -> None:
    server = await smtp()
    body = await sent(
        actions,
        server,
        to=["Ada Lovelace <ada@example.com>", "bob@example.org"],
        cc="Zoë, of the board <zoe@bücher.example>",
        bcc=["hidden@example.com", "ada@example.com"],
        reply_to="answers@example.com",
        subject="Grüße – 你好",
        text="Straße\n.dot\nend",
        html="<p>Straße</p>",
        headers={"X-Order": "17", "In-Reply-To": "<a@b>"},
    )
    (letter,) = server.letters.taken
    assert letter.recipients == [
        "ada@example.com",
        "bob@example.org",
        "zoe@xn--bcher-kva.example",
        "hidden@example.com",
    ]
    assert letter.sender == "shop@example.com"
    assert body["accepted"] == letter.recipients
    assert body["rejected"] == []
    assert body["response"] == "2.0.0 queued as 42"
    message = letter.message
    assert message["subject"] == "Grüße – 你好"
    assert str(message["to"]) == "Ada Lovelace <ada@example.com>, bob@example.org"
    assert message["cc"].addresses[0].display_name == "Zoë, of the board"
    assert message["reply-to"] == "answers@example.com"
    assert message["bcc"] is None
    assert b"hidden@example.com" not in letter.content
    assert (message["x-order"], message["in-reply-to"]) == ("17", "<a@b>")
    assert message["message-id"] == body["message_id"]
    assert parsedate_to_datetime(message["date"]).tzinfo is not None
    assert text_of(message, "plain") == "Straße\n.dot\nend\n"
    assert text_of(message, "html") == "<p>Straße</p>\n"
    assert letter.content.isascii()


async def test_a_mail_that_is_sent_again_has_the_same_message_id(actions: Harness, smtp: StartSmtp) -> None:
    server = await smtp()
    first, second = await sent(actions, server), await sent(actions, server)
    assert first["message_id"] == second["message_id"]
    assert first["message_id"].endswith("@example.com>")


async def test_files_go_along(actions: Harness, smtp: StartSmtp) -> None:
    server = await smtp()
    pdf = await kept(actions, "invoice", b"%PDF\0\xff", "../Rechnung ä.pdf", "application/pdf")
    picture = await kept(actions, "cid:logo@x", b"GIF89a", "logo.gif", "image/gif")
    mail = await kept(actions, "mail", b"Subject: a\r\n\r\nb", None, "message/rfc822")
    table = {"filename": "orders.csv", "content": "a;ü\n", "type": "text/csv"}
    message = Message(None, {}, (pdf, picture, mail))
    await actions.run_action(
        "email.send",
        credential=plain(server),
        message=message,
        with_={**LETTER, "attachments": ["invoice", {"id": picture.id}, "mail", table]},
    )
    parts = list(server.letters.taken[0].message.iter_attachments())
    said = [(part.get_filename(), part.get_content_type(), part.get_content_disposition()) for part in parts]
    assert said == [
        ("Rechnung ä.pdf", "application/pdf", "attachment"),
        ("logo.gif", "image/gif", "inline"),
        ("mail", "application/octet-stream", "attachment"),
        ("orders.csv", "text/csv", "attachment"),
    ]
    assert [part.get_payload(decode=True) for part in parts] == [
        b"%PDF\0\xff",
        b"GIF89a",
        b"Subject: a\r\n\r\nb",
        "a;ü\n".encode(),
    ]
    assert parts[1]["content-id"] == "<logo@x>"


async def test_a_mail_larger_than_what_a_thread_is_for_arrives_whole(actions: Harness, smtp: StartSmtp) -> None:
    server = await smtp(data_size_limit=10_000_000)
    content = bytes(range(256)) * 4000
    file = await kept(actions, "file", content, "file.bin", "application/octet-stream")
    await actions.run_action(
        "email.send",
        credential=plain(server),
        message=Message(None, {}, (file,)),
        with_={**LETTER, "attachments": "file"},
    )
    (part,) = server.letters.taken[0].message.iter_attachments()
    assert part.get_payload(decode=True) == content


async def test_files_over_the_bound_are_rejected_before_they_are_read(actions: Harness, smtp: StartSmtp) -> None:
    file = Attachment("nowhere", "file", None, "text/plain", 2000, "")
    sending = actions.run_action(
        "email.send",
        credential=plain(await smtp()),
        message=Message(None, {}, (file,)),
        with_={**LETTER, "attachments": "file", "max_size": 1999},
    )
    error = await error_of(sending)
    assert error.error_code == "email.too_large"
    assert "2000 bytes" in error.message


@pytest.mark.parametrize(
    ("settings", "code", "says"),
    [
        ({"subject": "a\r\nBcc: evil@example.com"}, "email.header", "the subject"),
        ({"subject": "a\u2028Bcc: evil@example.com"}, "email.header", "the subject"),
        ({"headers": {"X-A": "a\nBcc: evil@example.com"}}, "email.header", "'X-A'"),
        ({"headers": {"X-A: b\r\nBcc": "a"}}, "email.header", "not the name of a header"),
        ({"headers": {"bcc": "evil@example.com"}}, "email.header", "comes from other settings"),
        ({"headers": {"Content-Type": "text/html"}}, "email.header", "comes from other settings"),
        ({"to": "ada@example.com, evil@example.com"}, "email.address", "several as a list"),
        ({"to": "ada@example.com\r\nRCPT TO:<evil@example.com>"}, "email.address", "to: "),
        ({"to": "Ada\nBcc: evil@example.com <ada@example.com>"}, "email.address", "to: "),
        ({"to": '"Ada\\\nBcc: evil" <ada@example.com>'}, "email.address", "to: "),
        ({"cc": ["ada"]}, "email.address", "cc: "),
        ({"from": "ada@"}, "email.address", "from: "),
        ({"to": None}, "email.address", "has no recipient"),
        ({"to": []}, "email.address", "has no recipient"),
        ({"text": None}, "email.body", "empty"),
        ({"text": "a\0b"}, "email.body", "NUL"),
        ({"attachments": "none"}, "email.attachment", "'none' is not an attachment"),
        ({"attachments": [{"id": "other"}]}, "email.attachment", "is not an attachment"),
        ({"attachments": {"filename": "a", "content": 1}}, "email.attachment", "content"),
        ({"attachments": {"filename": "a", "content": "b", "cid": "c"}}, "email.attachment", "'cid'"),
    ],
)
async def test_what_is_no_mail_is_rejected_before_anything_is_sent(
    actions: Harness, smtp: StartSmtp, settings: dict[str, Any], code: str, says: str
) -> None:
    server = await smtp()
    error = await rejected(actions, server, **settings)
    assert (error.error_code, error.retryable) == (code, False)
    assert says in error.message
    assert server.letters.taken == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
async def test_it_logs_in_over_each_kind_of_connection(
    actions: Harness, smtp: StartSmtp, server_tls: ssl.SSLContext, certificate: Certificate, security: str
) -> None:
    contexts = {} if security == "none" else {security: server_tls}
    server = await smtp(login=True, **contexts)
    login = {
        "smtp_security": security,
        "smtp_username": USER,
        "smtp_password": PASSWORD,
        "ca_certificate": certificate.authority,
    }
    await actions.run_action("email.send", credential=plain(server, **login), with_=LETTER)
    (letter,) = server.letters.taken
    assert letter.user == USER
    assert letter.encrypted is (security != "none")


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    actions: Harness, smtp: StartSmtp, server_tls: ssl.SSLContext, security: str
) -> None:
    server = await smtp(**{security: server_tls})
    credential = plain(server, smtp_security=security)
    error = await error_of(actions.run_action("email.send", credential=credential, with_=LETTER))
    assert isinstance(error, Unavailable)
    assert error.error_code == "email.tls"
    assert "CERTIFICATE_VERIFY_FAILED" in error.message
    assert server.letters.taken == []


async def test_a_server_without_encryption_gets_no_mail_where_it_was_asked_for(
    actions: Harness, smtp: StartSmtp
) -> None:
    server = await smtp()
    credential = plain(server, smtp_security="starttls", smtp_username=USER, smtp_password=PASSWORD)
    error = await error_of(actions.run_action("email.send", credential=credential, with_=LETTER))
    assert (error.error_code, error.retryable) == ("email.not_supported", False)
    assert "STARTTLS" in error.message


async def test_a_wrong_password_is_said_and_not_shown(
    actions: Harness, smtp: StartSmtp, server_tls: ssl.SSLContext, certificate: Certificate
) -> None:
    server = await smtp(login=True, starttls=server_tls)
    credential = plain(
        server,
        smtp_security="starttls",
        smtp_username=USER,
        smtp_password="wrong-password",
        ca_certificate=certificate.authority,
    )
    error = await error_of(actions.run_action("email.send", credential=credential, with_=LETTER))
    assert isinstance(error, AuthExpired)
    assert error.error_code == "email.535"
    assert "wrong-password" not in error.message


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        ("451 4.3.0 later", "email.451", True),
        ("552 5.3.4 too large", "email.552", False),
        ("421 bye", "email.421", True),
    ],
)
async def test_answers_of_4xx_can_be_retried_and_those_of_5xx_are_final(
    actions: Harness, smtp: StartSmtp, answer: str, code: str, retryable: bool
) -> None:
    server = await smtp()
    server.letters.data = answer
    error = await rejected(actions, server)
    assert (error.error_code, error.retryable, error.outcome_unknown) == (code, retryable, False)
    assert answer.partition(" ")[2] in error.message
    server.letters.data, server.letters.sender = None, answer
    error = await rejected(actions, server)
    assert (error.error_code, error.retryable) == (code, retryable)


async def test_nothing_is_sent_where_a_recipient_is_rejected(actions: Harness, smtp: StartSmtp) -> None:
    server = await smtp()
    server.letters.recipients = {"gone@example.com": "550 5.1.1 no such user"}
    error = await rejected(actions, server, to=["ada@example.com", "gone@example.com"])
    assert (error.error_code, error.retryable) == ("email.rejected", False)
    assert "gone@example.com (550 5.1.1 no such user)" in error.message
    assert "1 of 2" in error.message
    assert server.letters.taken == []
    server.letters.recipients = {"gone@example.com": "450 4.2.1 full"}
    assert (await rejected(actions, server, to=["ada@example.com", "gone@example.com"])).retryable


async def test_a_mail_may_go_to_those_that_are_taken(actions: Harness, smtp: StartSmtp) -> None:
    server = await smtp()
    server.letters.recipients = {"gone@example.com": "550 5.1.1 no such user"}
    body = await sent(actions, server, to=["ada@example.com", "gone@example.com"], partial=True)
    assert body["accepted"] == ["ada@example.com"]
    assert body["rejected"] == [{"address": "gone@example.com", "code": 550, "message": "5.1.1 no such user"}]
    assert server.letters.taken[0].recipients == ["ada@example.com"]
    error = await rejected(actions, server, to="gone@example.com", partial=True)
    assert error.error_code == "email.rejected"


async def test_it_is_unknown_whether_a_mail_was_sent_whose_answer_never_came(actions: Harness, smtp: StartSmtp) -> None:
    server = await smtp()
    server.letters.breaks_off = True
    error = await rejected(actions, server)
    assert (error.error_code, error.retryable, error.outcome_unknown) == ("email.disconnected", True, True)


async def test_a_server_that_says_nothing_is_given_up(actions: Harness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        credential = {"smtp_host": "127.0.0.1", "smtp_port": silent.getsockname()[1], "smtp_security": "none"}
        sending = actions.run_action(
            "email.send", credential=credential, with_={**LETTER, "from": "a@example.com", "timeout": "0.2s"}
        )
        error = await error_of(sending)
    assert isinstance(error, Unavailable)
    assert (error.error_code, error.outcome_unknown) == ("email.timeout", False)


async def test_a_server_that_isn_t_there_is_unavailable(actions: Harness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    credential = {"smtp_host": "127.0.0.1", "smtp_port": port, "sender": "a@example.com"}
    error = await error_of(actions.run_action("email.send", credential=credential, with_=LETTER))
    assert isinstance(error, Unavailable)
    assert error.error_code == "engine.connect"


async def test_an_inside_address_is_not_reached(actions: Harness, smtp: StartSmtp) -> None:
    server = await smtp()
    actions.resources = EngineResources()
    error = await rejected(actions, server)
    assert (error.error_code, error.retryable) == ("engine.egress", False)
    assert "HOOKLINE_EGRESS_ALLOW" in error.message


async def test_an_address_in_other_letters_needs_a_server_that_takes_it(actions: Harness, smtp: StartSmtp) -> None:
    error = await rejected(actions, await smtp(enable_SMTPUTF8=False), to="zoë@example.com")
    assert error.error_code == "email.not_supported"
    server = await smtp(enable_SMTPUTF8=True)
    await sent(actions, server, to="Zoë <zoë@example.com>")
    (letter,) = server.letters.taken
    assert letter.recipients == ["zoë@example.com"]
    assert "SMTPUTF8" in letter.options
    assert "zoë@example.com" in letter.content.decode()


async def test_a_step_that_is_cancelled_leaves_no_connection(actions: Harness) -> None:
    accepted = asyncio.Event()
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    credential = {
        "smtp_host": "127.0.0.1",
        "smtp_port": server.sockets[0].getsockname()[1],
        "smtp_security": "none",
        "sender": "a@example.com",
    }
    sending = asyncio.create_task(actions.run_action("email.send", credential=credential, with_=LETTER))
    await asyncio.wait_for(accepted.wait(), 5)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await asyncio.wait_for(gone.wait(), 5)
    server.close()
    await server.wait_closed()


async def test_a_result_is_json(actions: Harness, smtp: StartSmtp) -> None:
    assert json.dumps(await sent(actions, await smtp()))
