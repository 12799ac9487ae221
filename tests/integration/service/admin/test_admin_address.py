"""The addresses of a server, and the hosts at which its API answers."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.admin_api import AUTH, TOKEN
from tests.integration.cli.test_serve import folder, hookline, serving, stopped
from tests.integration.served_hook import SERVERS
from tests.integration.service.server.test_http2 import Sender

from hookline.engine import Engine
from hookline.kernel.errors import ConfigError, WrongHost
from hookline.server_settings import load
from hookline.service.admin import blueprints, openapi
from hookline.service.admin.hosts import Hosts
from hookline.service.app import create_pages
from hookline.service.server.hook_application import AsgiScope, Receive, Send
from hookline.service.server.listening import listen
from hookline.service.server.serving import Listener, Server, serve
from hookline.service.server.stopping import Stopping

__all__ = ["folder"]


@pytest.mark.rule(53)
@pytest.mark.parametrize(
    "host",
    [
        "hookline.internal",
        "HOOKLINE.internal:8443",
        "localhost",
        "localhost:9999",
        "127.0.0.1:8080",
        "[::1]:8080",
        "10.0.0.5",
        "10.0.0.5:8080",
    ],
)
def test_the_host_of_admin_url_the_bound_address_and_localhost_are_answered(host: str) -> None:
    hosts = Hosts(["https://Hookline.Internal/console"])
    hosts.check(host, "10.0.0.5")
    hosts.check(host, "::ffff:10.0.0.5")


@pytest.mark.rule(53)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "hookline.internal.evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.6",
        "localhost@evil.example",
        "[::1",
        "",
        "user@evil.example",
    ],
)
def test_every_other_host_is_rejected(host: str) -> None:
    with pytest.raises(WrongHost):
        Hosts(["https://hookline.internal"]).check(host, "10.0.0.5")
    with pytest.raises(WrongHost):
        Hosts().check(host, None)


def client_of(engine: Engine, **options: Any) -> Client:
    return create_pages(blueprints(engine, TOKEN, **options)).test_client()


@pytest.mark.rule(53)
async def test_the_api_answers_a_foreign_host_with_421_before_it_looks_at_the_token(engine: Engine) -> None:
    client = client_of(engine, hosts=Hosts(["https://hookline.internal"]))
    for headers in ({}, AUTH, {"Authorization": "Bearer wrong"}):
        response = await client.get("/api/v1/me", headers={"Host": "evil.example", **headers})
        assert response.status_code == 421
        assert (await response.get_json(force=True))["code"] == "request.host"
    assert (await client.get("/api/v1/me", headers={"Host": "hookline.internal", **AUTH})).status_code == 200
    for path in ("/healthz", "/readyz"):
        assert (await client.get(path, headers={"Host": "10.1.2.3"})).status_code == 200


@pytest.mark.rule(53)
async def test_metrics_need_a_token_with_the_scope_read_unless_they_are_public(engine: Engine) -> None:
    client = client_of(engine)
    assert (await client.get("/metrics")).status_code == 401
    assert (await client.get("/metrics", headers=AUTH)).status_code == 200
    assert (await client.get("/metrics", headers={"Host": "prometheus-names-it", **AUTH})).status_code == 200
    created = await client.post("/api/v1/tokens", headers=AUTH, json={"name": "scraper", "scopes": ["read"]})
    token = (await created.get_json())["token"]
    assert (await client.get("/metrics", headers={"Authorization": f"Bearer {token}"})).status_code == 200
    limited = {"name": "limited", "scopes": ["read"], "flows": ["greet"]}
    token = (await (await client.post("/api/v1/tokens", headers=AUTH, json=limited)).get_json())["token"]
    assert (await client.get("/metrics", headers={"Authorization": f"Bearer {token}"})).status_code == 403
    public = client_of(engine, metrics_public=True)
    assert (await public.get("/metrics")).status_code == 200
    assert (await public.get("/api/v1/openapi.json")).status_code == 401
    described = (await (await public.get("/api/v1/openapi.json", headers=AUTH)).get_json())["paths"]
    assert described["/metrics"]["get"]["security"] == []


def ask(url: str, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """The status and the body of an answer; any `Host` may be sent."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    lines = [f"{method} {path} HTTP/1.1", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in ({"Host": host} | dict(headers or {})).items()]
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.rule(53)
@pytest.mark.parametrize("server", ["hypercorn", pytest.param("uvicorn", marks=pytest.mark.long)])
def test_with_admin_bind_the_public_address_answers_hooks_and_probes_only(folder: Path, server: str) -> None:
    (folder / "hookline.toml").write_text('admin_url = "https://hookline.internal"\n')
    with serving(folder, "--server", server, "--admin-bind", "127.0.0.1:0") as (process, said):
        token = Path(said["token_file"]).read_text().strip()
        auth = {"Authorization": f"Bearer {token}"}
        public = said["url"]
        announced = json.loads((folder / ".hookline" / "server.json").read_text())
        admin = announced["url"]
        assert (announced["hooks_url"], said["admin_url"]) == (public, "https://hookline.internal")
        assert admin != public
        for path in ("/", "/api/v1/me", "/api/v1/flows", "/metrics", "/problems/request.host", "/api/v1/openapi.json"):
            assert ask(public, path, headers=auth)[0] == 404, path
        for path in ("/healthz", "/readyz"):
            assert ask(public, path)[0] == ask(admin, path)[0] == 200
        assert ask(public, "/hook/greet", "POST", {"Content-Length": "0"})[0] == 202
        assert ask(public, "/resume/none")[0] == ask(public, "/oauth/none")[0] == 404
        assert json.loads(ask(public, "/resume/none")[1])["code"] == "request.token_unknown"
        for path in ("/hook/greet", "/resume/none", "/oauth/callback"):
            assert json.loads(ask(admin, path, headers=auth)[1])["code"] == "http.404"
        assert ask(admin, "/api/v1/me", headers=auth)[0] == 200
        assert ask(admin, "/api/v1/me", headers=auth | {"Host": "hookline.internal"})[0] == 200
        assert ask(admin, "/api/v1/me", headers=auth | {"Host": "evil.example"})[0] == 421
        listed = json.loads(hookline(folder, "executions", "list", "--json").stdout)["items"]
        assert [one["flow_id"] for one in listed] == ["greet"]
        sent = folder / "sent.json"
        sent.write_text("{}")
        assert json.loads(hookline(folder, "send", "greet", str(sent), "--json").stdout)["status"] == 202
        os.kill(process.pid, signal.SIGHUP)
        while "reloaded" not in (folder / "log").read_text():
            assert process.poll() is None
        assert ask(admin, "/api/v1/me", headers=auth)[0] == ask(public, "/healthz")[0] == 200
        assert stopped(process) == 0
    assert not (folder / ".hookline" / "server.json").exists()


@pytest.mark.rule(53)
@pytest.mark.console_rule("K7")
def test_a_public_url_with_a_path_is_not_that_of_the_console_but_the_api_answers_at_its_host(folder: Path) -> None:
    (folder / "hookline.toml").write_text('public_url = "https://tools.example/hookline"\n')
    with serving(folder) as (process, said):
        assert said["admin_url"] == said["url"]
        token = Path(said["token_file"]).read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Host": "tools.example"}
        assert ask(said["url"], "/api/v1/me", headers=headers)[0] == 200
        assert stopped(process) == 0


@pytest.mark.rule(53)
@pytest.mark.parametrize("value", ["8081", "localhost", "localhost:99999", "http://localhost:1", "[::1]", "a:b"])
def test_an_admin_bind_that_is_no_address_is_rejected(value: str) -> None:
    with pytest.raises(ConfigError):
        load({"admin_bind": value})


def test_an_admin_bind_is_read_as_host_and_port() -> None:
    assert load({"admin_bind": "[::1]:8081"}).admin_address == ("::1", 8081)
    assert load({"admin_bind": "localhost:0"}).admin_address == ("localhost", 0)
    assert load({"admin_bind": ""}).admin_address is None


@pytest.mark.rule(41, 53)
@pytest.mark.parametrize("server", SERVERS)
async def test_both_addresses_go_through_the_phases_of_the_stop_together(server: Server) -> None:
    async def app(scope: AsgiScope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    async def status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return int(answer.split()[1])

    shutdown = asyncio.Event()
    stopping = Stopping(shutdown, 0.5)
    sockets = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
    ports = [one.getsockname()[1] for one in sockets]
    further = [Listener(app, sockets[1], 10)]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            serve(app, shutdown=shutdown, sock=sockets[0], server=server, stopping=stopping, further=further)
        )
        assert [await status(*await connect(port)) for port in ports] == [200, 200]
        shutdown.set()
        assert [await status(*await connect(port)) for port in ports] == [200, 200]
        connections = [await connect(port) for port in ports]
        while not stopping.rejecting:  # noqa: ASYNC110 - a phase has no event
            await asyncio.sleep(0.01)
        assert [await status(*connection) for connection in connections] == [503, 503]
        await stopping.closing.wait()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await connect(port)


async def test_no_address_goes_on_alone_if_the_other_one_fails() -> None:
    async def failing(scope: AsgiScope, receive: Receive, send: Send) -> None:
        raise AssertionError(scope["type"])

    closed = listen("127.0.0.1", 0)
    closed.close()
    sock = listen("127.0.0.1", 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        await serve(failing, shutdown=asyncio.Event(), sock=sock, further=[Listener(failing, closed, 10)])
    assert sock.fileno() == -1


@pytest.mark.rule(53)
async def test_no_operation_of_the_api_answers_a_foreign_host(engine: Engine) -> None:
    client = client_of(engine)
    described = openapi.document(client.app)["paths"]  # type: ignore[attr-defined]  # the test client has it
    paths = [(method, path) for path, it in described.items() if path.startswith("/api/") for method in it]
    assert len(paths) > 60
    for method, path in [*paths, ("options", "/api/v1/me")]:
        response = await client.open(path, method=method.upper(), headers=AUTH | {"Host": "evil.example"})
        assert response.status_code == 421, (method, path)


@pytest.mark.rule(53)
@pytest.mark.parametrize("server", SERVERS)
def test_a_foreign_host_does_not_hide_behind_a_second_one(folder: Path, server: str) -> None:
    with serving(folder, "--server", server) as (process, said):
        token = Path(said["token_file"]).read_text().strip()
        address = said["url"].removeprefix("http://")
        own, foreign, both = [f"Host: {address}"], ["Host: evil.example"], f"http://evil.example{ME}"
        assert status_of(address, ME, own, token) == 200
        for target, hosts in (
            (ME, foreign),
            (ME, own + foreign),
            (ME, foreign + own),
            (ME, []),
            (both, foreign),
        ):
            assert status_of(address, target, hosts, token) in (400, 421), (target, hosts)
        assert stopped(process) == 0


ME = "/api/v1/me"


def status_of(address: str, target: str, hosts: list[str], token: str) -> int:
    host, port = address.rsplit(":", 1)
    lines = [f"GET {target} HTTP/1.1", *hosts, f"Authorization: Bearer {token}", "Connection: close", "", ""]
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return int(connection.makefile("rb").readline().split()[1])


@pytest.mark.rule(53)
async def test_with_http2_the_authority_is_the_host(folder: Path) -> None:
    """Also if there is a `host` besides, and whichever of them is foreign."""
    with serving(folder) as (process, said):
        token = Path(said["token_file"]).read_text().strip()
        address = said["url"].removeprefix("http://")
        host, port = address.rsplit(":", 1)

        async def statuses(*requests: list[tuple[str, str]]) -> list[int | None]:
            """Those on one connection; a request that the server resets, or drops with its connection, has none."""
            reader, writer = await asyncio.open_connection(host, int(port))
            sender = Sender(reader, writer)
            streams = [sender.ask([*request, ("authorization", f"Bearer {token}")], None) for request in requests]
            await sender.wait(*streams)
            writer.close()
            return [sender.statuses.get(stream) for stream in streams]

        good = [(":method", "GET"), (":scheme", "http"), (":authority", address), (":path", ME)]
        evil = [(":method", "GET"), (":scheme", "http"), (":authority", "evil.example"), (":path", ME)]
        assert await statuses(good, evil, good) == [200, 421, 200]
        for mixed in ([*good, ("host", "evil.example")], [*evil, ("host", address)]):
            assert set(await statuses(mixed)) <= {421, 400, None}
        assert stopped(process) == 0
