"""The contract of connectors, over real servers."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from tests.integration.plugins.email.conftest import StartSmtp
from tests.integration.plugins.email.dovecot_server import PASSWORD, USER, Dovecot
from tests.integration.plugins.email.smtp_server import PASSWORD as SMTP_PASSWORD
from tests.integration.plugins.email.smtp_server import USER as SMTP_USER

from hookline.testing.contracts.connector import ConnectorContract
from hookline_email.connector import email


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
class TestEmail(ConnectorContract):
    connector = email
    calls: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "email.send": {"to": "ada@example.com", "from": "shop@example.com", "subject": "Hello", "text": "text"},
        "email.messages": {},
    }
    credential: ClassVar[Mapping[str, Any] | None] = None
    level = "gold"

    @pytest.fixture(autouse=True)
    async def servers(self, smtp: StartSmtp, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch) -> None:
        server = await smtp(login=True)
        values = {
            "smtp_host": "127.0.0.1",
            "smtp_port": server.port,
            "smtp_security": "none",
            "smtp_username": SMTP_USER,
            "smtp_password": SMTP_PASSWORD,
            "imap_host": "127.0.0.1",
            "imap_port": dovecot.port,
            "imap_security": "none",
            "imap_username": USER,
            "imap_password": PASSWORD,
        }
        monkeypatch.setattr(type(self), "credential", values)
