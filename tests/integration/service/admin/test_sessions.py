"""Signing in to the console: sessions, their cookies and sign-in links, and what a hostile page can do with them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import AsyncMock

import pytest
import structlog
from quart.typing import TestClientProtocol as Client
from tests.integration.engine.two_engines import two_engines
from tests.integration.engine_harness import Harness, act

from hookline.access.tokens import ServerToken, digest
from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import StoreError
from hookline.model.execution import Outcome, State
from hookline.service.admin import blueprints
from hookline.service.admin.executions.events import TOGETHER
from hookline.service.admin.hosts import Hosts
from hookline.service.app import create_pages

ADMIN: Final = "a-token-of-the-tests"
BEARER: Final = {"Authorization": f"Bearer {ADMIN}"}
URL: Final = "http://localhost:8080"
HOURS_12: Final = timedelta(hours=12).total_seconds()


def client_of(engine: Engine, url: str = URL, token: ServerToken | str = ADMIN) -> Client:
    """A client that sends only the cookies that it is told to."""
    return create_pages(blueprints(engine, token, hosts=Hosts((), url))).test_client(use_cookies=False)


@pytest.fixture
async def engine(harness: Harness) -> AsyncIterator[Engine]:
    harness.flow("mine", [act("one")])
    harness.flow("other", [act("one")])
    async with harness.engine() as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> Client:
    return client_of(engine)


async def ask(client: Client, method: str, path: str, headers: Mapping[str, str], body: Any = None) -> tuple[int, Any]:
    given: Any = {} if body is None else {"json": body}
    response = await client.open(f"/api/v1/{path}", method=method, headers=headers, **given)
    content = await response.get_data(as_text=True)
    return response.status_code, json.loads(content) if content else None


async def token_of(client: Client, name: str, scope: str = "admin", **fields: Any) -> tuple[str, str]:
    """A new token and its id."""
    status, made = await ask(client, "POST", "tokens", BEARER, {"name": name, "scopes": [scope], **fields})
    assert status == 201, made
    return made["token"], made["id"]


async def sign_in(client: Client, **given: str) -> dict[str, str]:
    """Sign in with a token or a code; return the headers with which the console sends its requests."""
    response = await client.post("/api/v1/session", json=given, headers={"Origin": URL})
    assert response.status_code == 200, await response.get_data()
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    return {"Cookie": cookie, "Origin": URL}


async def link(client: Client, headers: Mapping[str, str] = BEARER, body: Any = None) -> str:
    status, made = await ask(client, "POST", "sign-in-links", headers, body)
    assert status == 201, made
    return str(made["url"])


async def status(client: Client, headers: Mapping[str, str], method: str = "GET", path: str = "me") -> int:
    return (await ask(client, method, path, headers))[0]


@pytest.mark.console_rule("K7")
async def test_a_session_is_accepted_in_place_of_its_token(client: Client, engine: Engine) -> None:
    secret, _ = await token_of(client, "ann", "operate", flows=["mine"])
    response = await client.post("/api/v1/session", json={"token": secret})
    shown = await response.get_json()
    expires_at = rfc3339(engine.clock.now() + timedelta(hours=12))
    assert shown == {
        "name": "ann",
        "scopes": ["read", "operate"],
        "flows": ["mine"],
        "expires": None,
        "expires_at": expires_at,
    }
    headers = await sign_in(client, token=secret)
    assert await ask(client, "GET", "me", headers) == (200, {key: shown[key] for key in shown if key != "expires_at"})
    assert await status(client, headers, "POST", "flows/mine/pause") == 200
    assert await status(client, headers, "POST", "flows/other/pause") == 404
    assert await status(client, headers, "GET", "tokens") == 403
    _, page = await ask(client, "GET", "audit?operation=flow.pause", BEARER)
    assert [entry["actor"] for entry in page["items"]] == ["token:ann"]


@pytest.mark.console_rule("K7")
@pytest.mark.parametrize(("url", "secure"), [(URL, False), ("https://hookline.example", True)])
async def test_the_cookie_is_for_the_api_of_this_server_alone(engine: Engine, url: str, secure: bool) -> None:
    client = client_of(engine, url)
    response = await client.post("/api/v1/session", json={"token": ADMIN})
    pair, *attributes = response.headers["Set-Cookie"].split("; ")
    assert pair.startswith(f"hookline-{await engine.store.instance_id()}=")
    wanted = {"HttpOnly", "SameSite=Strict", "Path=/api/v1", "Max-Age=43200"} | ({"Secure"} if secure else set())
    assert {one for one in attributes if not one.startswith("Expires=")} == wanted


@pytest.mark.console_rule("K7")
async def test_a_session_ends_after_12_hours_and_is_removed(client: Client, engine: Engine, harness: Harness) -> None:
    headers = await sign_in(client, token=ADMIN)
    code = (await link(client)).partition("#code=")[2]
    harness.clock.advance(HOURS_12 - 1)
    assert await status(client, headers) == 200
    harness.clock.advance(1)
    assert await status(client, headers) == 401
    await engine._sweeper.sweep()
    secret = headers["Cookie"].partition("=")[2]
    for find, text in ((engine.store.session, secret), (engine.store.sign_in_code, code)):
        assert await find(digest(text)) is None


@pytest.mark.console_rule("K7")
async def test_a_session_ends_with_its_token(client: Client, engine: Engine, harness: Harness) -> None:
    soon, _ = await token_of(client, "soon", expires="1h")
    kept, kept_id = await token_of(client, "kept")
    expiring, revoked = await sign_in(client, token=soon), await sign_in(client, token=kept)
    response = await client.post("/api/v1/session", json={"token": soon})
    assert (await response.get_json())["expires_at"] == rfc3339(engine.clock.now() + timedelta(hours=1))
    assert [await status(client, headers) for headers in (expiring, revoked)] == [200, 200]
    assert await status(client, BEARER, "DELETE", f"tokens/{kept_id}") == 204
    harness.clock.advance(3600)
    assert [await status(client, headers) for headers in (expiring, revoked)] == [401, 401]
    # The server's own token may be replaced by another one, too.
    own = await sign_in(client, token=ADMIN)
    assert await status(client_of(engine, token="a-new-token-of-the-tests"), own) == 401


@pytest.mark.console_rule("K7")
async def test_signing_out_ends_the_session_on_the_server(client: Client, engine: Engine) -> None:
    headers, other = await sign_in(client, token=ADMIN), await sign_in(client, token=ADMIN)
    response = await client.delete("/api/v1/session", headers=headers)
    assert response.status_code == 204
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert [await status(client, one) for one in (headers, other)] == [401, 200]
    assert await status(client, BEARER, "DELETE", "session") == 204
    _, page = await ask(client, "GET", "audit", BEARER)
    told = [(one["operation"], one["actor"], one["detail"]) for one in page["items"] if "session" in one["operation"]]
    began = ("session.create", "token:admin", "with its token")
    assert told == [("session.end", "token:admin", None), began, began]


@pytest.mark.console_rule("K7")
async def test_a_sign_in_link_signs_in_once_with_the_access_of_its_creator(client: Client) -> None:
    secret, _ = await token_of(client, "ann", "operate", flows=["mine"])
    url = await link(client, {"Authorization": f"Bearer {secret}"})
    place, _, code = url.partition("#code=")
    assert place == f"{URL}/"
    # Nothing but the POST uses it up: no GET has a place for it.
    for path in ("session", f"session?code={code}", f"sign-in-links?code={code}"):
        assert await status(client, {}, "GET", path) in (401, 405)
    headers = await sign_in(client, code=code)
    _, me = await ask(client, "GET", "me", headers)
    assert (me["name"], me["scopes"], me["flows"]) == ("ann", ["read", "operate"], ["mine"])
    again, problem = await ask(client, "POST", "session", {}, {"code": code})
    assert (again, problem["detail"].partition(".")[0]) == (401, "The sign-in code is unknown")
    _, page = await ask(client, "GET", "audit", BEARER)
    entries = {one["operation"]: one for one in page["items"]}
    assert entries["session.create"]["detail"] == f"with the sign-in link {entries['sign_in_link.create']['subject']}"


@pytest.mark.console_rule("K7")
async def test_a_link_shows_an_execution_that_its_creator_sees(
    client: Client, harness: Harness, engine: Engine
) -> None:
    mine, other = [await harness.send(engine, flow_id, 1) for flow_id in ("mine", "other")]
    secret, _ = await token_of(client, "ann", "read", flows=["mine"])
    headers = {"Authorization": f"Bearer {secret}"}
    url = await link(client, headers, {"execution_id": mine})
    assert url.startswith(f"{URL}/executions/{mine}#code=")
    for unseen in (other, engine.ids.new()):
        assert (await ask(client, "POST", "sign-in-links", headers, {"execution_id": unseen}))[0] == 404


@pytest.mark.console_rule("K7")
async def test_a_link_is_valid_for_10_minutes_and_as_long_as_its_token(client: Client, harness: Harness) -> None:
    secret, token_id = await token_of(client, "ann")
    headers = {"Authorization": f"Bearer {secret}"}
    first, second = [(await link(client, headers)).partition("#code=")[2] for _ in range(2)]
    harness.clock.advance(599)
    await sign_in(client, code=first)
    harness.clock.advance(1)
    answered, problem = await ask(client, "POST", "session", {}, {"code": second})
    assert (answered, problem["detail"].partition(".")[0]) == (401, "The sign-in code is expired")
    fresh = (await link(client, headers)).partition("#code=")[2]
    assert await status(client, BEARER, "DELETE", f"tokens/{token_id}") == 204
    answered, problem = await ask(client, "POST", "session", {}, {"code": fresh})
    assert (answered, problem["detail"].partition(".")[0]) == (401, "The sign-in code is revoked")


@pytest.mark.console_rule("K7")
async def test_links_of_a_session_do_not_prolong_it(client: Client, engine: Engine, harness: Harness) -> None:
    headers = await sign_in(client, token=ADMIN)
    harness.clock.advance(HOURS_12 - 60)
    code = (await link(client, headers)).partition("#code=")[2]
    further = await sign_in(client, code=code)
    harness.clock.advance(59)
    assert await status(client, further) == 200
    harness.clock.advance(1)
    assert await status(client, further) == 401


@pytest.mark.console_rule("K7")
async def test_of_many_who_use_a_code_at_once_one_signs_in(client: Client) -> None:
    code = (await link(client)).partition("#code=")[2]
    answers = await asyncio.gather(*(ask(client, "POST", "session", {}, {"code": code}) for _ in range(8)))
    assert sorted(answered for answered, _ in answers) == [200] + [401] * 7


@pytest.mark.console_rule("K7")
async def test_a_sign_in_that_cannot_be_meant_is_rejected(client: Client) -> None:
    for body in ({}, {"token": ADMIN, "code": "x"}, {"password": ADMIN}, [ADMIN], {"token": 1}, {"token": None}):
        answered, problem = await ask(client, "POST", "session", {}, body)
        assert answered == 400, body
        assert ADMIN not in json.dumps(problem)


@pytest.mark.console_rule("K7")
async def test_failed_sign_ins_count_as_invalid_tokens_do(client: Client, engine: Engine) -> None:
    cookie = {"Cookie": f"hookline-{engine.instance_id}=guessed"}
    bodies = [{"token": "guessed"}, {"code": "guessed"}] * 3
    answers = [(await ask(client, "POST", "session", {}, body))[0] for body in bodies]
    answers += [await status(client, cookie) for _ in range(5)]
    assert answers == [401] * 10 + [429]
    # Those who fail can't keep out those who share the address.
    await sign_in(client, token=ADMIN)
    await engine.sign_ins.flush()
    _, page = await ask(client, "GET", "tokens/rejected", BEARER)
    assert [one["reason"] for one in page["items"]] == ["unknown"] * 10


#: The origins of other pages: none, that of a sandbox, another site, another port of this host (the same site for
#: `SameSite`), and names that only look like this one.
ORIGINS: Final = [
    None,
    "null",
    "https://evil.example",
    "http://localhost:8081",
    "http://localhost",
    "https://localhost:8080",
    "http://localhost:8080.evil.example",
    "http://127.0.0.1:8080",
    f"{URL} http://evil.example",
]


@pytest.mark.console_rule("K7")
async def test_a_page_of_another_site_changes_nothing_with_the_cookie(client: Client) -> None:
    headers = await sign_in(client, token=ADMIN)
    assert await status(client, headers, "POST", "flows/mine/pause") == 200
    for origin in ORIGINS:
        foreign = {"Cookie": headers["Cookie"]} | ({} if origin is None else {"Origin": origin})
        for method, path in (
            ("POST", "flows/mine/stop"),
            ("PUT", "flows/mine/state/value?key=k"),
            ("DELETE", "flows/mine"),
            ("POST", "tokens"),
            ("POST", "sign-in-links"),
            ("DELETE", "session"),
        ):
            answered, problem = await ask(client, method, path, foreign)
            assert (answered, problem["code"]) == (403, "request.origin"), (origin, path)
        # Nor does it sign the browser in, to make somebody work in an account that isn't theirs.
        if origin is not None:
            assert (await ask(client, "POST", "session", {"Origin": origin}, {"token": ADMIN}))[0] == 403
    _, flow = await ask(client, "GET", "flows/mine", headers)
    assert flow["state"] == "paused"


@pytest.mark.console_rule("K7")
async def test_a_browser_reads_nothing_for_a_page_of_another_site(client: Client) -> None:
    """Without `Access-Control-Allow-Origin`, and with 405 to its preflight."""
    headers = await sign_in(client, token=ADMIN)
    foreign = {"Cookie": headers["Cookie"], "Origin": "http://localhost:8081"}
    response = await client.get("/api/v1/me", headers=foreign)
    assert not [name for name, _ in response.headers.items() if name.lower().startswith("access-control-")]
    preflight = foreign | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    response = await client.options("/api/v1/session", headers=preflight)
    assert not [name for name, _ in response.headers.items() if name.lower().startswith("access-control-")]


@pytest.mark.console_rule("K7")
async def test_a_name_that_was_rebound_to_this_address_reads_nothing(client: Client) -> None:
    headers = await sign_in(client, token=ADMIN)
    for host in ("evil.example:8080", "localhost.evil.example"):
        for path in ("me", "events"):
            response = await client.get(f"/api/v1/{path}", headers=headers | {"Host": host})
            assert response.status_code == 421, path
        response = await client.post("/api/v1/session", json={"token": ADMIN}, headers={"Host": host})
        assert response.status_code == 421


@pytest.mark.console_rule("K7")
async def test_a_session_cannot_be_planted(client: Client, engine: Engine) -> None:
    """A cookie that a client brings is never made valid, and one of two isn't chosen."""
    name = f"hookline-{engine.instance_id}"
    planted = {"Cookie": f"{name}=planted", "Origin": URL}
    response = await client.post("/api/v1/session", json={"token": ADMIN}, headers=planted)
    assert response.status_code == 200
    assert "planted" not in response.headers["Set-Cookie"]
    assert await status(client, planted) == 401
    mine, theirs = [(await sign_in(client, token=ADMIN))["Cookie"] for _ in range(2)]
    assert await status(client, {"Cookie": f"{theirs}; {mine}"}) == 401


@pytest.mark.console_rule("K7")
async def test_the_cookie_of_another_server_on_this_host_is_not_taken(client: Client, engine: Engine) -> None:
    headers = await sign_in(client, token=ADMIN)
    secret = headers["Cookie"].partition("=")[2]
    other = {"Cookie": f"hookline-0123456789ab={secret}"}
    assert await status(client, other) == 401
    assert await status(client, {"Cookie": f"{other['Cookie']}; {headers['Cookie']}"}) == 200
    await engine.sign_ins.flush()
    _, page = await ask(client, "GET", "tokens/rejected", BEARER)
    assert page["items"] == [], "it isn't for this server, so it is no failed sign-in"


@pytest.mark.console_rule("K7")
async def test_a_token_comes_before_a_cookie(client: Client) -> None:
    secret, _ = await token_of(client, "ann", "read")
    cookie = await sign_in(client, token=ADMIN)
    both = {"Cookie": cookie["Cookie"], "Authorization": f"Bearer {secret}"}
    assert (await ask(client, "GET", "me", both))[1]["name"] == "ann"
    assert await status(client, both, "POST", "flows/mine/pause") == 403
    assert await status(client, both | {"Authorization": "Bearer wrong"}) == 401
    # A program that sends a token needs no origin.
    assert await status(client, both | BEARER, "POST", "flows/mine/pause") == 200
    # The password of a proxy in front is no token.
    assert await status(client, cookie | {"Authorization": "Basic YTpi"}) == 200


@pytest.mark.console_rule("K7")
async def test_no_secret_is_taken_from_a_url_or_written_to_the_log(client: Client, engine: Engine) -> None:
    for query in (f"token={ADMIN}", f"access_token={ADMIN}", f"code={ADMIN}"):
        assert await status(client, {}, "GET", f"me?{query}") == 401
        assert await status(client, {}, "POST", f"session?{query}") in (400, 401)
    cookie = f"hookline-{engine.instance_id}=guessed-cookie"
    with structlog.testing.capture_logs() as logs:
        code = (await link(client)).partition("#code=")[2]
        headers = await sign_in(client, code=code)
        await ask(client, "POST", "session", {}, {"token": "guessed-token"})
        await ask(client, "POST", "session", {}, {"code": "guessed-code"})
        await ask(client, "GET", f"me?token={ADMIN}", {"Cookie": cookie})
    assert logs
    for secret in (ADMIN, code, headers["Cookie"].partition("=")[2], "guessed"):
        assert secret not in str(logs)
    stored = str([await engine.store.audit(limit=200), await engine.store.rejected_sign_ins(limit=200)])
    assert code not in stored


@pytest.mark.console_rule("K8")
@pytest.mark.parametrize(("end", "busy"), [("revoked", True), ("expired", False), ("signed out", True)])
async def test_a_stream_ends_within_5_seconds_after_its_session(
    client: Client, engine: Engine, harness: Harness, end: str, busy: bool
) -> None:
    """Also while it is busy; and it has only events of flows that the token may see."""
    secret, token_id = await token_of(client, "ann", "read", flows=["mine"], expires="20s")
    headers = await sign_in(client, token=secret)
    async with client.request("/api/v1/events", headers={"Cookie": headers["Cookie"]}) as connection:
        assert await connection.receive() == b": hookline\n\n"
        answering: asyncio.Future[None] = connection._task  # type: ignore[attr-defined]  # that of the application

        async def seconds(number: int) -> None:
            for _ in range(number):
                for flow_id in ("mine", "other") if busy else ():
                    engine.events.ended(flow_id, "x", State.SUCCEEDED, Outcome.COMPLETED)
                harness.clock.advance(1)
                await asyncio.wait((answering,), timeout=0.05)

        await seconds(10 if end != "expired" else 19)
        assert not answering.done()
        if end == "revoked":
            assert await status(client, BEARER, "DELETE", f"tokens/{token_id}") == 204
        elif end == "signed out":
            assert await status(client, headers, "DELETE", "session") == 204
        await seconds(5)
        assert answering.done()
    told = await (await connection.as_response()).get_data(as_text=True)
    assert ('"mine"' in told) == busy
    assert '"other"' not in told


@pytest.mark.console_rule("K8")
async def test_a_client_that_reads_slowly_gets_no_events_after_its_session(
    client: Client, engine: Engine, harness: Harness
) -> None:
    headers = await sign_in(client, token=ADMIN)
    async with client.request("/api/v1/events", headers={"Cookie": headers["Cookie"]}) as connection:
        # It holds as much as a client has not read yet, so sending waits for the client.
        connection._receive_queue = asyncio.Queue(1)  # type: ignore[attr-defined]  # that of the client
        assert await connection.receive() == b": hookline\n\n"
        for number in range(5):
            engine.events.ended("mine", str(number), State.SUCCEEDED, Outcome.COMPLETED)
            await asyncio.sleep(1.5 * TOGETHER)
        assert b'"0"' in await connection.receive()
        assert await status(client, headers, "DELETE", "session") == 204
        harness.clock.advance(5)
        told = b""
        while part := await connection.receive():
            told += part
    # One or two events were on their way already.
    assert [number for number in range(5) if b'"%d"' % number in told] in ([1], [1, 2])


@pytest.mark.console_rule("K8")
async def test_a_stream_ends_without_a_defect_when_its_session_cannot_be_looked_up(
    client: Client, engine: Engine, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = await sign_in(client, token=ADMIN)
    async with client.request("/api/v1/events", headers={"Cookie": headers["Cookie"]}) as connection:
        assert await connection.receive() == b": hookline\n\n"
        monkeypatch.setattr(engine.sessions, "recognize", AsyncMock(side_effect=StoreError("the store is away")))
        answering: asyncio.Future[None] = connection._task  # type: ignore[attr-defined]  # that of the application
        for _ in range(5):
            harness.clock.advance(1)
            await asyncio.wait((answering,), timeout=0.05)
        assert answering.done()
        assert answering.exception() is None


@pytest.mark.console_rule("K8")
async def test_a_stream_that_continues_after_a_restart_says_that_events_are_missing(harness: Harness) -> None:
    harness.flow("mine", [act("one")])
    last = ""
    for _ in range(2):
        async with harness.engine() as engine:
            client = client_of(engine)
            headers = await sign_in(client, token=ADMIN)
            again = {"Last-Event-ID": last} if last else {}
            async with client.request("/api/v1/events", headers={"Cookie": headers["Cookie"], **again}) as connection:
                told = await connection.receive()
                engine.events.ended("mine", "x", State.SUCCEEDED, Outcome.COMPLETED)
                while b"execution.ended" not in told:
                    told += await connection.receive()
                await connection.disconnect()
        assert (b'event: gap\ndata: {"count":1}' in told) == bool(last)
        last = re.findall(rb"id: (\S+)", told)[-1].decode()
        harness.clock.advance(1)


@pytest.mark.console_rule("K7")
@pytest.mark.postgres
async def test_a_session_and_a_sign_in_code_are_those_of_all_nodes(tables: str, tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    async with two_engines(tmp_path, tables) as engines:
        one, other = (client_of(engine) for engine in engines)
        headers = await sign_in(one, token=ADMIN)
        assert await status(other, headers) == 200
        for _ in range(5):
            body = {"code": (await link(one)).partition("#code=")[2]}
            answers = await asyncio.gather(*(ask(to, "POST", "session", {}, body) for to in (one, other) * 2))
            assert sorted(answered for answered, _ in answers) == [200, 401, 401, 401]
            for engine in engines:
                engine.sign_ins._failures.clear()
        assert await status(other, headers, "DELETE", "session") == 204
        assert [await status(client, headers) for client in (one, other)] == [401, 401]
