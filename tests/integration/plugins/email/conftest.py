"""Servers for tests of the connector `email`."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.plugins.email.certificates import Certificate, make_certificate
from tests.integration.plugins.email.dovecot_server import Dovecot
from tests.integration.plugins.email.smtp_server import SmtpServer

from hookline.discovery.plugin_loader import load_plugins
from hookline.testing.connector_harness import Harness

StartSmtp = Callable[..., Awaitable[SmtpServer]]


@pytest.fixture
async def actions() -> AsyncIterator[Harness]:
    """Runs the connector's action and its trigger."""
    made = Harness(load_plugins())
    yield made
    await made.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """That of the servers."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server_tls(certificate: Certificate) -> ssl.SSLContext:
    """What a server encrypts with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.file, certificate.key)
    return context


@pytest.fixture
async def smtp() -> AsyncIterator[StartSmtp]:
    """Starts SMTP servers."""
    running: list[SmtpServer] = []

    async def start(**options: Any) -> SmtpServer:
        running.append(await SmtpServer.start(**options))
        return running[-1]

    yield start
    for server in running:
        await server.stop()


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """An IMAP server without encryption, for as long as tests run: each uses folders of its own."""
    made = Dovecot()
    yield made
    made.stop()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Dovecot]]:
    """Starts IMAP servers of a test's own."""
    running: list[Dovecot] = []

    def start(*arguments: Any, **options: Any) -> Dovecot:
        running.append(Dovecot(*arguments, **options))
        return running[-1]

    yield start
    for server in running:
        server.stop()
