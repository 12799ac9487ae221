"""A real server that subscribes with a real provider, as GitHub's documentation describes one: killed and started."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import TOKEN as ADMIN
from tests.acceptance.server_process import ServerProcess, eventually, free_port
from tests.app_thread import AppThread
from tests.github_server import TOKEN, GitHubServer, Rejected
from tests.stripe_server import KEY, StripeServer

SIGKILL = -9
KEEP = [{"id": "kept", "use": "map", "with": {"body": "$.body.n"}}]

pytestmark = pytest.mark.timeout(120)


class Provider:
    """GitHub, in a thread."""

    def __init__(self, port: int = 0) -> None:
        self.github = GitHubServer()
        self.server = AppThread(self.github.app, port)

    def __enter__(self) -> "Provider":
        self.server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.__exit__(*error)

    @property
    def hooks(self) -> list[dict[str, Any]]:
        return self.github.all_hooks()

    def send(self, event: str = "push", payload: Any = None, secret: str | None = None) -> int:
        """Send an event to its one webhook; gives the status of the answer."""
        (hook,) = self.hooks
        return self.server.run(self.github.send(hook, event, payload or {"n": 1}, secret))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ForkedServer]:
    made = made_in(tmp_path)
    yield made
    if made.running:
        made.kill()


def made_in(folder: Path, kind: Callable[[Path], Any] = ForkedServer) -> Any:
    server = kind(folder)
    server.set("HOOKLINE_PUBLIC_URL", server.url)
    return server


def flow(server: ServerProcess, **given: Any) -> None:
    with_ = {"repository": "octo/app", "events": ["push"], **given}
    trigger = {"use": "github.events", "with": with_, "credential": "github-prod"}
    server.flow({"id": "pushes", "trigger": trigger, "steps": KEEP})


def set_credential(server: ServerProcess, url: str, token: str = TOKEN) -> None:
    body = b'{"type": "github-api", "values": {"token": "%s", "base_url": "%s"}}' % (token.encode(), url.encode())
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    status, answer, _ = server.request("PUT", "/api/v1/credentials/github-prod", body, headers)
    assert status in (200, 201, 204), answer


def source(server: ServerProcess) -> dict[str, Any]:
    """How the flow's subscription is doing."""
    status, shown = server.get("/api/v1/flows/pushes")
    return (shown.get("source") or {}) if status == 200 else {}


def subscribed(server: ServerProcess, provider: Provider) -> None:
    """Return once it is, and knows it."""
    eventually(
        "it is subscribed",
        lambda: len(provider.hooks) == 1 and source(server).get("last_at") is not None and not source(server)["error"],
    )


def bodies(server: ServerProcess) -> list[Any]:
    return sorted(
        server.ended(execution["id"])["steps"][0]["output"]["body"] for execution in server.executions(flow_id="pushes")
    )


def test_a_flow_lives_with_its_webhook(server: ForkedServer, provider: Provider) -> None:
    server.start()
    set_credential(server, provider.server.url)
    flow(server)
    subscribed(server, provider)
    assert provider.github.pinged == 200, "its ping is answered while it makes the webhook"
    (hook,) = provider.hooks
    assert hook["config"]["url"] == f"{server.url}/hook/pushes"
    assert provider.send() == 202
    assert provider.send(secret="forged" * 8) == 401
    assert bodies(server) == [1], "the ping starts nothing"

    # Changed settings change it where it is, with another secret; the one before still holds for what is on its way.
    old = hook["config"]["secret"]
    flow(server, events=["push", "issues"])
    eventually("the events are changed", lambda: hook["events"] == ["issues", "push"])
    assert hook["config"]["secret"] != old
    assert (provider.send(payload={"n": 2}), provider.send(payload={"n": 3}, secret=old)) == (202, 202)

    # In another place it is another one, and the old one goes.
    flow(server, repository="octo/other")
    eventually("it has moved", lambda: provider.github.hooks["repos/octo/app"] == {})
    (moved,) = provider.github.hooks["repos/octo/other"].values()
    assert provider.send(payload={"n": 4}) == 202
    assert moved["config"]["url"] == hook["config"]["url"]

    # A restart finds all as it was, and asks nothing.
    asked = len(provider.github.requests)
    assert server.stop() == 0
    server.start()
    assert provider.send(payload={"n": 5}) == 202
    assert len(provider.github.requests) == asked
    assert bodies(server) == [1, 2, 3, 4, 5]
    assert moved["config"]["secret"] not in server.log()
    assert TOKEN not in server.log()

    (server.folder / "flows" / "pushes.json").unlink()
    eventually("it is unsubscribed", lambda: provider.hooks == [])
    assert server.stop() == 0


def test_a_provider_that_is_down_or_rejects_is_shown_and_tried_again(server: ForkedServer) -> None:
    """Nothing but the flow's own start is held up."""
    port = free_port()
    flow(server)
    server.flow(
        {"id": "other", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": KEEP},
    )
    server.start()
    eventually("it says what it lacks", lambda: "no credential 'github-prod'" in (source(server).get("error") or ""))
    set_credential(server, f"http://127.0.0.1:{port}")
    eventually("it says that nobody is there", lambda: "http.connect" in (source(server).get("error") or ""))
    assert source(server)["next_at"] is not None
    assert server.post("other", {"n": 1})[0] == 202
    assert server.post("pushes", {"n": 1})[0] == 401, "what it has begun to ask for may be signed by now"
    with Provider(port) as provider:
        # Setting the credential again says that it may be right now.
        set_credential(server, provider.server.url, "ghp_another_token")
        eventually("it says what is wrong", lambda: "Bad credentials" in (source(server).get("error") or ""))
        provider.github.rejects = [Rejected(422, "Validation Failed", "The events are not valid")]
        set_credential(server, provider.server.url)
        eventually("it says what GitHub says", lambda: "not valid" in (source(server).get("error") or ""))
        set_credential(server, provider.server.url)
        subscribed(server, provider)
        assert provider.send() == 202
        assert server.stop() == 0
    assert "ghp_another_token" not in server.log()


@pytest.mark.long
def test_a_kill_at_any_commit_leaves_one_subscription_that_works(server: ForkedServer, provider: Provider) -> None:
    server.start()
    set_credential(server, provider.server.url)
    points = [f"subscription.{side}_commit:{n}" for n in (1, 2) for side in ("before", "after")]
    for n, point in enumerate(points):
        # Each is another place, so that one is begun, one made, and one removed.
        server.set_fault(point)
        flow(server, repository=("octo/app", "octo/other")[n % 2])
        assert server.died() == SIGKILL, server.log()[-4000:]
        server.start()
        place = ("repos/octo/app", "repos/octo/other")[n % 2]
        eventually("it is there, and nowhere else", lambda place=place: len(provider.github.hooks[place]) == 1)  # type: ignore[misc]
        subscribed(server, provider)
        assert provider.send(payload={"n": n}) == 202
    assert bodies(server) == [0, 1, 2, 3]
    for point in ("subscription.before_commit:2", "subscription.after_commit:2"):
        server.set_fault(point)
        (server.folder / "flows" / "pushes.json").unlink()
        assert server.died() == SIGKILL, server.log()[-4000:]
        server.start()
        eventually("it is removed", lambda: provider.hooks == [])
        flow(server)
        subscribed(server, provider)
    assert server.stop() == 0


@pytest.mark.long
def test_a_kill_while_the_provider_answers_is_made_good_even_where_the_flow_is_gone(
    server: ForkedServer, provider: Provider
) -> None:
    server.start()
    set_credential(server, provider.server.url)
    answered = asyncio.Event()

    async def late(request: web.Request) -> None:
        if request.method == "POST":
            answered.set()
            await asyncio.sleep(30)

    provider.github.answers_late = late
    flow(server)
    eventually("it is made, and that isn't said", answered.is_set)
    server.kill()
    provider.github.answers_late = None
    assert len(provider.hooks) == 1
    (server.folder / "flows" / "pushes.json").unlink()
    server.start()
    eventually("nobody wants it any more", lambda: provider.hooks == [])
    assert server.stop() == 0


STRIPE_FLOW = {
    "id": "payments",
    "trigger": {"use": "stripe.events", "with": {"events": ["invoice.paid"]}, "credential": "stripe-prod"},
    "steps": [{"id": "kept", "use": "map", "with": {"body": "$.body.type"}}],
}


def test_a_provider_that_makes_the_secret_itself_may_send_before_it_tells_it(server: ForkedServer) -> None:
    stripe = StripeServer()
    early: list[int] = []

    async def sends(request: web.Request) -> None:
        if request.method == "POST":
            (endpoint,) = stripe.endpoints.values()
            early.append(await stripe.send(endpoint, "invoice.paid"))

    stripe.answers_late = sends
    with AppThread(stripe.app) as provider:
        server.start()
        set_stripe(server, provider.url)
        server.flow(STRIPE_FLOW)
        eventually("it is subscribed", lambda: is_subscribed(server, "payments"))
        assert early == [503], "so it sends that again"
        (endpoint,) = stripe.endpoints.values()
        send = stripe.send
        assert provider.run(send(endpoint, "invoice.paid", id="evt_twice")) == 202
        assert provider.run(send(endpoint, "invoice.paid", id="evt_twice")) == 200
        assert provider.run(send(endpoint, "invoice.paid", "whsec_of_somebody_else")) == 401
        assert endpoint["secret"] not in server.log()
        server.flow({**STRIPE_FLOW, "state": "stopped"})
        eventually("it is removed", lambda: stripe.endpoints == {})
        assert server.stop() == 0


@pytest.mark.long
def test_a_secret_that_was_told_to_a_process_that_died_is_replaced(server: ForkedServer) -> None:
    stripe = StripeServer()
    with AppThread(stripe.app) as provider:
        server.start()
        set_stripe(server, provider.url)
        server.set_fault("subscription.before_commit:2")
        server.flow(STRIPE_FLOW)
        assert server.died() == SIGKILL, server.log()[-4000:]
        (lost,) = stripe.endpoints
        server.start()
        eventually("it is subscribed", lambda: is_subscribed(server, "payments"))
        (endpoint,) = stripe.endpoints.values()
        assert endpoint["id"] != lost
        assert provider.run(stripe.send(endpoint, "invoice.paid")) == 202
        assert server.stop() == 0


def is_subscribed(server: ServerProcess, flow_id: str) -> bool:
    status, shown = server.get(f"/api/v1/flows/{flow_id}")
    source = (shown.get("source") or {}) if status == 200 else {}
    return source.get("last_at") is not None and not source["error"]


def set_stripe(server: ServerProcess, url: str) -> None:
    body = b'{"type": "stripe-api", "values": {"api_key": "%s", "base_url": "%s"}}' % (KEY.encode(), url.encode())
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    status, answer, _ = server.request("PUT", "/api/v1/credentials/stripe-prod", body, headers)
    assert status in (200, 201, 204), answer
