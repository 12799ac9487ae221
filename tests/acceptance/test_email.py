"""Mail starts flows of a real server and is answered by them; killed in between, none is lost and none comes twice."""

import asyncio
from contextlib import AsyncExitStack
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess, eventually
from tests.integration.plugins.email.dovecot_server import PASSWORD, USER, Dovecot
from tests.integration.plugins.email.smtp_server import SmtpServer

SIGKILL = -9

#: Real servers and a real clock.
pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

FLOW = {
    "id": "answers",
    "trigger": {
        "use": "email.messages",
        "with": {"existing": True, "every": "1s", "max_messages": 2, "after": {"move_to": "Done"}},
        "credential": "mail",
    },
    "steps": [
        {
            "id": "answer",
            "use": "email.send",
            "with": {
                "to": "$.body.from.address",
                "subject": "Re: {{ body.subject }}",
                "text": "Thanks for {{ attachments | length }} files.",
                "attachments": "$.attachments",
                "headers": {"In-Reply-To": "$.body.message_id"},
            },
            "credential": "mail",
        }
    ],
}


def add(dovecot: Dovecot, subject: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Bob <bob@example.org>", USER, subject
    message["Message-ID"] = f"<{subject}@example.org>"
    message.set_content("See the file.")
    message.add_attachment(subject.encode(), maintype="application", subtype="pdf", filename=f"{subject}.pdf")
    dovecot.add(message.as_bytes().replace(b"\n", b"\r\n"))


def server(folder: Path, fault: str | None = None) -> ServerProcess:
    made = ForkedServer(folder, environment={"HOOKLINE_FAULT": fault} if fault else {})
    made.flow(FLOW)
    return made


def runs(folder: Path, dovecot: Dovecot, fault: str) -> None:
    first = server(folder, fault)
    first.launch()
    assert first.died() == SIGKILL, first.log()[-4000:]
    add(dovecot, "e")
    second = server(folder)
    try:
        second.start()
        eventually("all mails are moved", lambda: len(dovecot.flags("Done")) >= 5 and not dovecot.flags())
        eventually("all mails are answered", second.drained)
        executions = [second.ended(one["id"]) for one in second.executions(flow_id="answers")]
        assert sorted(one["state"] for one in executions) == ["succeeded"] * 5
        assert second.stop() == 0
    finally:
        second.kill()


async def survives(folder: Path, fault: str, dovecot: Dovecot, smtp: SmtpServer) -> None:
    await asyncio.to_thread(runs, folder, dovecot, fault)
    answers = [letter.message for letter in smtp.letters.taken]
    assert {message["subject"] for message in answers} == {"Re: a", "Re: b", "Re: c", "Re: d", "Re: e"}
    # A mail that was being answered as the server died may be answered again, by the same message id.
    assert len({message["message-id"] for message in answers}) == 5
    for message in answers:
        subject = message["subject"].removeprefix("Re: ")
        assert message["in-reply-to"] == f"<{subject}@example.org>"
        (file,) = message.iter_attachments()
        assert (file.get_filename(), file.get_payload(decode=True)) == (f"{subject}.pdf", subject.encode())


async def test_a_kill_at_a_commit_loses_no_mail_and_answers_none_twice(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        prepared = []
        for fault in ("cursor.before_commit:2", "cursor.after_commit:1"):
            folder = tmp_path / fault.replace(":", "-")
            folder.mkdir()
            smtp = await SmtpServer.start()
            stack.push_async_callback(smtp.stop)
            dovecot = Dovecot()
            stack.callback(dovecot.stop)
            dovecot.make("Done")
            for subject in "abcd":
                add(dovecot, subject)
            values = (
                *("smtp_host=127.0.0.1", f"smtp_port={smtp.port}", "smtp_security=none"),
                *("sender=Shop <shop@example.com>", "imap_host=127.0.0.1", f"imap_port={dovecot.port}"),
                *("imap_security=none", f"imap_username={USER}", f"imap_password={PASSWORD}"),
            )
            await asyncio.to_thread(server(folder).run, "credentials", "set", "mail", "--type", "email", *values)
            prepared.append((folder, fault, dovecot, smtp))
        said = await asyncio.to_thread(server(folder).run, "credentials", "verify", "mail")
        assert USER in said.output
        await asyncio.gather(*(survives(*each) for each in prepared))
