"""A real SMTP server that keeps what it takes, and rejects what a test says."""

import asyncio
import ssl
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "shop", "hunter2-hunter2"


@dataclass
class Letter:
    """What came."""

    sender: str
    recipients: list[str]
    content: bytes
    encrypted: bool
    user: str | None
    options: list[str]

    @property
    def message(self) -> EmailMessage:
        """As a reader of mail sees it."""
        message = message_from_bytes(self.content, policy=default)
        assert isinstance(message, EmailMessage)
        return message


@dataclass
class Letters:
    """The handler: what it answers, and what it has taken."""

    taken: list[Letter] = field(default_factory=list)
    recipients: dict[str, str] = field(default_factory=dict)
    """Answers to recipients, such as `550 no such user`."""
    sender: str | None = None
    """The answer to every sender."""
    data: str | None = None
    """The answer to every mail, once it has come."""
    breaks_off: bool = False
    """Whether it breaks the connection off once a mail has come, and answers nothing."""

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Its answer to a sender."""
        if self.sender is not None:
            return self.sender
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Its answer to a recipient."""
        if address in self.recipients:
            return self.recipients[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Its answer to a mail."""
        if self.breaks_off:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        if self.data is not None:
            return self.data
        content = envelope.content
        assert isinstance(content, bytes)
        login = session.auth_data
        assert server.transport is not None
        self.taken.append(
            Letter(
                envelope.mail_from or "",
                list(envelope.rcpt_tos),
                content,
                server.transport.get_extra_info("sslcontext") is not None,
                None if login is None else login.login.decode(),
                list(envelope.mail_options),
            )
        )
        return "250 2.0.0 queued as 42"


class SmtpServer:
    """The server, on the test's own loop."""

    def __init__(self, letters: Letters, server: asyncio.Server, sessions: list[SMTP]) -> None:
        self.letters = letters
        self._server = server
        self._sessions = sessions

    @classmethod
    async def start(
        cls,
        *,
        starttls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
        login: bool = False,
        **options: Any,
    ) -> "SmtpServer":
        """Start one."""
        letters = Letters()
        if login:
            options |= {"authenticator": _authenticate, "auth_required": True, "auth_require_tls": starttls is not None}
        if starttls is not None:
            options |= {"tls_context": starttls, "require_starttls": True}
        loop = asyncio.get_running_loop()
        sessions: list[SMTP] = []

        def session() -> SMTP:
            sessions.append(SMTP(letters, hostname="mail.example.com", loop=loop, **options))
            return sessions[-1]

        return cls(letters, await loop.create_server(session, "127.0.0.1", 0, ssl=tls), sessions)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """End it, and what is left of its connections."""
        self._server.close()
        for session in self._sessions:
            if isinstance(session.transport, asyncio.WriteTransport):
                session.transport.abort()
        await asyncio.sleep(0)


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=False, auth_data=data)
