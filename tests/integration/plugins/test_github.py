"""The GitHub connector against a server that behaves as GitHub's documentation says."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from tests.github_server import TOKEN, GitHubServer, Rejected, limited

import hookline_github
from hookline.api import AuthExpired, Message, RateLimited, StepError, VerifyContext
from hookline.discovery.plugin_loader import load_plugins
from hookline.model.message import Attachment
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.testing.clock import ManualClock
from hookline.testing.connector_harness import SUBSCRIPTION_SECRET, SUBSCRIPTION_URL, Harness
from hookline.testing.contracts.connector import ConnectorContract
from hookline.testing.fake_http import FakeHttp

API = "https://api.github.com"
APP = {"repository": "octo/app"}
SHA = "a" * 40


class TestContract(ConnectorContract):
    connector = hookline_github.github
    credential = {"token": TOKEN}  # noqa: RUF012 - a class's constant
    level = "gold"
    calls = {  # noqa: RUF012
        "github.create_issue": {**APP, "title": "It fails"},
        "github.update_issue": {**APP, "number": 1, "state": "closed"},
        "github.get_issue": {**APP, "number": 1},
        "github.list_issues": {**APP},
        "github.comment_issue": {**APP, "number": 1, "body": "Indeed."},
        "github.add_labels": {**APP, "number": 1, "labels": ["bug"]},
        "github.remove_labels": {**APP, "number": 1, "labels": ["bug"]},
        "github.create_commit_status": {**APP, "sha": SHA, "state": "success", "context": "ci"},
        "github.create_release": {**APP, "tag": "v1"},
        "github.dispatch_workflow": {**APP, "workflow": "deploy.yml", "ref": "main"},
        "github.get_file": {**APP, "path": "a.txt"},
        "github.put_file": {**APP, "path": "a.txt", "message": "Change it", "text": "new"},
        "github.request": {"path": "/repos/octo/app/branches"},
        "github.events": {**APP, "events": ["push"]},
    }

    def answers(self, http: FakeHttp) -> None:
        repo = f"{API}/repos/octo/app"
        issue = {"number": 1, "labels": []}
        for method, path in (("POST", "/issues"), ("PATCH", "/issues/1"), ("GET", "/issues/1")):
            http.answers(method, repo + path, issue)
        http.answers("GET", f"{repo}/issues?per_page=100&state=open&sort=created&direction=desc", [issue])
        http.answers("POST", f"{repo}/issues/1/comments", {"id": 1})
        http.answers("POST", f"{repo}/issues/1/labels", [{"name": "bug"}])
        http.answers("DELETE", f"{repo}/issues/1/labels/bug", [])
        http.answers("GET", f"{repo}/issues/1/labels?per_page=100", [])
        http.answers("POST", f"{repo}/statuses/{SHA}", {"id": 1})
        http.answers("POST", f"{repo}/releases", {"id": 1})
        http.answers("POST", f"{repo}/actions/workflows/deploy.yml/dispatches", {})
        content = {"type": "file", "encoding": "base64", "content": "b2xk", "sha": "1", "path": "a.txt"}
        http.answers("GET", f"{repo}/contents/a.txt", content)
        http.answers("PUT", f"{repo}/contents/a.txt", {"commit": {"sha": SHA}})
        http.answers("GET", f"{repo}/branches", [{"name": "main"}])
        http.answers("GET", f"{repo}/hooks?per_page=100", [])
        hook = {"id": 7, "config": {"url": SUBSCRIPTION_URL}}
        http.answers("POST", f"{repo}/hooks", hook)
        http.answers("GET", f"{repo}/hooks/7", hook)
        http.answers("PATCH", f"{repo}/hooks/7", hook)
        http.answers("DELETE", f"{repo}/hooks/7", None, status=204)


class Room:
    """The connector, GitHub and a credential."""

    def __init__(self, github: GitHubServer, base_url: str) -> None:
        self.github = github
        self.base_url = base_url
        self.http = PooledClient(clock=ManualClock(), egress=Egress(["127.0.0.1"]))
        self.harness = Harness(load_plugins(), self.http)
        self.key = {"token": TOKEN, "base_url": base_url}

    async def run(self, action: str, carrying: Message | None = None, **settings: Any) -> Any:
        """The body of what an action gives, in the repository `octo/app`."""
        given = {**APP, **settings} if action != "request" else settings
        return (
            await self.harness.run_action(f"github.{action}", credential=self.key, message=carrying, with_=given)
        ).body

    async def fails(self, action: str, **settings: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self.run(action, **settings)
        return caught.value


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    github = GitHubServer()
    async with TestServer(github.app) as server:
        made = Room(github, str(server.make_url("/")))
        yield made
        await made.http.close()
        await made.harness.close()


async def test_an_issue_is_opened_changed_labelled_commented_and_read(room: Room) -> None:
    issue = await room.run("create_issue", title="It fails", body="Always.", labels=["bug"])
    assert (issue["number"], issue["state"]) == (1, "open")
    changed = await room.run("update_issue", number=1, state="closed", state_reason="completed")
    assert (changed["state"], changed["title"], changed["body"]) == ("closed", "It fails", "Always.")
    added = await room.run("add_labels", number=1, labels=["triage", "bug"])
    assert [label["name"] for label in added] == ["bug", "triage"]
    for _ in range(2):  # what it hasn't is no error
        left = await room.run("remove_labels", number=1, labels=["bug", "none/such"])
        assert [label["name"] for label in left] == ["triage"]
    comment = await room.run("comment_issue", number=1, body="Fixed.")
    assert (comment["issue"], comment["body"]) == (1, "Fixed.")
    assert (await room.run("get_issue", number=1))["state_reason"] == "completed"


async def test_all_issues_come_page_after_page_and_pull_requests_only_where_asked_for(room: Room) -> None:
    for n in range(250):
        extra = {"pull_request": {}} if n % 50 == 0 else {}
        room.github.add_issue("octo/app", f"issue {n}", **extra)
    listed = await room.run("list_issues", state="all")
    assert [issue["number"] for issue in listed] == [n for n in range(250, 0, -1) if n % 50 != 1]
    assert len(await room.run("list_issues", pull_requests=True)) == 250
    asked = len(room.github.requests)
    assert len(await room.run("list_issues", limit=99)) == 99
    assert len(room.github.requests) == asked + 2, "no more is read than is asked for"
    assert await room.run("list_issues", labels=["none"]) == []


async def test_a_file_is_written_once_and_read(room: Room) -> None:
    made = await room.run("put_file", path="docs/a b.md", message="Add it", text="# Ä\n")
    assert (made["changed"], made["commit"]["message"]) == (True, "Add it")
    again = await room.run("put_file", path="docs/a b.md", message="Add it", text="# Ä\n")
    assert (again["changed"], again["sha"], room.github.commits) == (False, made["sha"], 1)
    read = await room.run("get_file", path="/docs/a b.md")
    assert read == {"path": "docs/a b.md", "sha": made["sha"], "size": 5, "text": "# Ä\n"}
    await room.run("put_file", path="docs/a b.md", message="Change it", text="other")
    assert room.github.files["docs/a b.md"] == b"other"
    conflict = await room.fails("put_file", path="docs/a b.md", message="Change it", text="x", sha=made["sha"])
    assert conflict.error_code == "http.409"


async def test_a_file_that_is_large_or_no_text_is_read_too(room: Room) -> None:
    room.github.files = {"big.txt": b"x" * 1_500_000, "logo.png": b"\x89PNG\xff"}
    assert (await room.run("get_file", path="big.txt"))["size"] == 1_500_000
    ran = await room.harness.run_action("github.get_file", credential=room.key, **APP, path="logo.png")
    (attachment,) = ran.attachments
    assert (ran.body["text"], attachment.filename) == (None, "logo.png")
    assert b"".join([chunk async for chunk in room.harness.blobs.open(attachment.id)]) == b"\x89PNG\xff"


async def test_an_attachment_is_written_as_a_file(room: Room) -> None:
    writer = await room.harness.blobs.create()
    await writer.write(b"\0\xff")
    blob = await writer.commit()
    file = Attachment(id=blob.id, name="logo", filename="logo.png", type="image/png", size=2, sha256=blob.sha256)
    await room.run("put_file", Message(None, {}, (file,)), path="logo.png", message="Add it", attachment="logo")
    assert room.github.files["logo.png"] == b"\0\xff"
    for wrong in ({"attachment": "none"}, {}, {"text": "x", "attachment": "logo"}):
        assert (await room.fails("put_file", path="p", message="m", **wrong)).error_code == "github.content"


async def test_a_folder_is_no_file(room: Room) -> None:
    room.github.files = {"docs/a.md": b""}
    assert (await room.fails("get_file", path="docs")).error_code == "github.not_a_file"


async def test_statuses_releases_and_workflows_are_made(room: Room) -> None:
    await room.run("create_commit_status", sha=SHA, state="success", context="ci", description="All passed")
    assert room.github.statuses[0]["context"] == "ci"
    release = await room.run("create_release", tag="v1", name="One", generate_notes=True)
    assert (release["id"], release["generate_release_notes"]) == (1, True)
    again = await room.fails("create_release", tag="v1")
    assert again.message == "GitHub answered 422: Validation Failed (Release.tag_name: already_exists)"
    assert await room.run("dispatch_workflow", workflow="deploy.yml", ref="main", inputs={"dry": True, "n": 3}) == {}
    assert room.github.dispatched == [{"ref": "main", "inputs": {"dry": "true", "n": "3"}}]


async def test_any_request_can_be_sent_and_none_leads_elsewhere(room: Room) -> None:
    room.github.add_issue("octo/app", "one")
    ran = await room.harness.run_action("github.request", credential=room.key, path="/repos/octo/app/issues/1")
    assert (ran.body["title"], ran.extra) == ("one", {"status": 200})
    made = await room.run("request", method="post", path="/repos/octo/app/issues", json={"title": "two"})
    assert made["number"] == 2
    assert (await room.fails("request", path="/repos/octo/../../user")).error_code == "github.name"
    for path in (".example.com/user", "@example.com/user", "https://example.com/user", "user"):
        with pytest.raises(ValueError, match="path"):
            await room.run("request", path=path)
    assert (await room.fails("get_file", path="../../../user")).error_code == "github.name"
    for repository in ("../..", "octo", "octo/app/x", "octo/.."):
        with pytest.raises(ValueError, match="written as owner/name"):
            await room.run("get_issue", repository=repository, number=1)


async def test_what_github_says_is_wrong_is_in_the_error(room: Room) -> None:
    rejected = Rejected(
        422, "Validation Failed", {"resource": "Issue", "field": "assignees", "code": "invalid"}, "and so on"
    )
    room.github.rejects = [rejected]
    error = await room.fails("create_issue", title="x")
    assert error.message == "GitHub answered 422: Validation Failed (Issue.assignees: invalid; and so on)"
    assert (error.error_code, error.retryable) == ("http.422", False)
    missing = await room.fails("get_issue", repository="octo/none", number=1)
    assert (missing.error_code, missing.retryable) == ("http.404", False)
    assert "the token may not see it" in missing.message
    room.github.rejects = [Rejected(502, "Server Error")]
    assert (await room.fails("get_issue", number=1)).retryable


async def test_rate_limits_say_when_to_come_again(room: Room) -> None:
    room.github.rejects = [
        limited(30),
        Rejected(429, "Too many requests", retry_after="17"),
        Rejected(403, "You have exceeded a secondary rate limit."),
        Rejected(403, "Resource not accessible by personal access token"),
    ]
    first = await room.fails("get_issue", number=1)
    assert isinstance(first, RateLimited)
    assert first.retry_after is not None
    assert 25 <= first.retry_after <= 31
    assert (await room.fails("get_issue", number=1)).retry_after == 17
    assert (await room.fails("list_issues")).retry_after == 60
    forbidden = await room.fails("get_issue", number=1)
    assert (type(forbidden), forbidden.retryable) == (StepError, False)


async def test_a_token_that_is_not_taken_is_of_its_kind_and_shown_nowhere(room: Room) -> None:
    room.key["token"] = "ghp_wrong_token"
    error = await room.fails("get_issue", number=1)
    assert isinstance(error, AuthExpired)
    assert "ghp_wrong_token" not in error.message


async def test_a_credential_says_whose_it_is(room: Room) -> None:
    verify = hookline_github.github.verifier
    assert verify is not None
    model = hookline_github.github.credential
    assert model is not None
    context = VerifyContext(model.model_validate(room.key), room.http, room.harness.log, room.harness.resources)
    assert await verify(context) == "octocat"
    room.github.rejects = [Rejected(403, "Resource not accessible by integration")]
    with pytest.raises(StepError, match="404"):  # this server has no installations
        await verify(context)


async def test_a_webhook_is_made_once_adopted_changed_and_removed(room: Room) -> None:
    """Without a server that answers its ping: GitHub doesn't mind."""

    async def unheard(*_: Any, **__: Any) -> int:
        return 502

    room.github.send = unheard  # type: ignore[method-assign]  # nothing listens here
    subscribe = room.harness.run_subscribe
    first = await subscribe("github.events", credential=room.key, **APP, events=["push", "issues", "push"])
    (hook,) = room.github.all_hooks()
    assert hook["events"] == ["issues", "push"]
    assert hook["config"] == {
        "url": SUBSCRIPTION_URL,
        "content_type": "json",
        "insecure_ssl": "0",
        "secret": SUBSCRIPTION_SECRET,
    }
    assert first.secret is None
    # One that nobody knows of is found by its URL, among many.
    for n in range(130):
        room.github.hooks["repos/octo/app"][n] = {"id": n, "config": {"url": f"https://x.example/{n}"}}
    hook["config"]["secret"] = "old"
    for known in (None, first.id, {**first.id, "hook": 999}):
        again = await subscribe("github.events", known=known, credential=room.key, **APP, events=["push"])
        assert again.id == first.id
    assert (hook["config"]["secret"], hook["events"], room.github.made) == (SUBSCRIPTION_SECRET, ["push"], 1)
    # In another place it is another one.
    org = await subscribe("github.events", known=first.id, credential=room.key, organization="octo", events=["*"])
    assert org.id != first.id
    assert await room.harness.run_renew("github.events", org.id, credential=room.key) == org
    for _ in range(2):
        await room.harness.run_unsubscribe("github.events", org.id, credential=room.key)
    assert room.github.hooks["orgs/octo"] == {}
    assert await room.harness.run_renew("github.events", org.id, credential=room.key) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"repository": "octo/none", "events": ["push"]}, "the token needs to administer its webhooks"),
        ({"repository": "octo/app", "events": ["pusch"]}, "The events ['pusch'] are not valid"),
        ({"events": ["push"]}, "give either `repository` or `organization`"),
        ({**APP, "organization": "octo", "events": ["push"]}, "give either `repository` or `organization`"),
    ],
)
async def test_what_is_wrong_with_a_subscription_is_said(room: Room, given: Any, said: str) -> None:
    with pytest.raises(StepError) as caught:
        await room.harness.run_subscribe("github.events", credential=room.key, **given)
    assert said in caught.value.message
    assert not caught.value.retryable
