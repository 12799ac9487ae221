"""No connector reaches an inside address that the server's settings don't allow, whatever its protocol is."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.integration.http_servers import error_of

from hookline.api import Connector, VerifyContext
from hookline.discovery.plugin_loader import load_plugins
from hookline.outbound.egress import Egress
from hookline.plugin_host.engine_facades import BoundResources
from hookline.plugin_host.resources import EngineResources
from hookline.sdk.triggers import ConsumeTrigger
from hookline.secrets.credential_reach import HostRule
from hookline.testing.connector_harness import Harness

REGISTRY = load_plugins()
#: The credential of each connector that has its own client, for a server at a port of this machine.
CREDENTIALS = {
    "amqp": {"host": "127.0.0.1", "port": "PORT"},
    "email": {"smtp_host": "127.0.0.1", "smtp_port": "PORT", "imap_host": "127.0.0.1", "imap_port": "PORT"},
    "mqtt": {"host": "127.0.0.1", "port": "PORT"},
    "s3": {
        "bucket": "bucket",
        "endpoint": "http://127.0.0.1:PORT",
        "access_key_id": "key",
        "secret_access_key": "secret",
    },
}
LOGINS = {"email": {"imap_username": "ada", "imap_password": "secret", "sender": "ada@shop.example"}}
SETTINGS: dict[str, dict[str, Any]] = {
    "amqp.messages": {"queue": "orders"},
    "amqp.publish": {"routing_key": "orders", "json": 1},
    "email.messages": {},
    "email.send": {"to": ["bob@shop.example"], "subject": "Hi", "text": "Hi"},
    "mqtt.messages": {"topics": ["orders"]},
    "mqtt.publish": {"topic": "orders", "json": 1},
    "s3.copy": {"key": "a", "to": "b"},
    "s3.delete": {"key": "a"},
    "s3.exists": {"key": "a"},
    "s3.link": {"key": "a"},
    "s3.list": {},
    "s3.move": {"key": "a", "to": "b"},
    "s3.new": {},
    "s3.read": {"key": "a"},
    "s3.write": {"key": "a", "content": "a"},
}


def connector_of(component: str) -> Connector:
    return REGISTRY.connectors[component.partition(".")[0]]


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    made = Harness(REGISTRY)
    yield made
    await made.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


def credential_for(connector: str, server: socket.socket) -> dict[str, Any]:
    return {**with_port(CREDENTIALS[connector], server), **LOGINS.get(connector, {})}


def with_port(values: dict[str, Any], server: socket.socket) -> dict[str, Any]:
    port = str(server.getsockname()[1])
    made: dict[str, Any] = json.loads(json.dumps(values).replace('"PORT"', port).replace("PORT", port))
    return made


def test_each_connector_with_its_own_client_is_tried() -> None:
    """Others send by `ctx.http`, which has the same guard. `sql` has its own tests."""
    by_http = {"github", "http", "paypal", "slack", "stripe"}
    with_credential = {name for name, one in REGISTRY.connectors.items() if one.credential is not None}
    assert with_credential - by_http - {"sql"} == CREDENTIALS.keys()
    assert {
        name for name in {**REGISTRY.actions, **REGISTRY.triggers} if name.partition(".")[0] in CREDENTIALS
    } == SETTINGS.keys()


async def run(harness: Harness, component: str, credential: dict[str, Any]) -> object:
    settings = SETTINGS[component]
    if component in REGISTRY.actions:
        return await harness.run_action(component, credential=credential, with_=settings)
    if isinstance(REGISTRY.triggers[component], ConsumeTrigger):
        return await harness.run_consumer(component, 0, credential=credential, **settings)
    return await harness.run_poll(component, credential=credential, **settings)


@pytest.mark.rule(35)
@pytest.mark.parametrize("component", sorted(SETTINGS))
async def test_a_component_reaches_no_inside_address(
    harness: Harness, listening: socket.socket, component: str
) -> None:
    harness.resources = EngineResources()
    error = await error_of(run(harness, component, credential_for(connector_of(component).name, listening)))
    said_to_allow_it(error, listening)


@pytest.mark.rule(47)
@pytest.mark.parametrize("component", sorted(SETTINGS))
async def test_a_component_reaches_no_host_to_which_its_credential_may_not_be_sent(
    harness: Harness, listening: socket.socket, component: str
) -> None:
    here: Any = BoundResources(EngineResources(Egress(["127.0.0.1"])), HostRule("erp", ("erp.example",)))
    harness.resources = here
    error = await error_of(run(harness, component, credential_for(connector_of(component).name, listening)))
    assert error.error_code == "engine.credential_host"
    with pytest.raises(BlockingIOError):
        listening.accept()
    harness.resources = EngineResources()


@pytest.mark.rule(35)
@pytest.mark.parametrize("connector", sorted(CREDENTIALS))
async def test_the_check_of_a_credential_reaches_no_inside_address(
    harness: Harness, listening: socket.socket, connector: str
) -> None:
    made = REGISTRY.connectors[connector]
    assert made.credential is not None
    assert made.verifier is not None
    credential = made.credential.model_validate(credential_for(connector, listening))
    error = await error_of(made.verifier(VerifyContext(credential, harness.http, harness.log, EngineResources())))
    said_to_allow_it(error, listening)


@pytest.mark.rule(35)
async def test_a_bucket_that_is_open_is_checked_again(
    harness: Harness, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.resources = EngineResources()
    found = ["93.184.215.14"]

    async def addresses(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
    credential = {**credential_for("s3", listening), "endpoint": "http://minio.example"}
    await harness.run_action("s3.link", credential=credential, with_={"key": "a"})
    found[0] = "127.0.0.1"
    error = await error_of(harness.run_action("s3.link", credential=credential, with_={"key": "a"}))
    assert (error.error_code, error.retryable) == ("engine.egress", False)


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1\\.example", "http://%31.example", "http://a:99999", "http://a@b", "http://１27.0.0.1"],
)
def test_an_endpoint_is_written_so_that_every_library_reads_the_same_host(endpoint: str) -> None:
    model = REGISTRY.connectors["s3"].credential
    assert model is not None
    with pytest.raises(ValueError, match=r"endpoint|[Pp]ort"):
        model.model_validate({"endpoint": endpoint})


TLS = [
    ("amqp.publish", {"host": "localhost", "port": "PORT", "tls": True}),
    ("amqp.publish", {"url": "amqps://ada:secret@localhost:PORT/"}),
    ("mqtt.publish", {"host": "localhost", "port": "PORT", "tls": True}),
]


@pytest.mark.rule(35)
@pytest.mark.parametrize(("component", "credential"), TLS)
async def test_the_guard_keeps_the_name_for_which_the_server_needs_a_certificate(
    harness: Harness, component: str, credential: dict[str, Any]
) -> None:
    """The first bytes of TLS have the name in plain text."""
    received: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(65_536))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        given = with_port(credential, server.sockets[0])
        await error_of(harness.run_action(component, credential=given, with_=SETTINGS[component]))
    assert b"localhost" in received[0]


def said_to_allow_it(error: Any, server: socket.socket) -> None:
    assert (error.error_code, error.retryable) == ("engine.egress", False)
    assert f"add 127.0.0.1:{server.getsockname()[1]} " in error.message
    assert "HOOKLINE_EGRESS_ALLOW" in error.message
    with pytest.raises(BlockingIOError):
        server.accept()
