"""`slack.*` against a workspace that behaves as Slack's documentation says."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import structlog
from aiohttp import web
from tests.integration.engine_harness import Harness as EngineHarness
from tests.integration.slack_server import HOOK, READ_ONLY, TOKEN, SlackServer

from hookline.credentials.connector_options import OptionsRequest, fetch_options
from hookline.credentials.stored_credentials import FoundCredential
from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.clocks import SystemClock
from hookline.kernel.errors import AuthExpired, RateLimited, StepError, Unavailable
from hookline.model.access import SYSTEM
from hookline.model.message import Attachment, Message
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.plugin_host.plugin_calls import PluginCalls
from hookline.plugin_host.resources import EngineResources
from hookline.sdk.connector import VerifyContext
from hookline.secrets.credential_reach import HostRule
from hookline.telemetry.metrics import Metrics
from hookline.testing.connector_harness import Harness, ListLog
from hookline.testing.contracts.connector import ConnectorContract
from hookline.testing.fake_http import FakeHttp
from hookline_slack.connector import SlackApi, slack
from hookline_slack.credential_check import verify

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "*Order* 17"}}
MODAL = {"type": "modal", "title": {"type": "plain_text", "text": "Order"}, "blocks": []}


@pytest.fixture
async def workspace() -> AsyncIterator[SlackServer]:
    workspace = SlackServer()
    await workspace.server.start_server()
    yield workspace
    await workspace.server.close()


@pytest.fixture
async def bench() -> AsyncIterator[Harness]:
    harness = Harness(load_plugins())
    client = PooledClient(clock=SystemClock(), egress=Egress(["127.0.0.1"]), blobs=harness.blobs)
    harness.http = client
    yield harness
    await client.close()
    await harness.close()


class Calls:
    """Calls actions for one workspace."""

    def __init__(self, harness: Harness, workspace: SlackServer) -> None:
        self.harness = harness
        self.workspace = workspace

    async def __call__(
        self,
        name: str,
        /,
        token: str | None = TOKEN,
        hook: str | None = None,
        message: Message | None = None,
        **settings: Any,
    ) -> Any:
        credential = self.workspace.credential(token, hook)
        ran = await self.harness.run_action(f"slack.{name}", credential=credential, message=message, with_=settings)
        return ran.body

    async def fails(self, name: str, /, **given: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self(name, **given)
        assert TOKEN not in str(caught.value)
        return caught.value


@pytest.fixture
def do(bench: Harness, workspace: SlackServer) -> Calls:
    return Calls(bench, workspace)


async def test_a_message_is_posted_changed_and_deleted(do: Calls) -> None:
    posted = await do("post_message", channel="C02ORDERS", text="Order 17", blocks=[SECTION, {"type": "divider"}])
    messages = do.workspace.channels["C02ORDERS"].messages
    assert posted == {"channel": "C02ORDERS", "ts": posted["ts"], "message": messages[posted["ts"]]}
    assert messages[posted["ts"]]["blocks"] == [SECTION, {"type": "divider"}]

    changed = await do("update_message", channel="C02ORDERS", ts=posted["ts"], text="Order 17 is paid")
    assert changed["message"]["text"] == "Order 17 is paid"
    assert "blocks" not in messages[posted["ts"]]

    assert (await do("delete_message", channel="C02ORDERS", ts=posted["ts"]))["deleted"] is True
    assert messages == {}
    assert (await do("delete_message", channel="C02ORDERS", ts=posted["ts"]))["deleted"] is False


async def test_an_answer_goes_into_a_thread(do: Calls) -> None:
    first = await do("post_message", channel="C02ORDERS", text="Order 17")
    answer = await do(
        "post_message", channel="C02ORDERS", text="It is paid", thread_ts=first["ts"], reply_broadcast=True
    )
    assert answer["message"]["thread_ts"] == first["ts"]
    assert do.workspace.calls[-1][1]["reply_broadcast"] == "true"


async def test_what_is_not_given_is_not_sent(do: Calls) -> None:
    await do("post_message", channel="C02ORDERS", text="a")
    assert do.workspace.calls == [("chat.postMessage", {"channel": "C02ORDERS", "text": "a"})]


@pytest.mark.parametrize("text", ["tüt 🚚 & <tag> a=b+c%20", "line\nline", '{"a": 1}'])
async def test_a_text_arrives_as_it_is(do: Calls, text: str) -> None:
    posted = await do("post_message", channel="C02ORDERS", text=text)
    assert posted["message"]["text"] == text


async def test_a_message_without_content_is_not_sent(do: Calls) -> None:
    for name in ("post_message", "update_message", "post_ephemeral"):
        others = {"ts": "1.2"} if name == "update_message" else {"user": "U01"} if name == "post_ephemeral" else {}
        error = await do.fails(name, channel="C02ORDERS", **others)
        assert (error.error_code, error.retryable) == ("slack.no_text", False)
    assert do.workspace.calls == []


async def test_one_person_sees_a_message(do: Calls) -> None:
    shown = await do("post_ephemeral", channel="C02ORDERS", user="U01", text="psst")
    assert shown.keys() == {"message_ts"}
    assert do.workspace.ephemeral == [{"channel": "C02ORDERS", "user": "U01", "text": "psst"}]


async def test_a_reaction_that_is_there_stays(do: Calls) -> None:
    posted = await do("post_message", channel="C02ORDERS", text="a")
    reaction = {"channel": "C02ORDERS", "ts": posted["ts"], "name": ":white_check_mark:"}
    assert await do("add_reaction", **reaction) == {"added": True}
    assert await do("add_reaction", **reaction) == {"added": False}


@pytest.mark.parametrize(
    ("channel", "code", "hint"),
    [
        ("C99", "slack.channel_not_found", "the channel's id"),
        ("C03OTHERS", "slack.not_in_channel", "invite the app"),
        ("C04OLD", "slack.is_archived", "unarchive"),
    ],
)
async def test_a_rejection_is_a_final_error_with_slacks_word_and_a_remedy(
    do: Calls, channel: str, code: str, hint: str
) -> None:
    error = await do.fails("post_message", channel=channel, text="a")
    assert (type(error), error.error_code, error.retryable) == (StepError, code, False)
    assert "chat.postMessage" in error.message
    assert hint in error.message


async def test_what_is_wrong_with_blocks_is_said(do: Calls) -> None:
    error = await do.fails("post_message", channel="C02ORDERS", text="a", blocks=[SECTION, {"type": "sektion"}])
    assert error.error_code == "slack.invalid_blocks"
    assert "unsupported type: sektion [json-pointer:/blocks/1/type]" in error.message


async def test_a_scope_that_lacks_is_named(do: Calls) -> None:
    error = await do.fails("post_message", token=READ_ONLY, channel="C02ORDERS", text="a")
    assert error.error_code == "slack.missing_scope"
    assert "lacks the scope chat:write; it has channels:read,users:read" in error.message


@pytest.mark.parametrize("token", ["xoxb-unknown", TOKEN])
async def test_a_token_that_is_none_any_more_is_an_expired_credential(do: Calls, token: str) -> None:
    do.workspace.revoked.add(TOKEN)
    error = await do.fails("get_user", token=token, user="U01")
    assert isinstance(error, AuthExpired)
    assert error.error_code == ("slack.token_revoked" if token == TOKEN else "slack.invalid_auth")
    assert not error.retryable


async def test_too_many_requests_are_tried_again_when_slack_says(do: Calls) -> None:
    do.workspace.spoiled = [
        web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "30"}),
        web.json_response({"ok": False, "error": "rate_limited"}),
    ]
    limited = await do.fails("post_message", channel="C02ORDERS", text="a")
    assert isinstance(limited, RateLimited)
    assert (limited.error_code, limited.retryable, limited.retry_after) == ("slack.ratelimited", True, 30.0)
    said = await do.fails("post_message", channel="C02ORDERS", text="a")
    assert isinstance(said, RateLimited)
    assert said.error_code == "slack.rate_limited"


@pytest.mark.parametrize(
    ("answer", "code", "unknown"),
    [
        (web.Response(status=503, text="<html>"), "http.503", True),
        (web.Response(status=500), "http.500", True),
        (web.json_response({"ok": False, "error": "internal_error"}), "slack.internal_error", True),
        (web.json_response({"ok": False, "error": "service_unavailable"}), "slack.service_unavailable", False),
    ],
    ids=["503", "500", "internal_error", "service_unavailable"],
)
async def test_a_slack_that_fails_is_tried_again(do: Calls, answer: web.Response, code: str, unknown: bool) -> None:
    do.workspace.spoiled = [answer]
    error = await do.fails("post_message", channel="C02ORDERS", text="a")
    assert isinstance(error, Unavailable)
    assert (error.error_code, error.retryable, error.outcome_unknown) == (code, True, unknown)


@pytest.mark.parametrize(
    "text", ["<html>busy</html>", "[]", "{}", '{"ok": "yes"}', '{"ok": true, "channel": "C02ORDERS"}', ""]
)
async def test_an_answer_that_is_none_of_slacks_is_said_so(do: Calls, text: str) -> None:
    do.workspace.spoiled = [web.Response(text=text)]
    error = await do.fails("post_message", channel="C02ORDERS", text="a")
    assert (error.error_code, error.outcome_unknown) == ("slack.answer", True)


@pytest.mark.parametrize("said", ["SHOUTED", "with space", 17, None, {"a": 1}, "x" * 100])
async def test_an_error_that_is_no_word_is_no_code(do: Calls, said: Any) -> None:
    do.workspace.spoiled = [web.json_response({"ok": False, "error": said, "response_metadata": [], "errors": {}})]
    error = await do.fails("post_message", channel="C02ORDERS", text="a")
    assert error.error_code == "slack.error"


async def test_what_slack_warnings_is_kept_and_logged(do: Calls) -> None:
    joined = await do("call", method="conversations.join", arguments={"channel": "C01GENERAL"})
    assert joined["warnings"] == ["already_in_channel"]
    assert joined["channel"]["name"] == "general"
    assert "ok" not in joined
    assert ("warning", "slack warns", {"method": "conversations.join", "warnings": ["already_in_channel"]}) in (
        do.harness.log.lines
    )


async def test_lists_are_streams_over_all_pages(do: Calls) -> None:
    users = await do("list_users", page_size=2)
    assert [user["id"] for user in users] == [f"U{number:02}" for number in range(7)]
    assert len(do.workspace.calls) == 4

    names = [channel["name"] for channel in await do("list_channels", page_size=1)]
    assert names == ["general", "orders", "others"]
    both = await do("list_channels", types=["public_channel", "private_channel"], exclude_archived=False)
    assert [channel["name"] for channel in both] == ["general", "orders", "others", "old", "secret"]


async def test_a_list_goes_on_after_too_many_requests(do: Calls) -> None:
    limited = web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "0"})
    do.workspace.spoiled = [None, limited]
    assert len(await do("list_users", page_size=4)) == 7
    assert do.workspace.spoiled == []

    long = web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "61"})
    do.workspace.spoiled = [None, long]
    assert (await do.fails("list_users", page_size=4)).retry_after == 61.0
    first = web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "0"})
    do.workspace.spoiled = [first]
    assert isinstance(await do.fails("list_users"), RateLimited)


async def test_a_list_that_never_ends_is_an_error(do: Calls) -> None:
    page = {"ok": True, "members": [{"id": "U1"}], "response_metadata": {"next_cursor": "again"}}
    do.workspace.spoiled = [web.json_response(page), web.json_response(page)]
    assert (await do.fails("list_users")).error_code == "slack.answer"


async def test_any_method_can_be_called(do: Calls) -> None:
    assert await do("call", method="api.test", arguments={"a": [1, {"b": None}], "none": None}) == {
        "args": {"a": '[1,{"b":null}]'}
    }
    members = await do(
        "call", method="conversations.members", arguments={"channel": "C01GENERAL", "limit": 3}, stream="members"
    )
    assert members == [f"U{number:02}" for number in range(7)]
    error = await do.fails("call", method="chat.nothing")
    assert error.error_code == "slack.unknown_method"


async def test_people_are_looked_up(do: Calls) -> None:
    assert (await do("get_user", user="U02"))["name"] == "person2"
    assert (await do("lookup_user_by_email", email="person5@example.com"))["id"] == "U05"
    assert (await do.fails("get_user", user="U99")).error_code == "slack.user_not_found"
    assert (await do.fails("lookup_user_by_email", email="a@b.c")).error_code == "slack.users_not_found"


async def test_a_trigger_opens_one_view(do: Calls) -> None:
    assert await do("open_view", trigger_id="fresh.1", view=MODAL) == {
        "id": "V1",
        "hash": "1.a",
        "state": {"values": {}},
    }
    assert (await do.fails("open_view", trigger_id="fresh.1", view=MODAL)).error_code == "slack.exchanged_trigger_id"
    late = await do.fails("open_view", trigger_id="late.1", view=MODAL)
    assert (late.error_code, "3 seconds" in late.message) == ("slack.expired_trigger_id", True)
    wrong = await do.fails("open_view", trigger_id="fresh.2", view={"type": "modal"})
    assert "missing required field: title" in wrong.message
    assert len(do.workspace.views) == 1


async def file_of(harness: Harness, content: bytes, name: str = "report.csv") -> Message:
    writer = await harness.blobs.create()
    for start in range(0, len(content), 65536):
        await writer.write(content[start : start + 65536])
    blob = await writer.commit()
    return Message(None, {}, (Attachment(blob.id, "report", name, "text/csv", blob.size, blob.sha256),))


async def test_a_file_is_uploaded_and_shared(do: Calls) -> None:
    content = bytes(range(256)) * 2000
    message = await file_of(do.harness, content)
    uploaded = await do("upload_file", message=message, channel="C02ORDERS", comment="The report", title="March")
    assert uploaded == {"id": "F0", "title": "March"}
    assert do.workspace.uploads["F0"] == {"name": "report.csv", "length": len(content), "content": content}
    (shared,) = do.workspace.channels["C02ORDERS"].messages.values()
    assert (shared["text"], shared["files"]) == ("The report", ["F0"])


async def test_a_file_that_is_not_there_or_not_taken_is_an_error(do: Calls) -> None:
    assert (await do.fails("upload_file")).error_code == "slack.attachment"
    message = await file_of(do.harness, b"a,b\n")
    assert (await do.fails("upload_file", message=message, file="other")).error_code == "slack.attachment"
    rejected = await do.fails("upload_file", message=message, channel="C03OTHERS")
    assert rejected.error_code == "slack.not_in_channel"
    place = web.json_response({"ok": True, "upload_url": f"{do.workspace.url}/upload/none", "file_id": "F9"})
    do.workspace.spoiled = [place]
    assert (await do.fails("upload_file", message=message, file="report")).error_code == "slack.upload"
    place = web.json_response({"ok": True, "upload_url": f"{do.workspace.url}/upload/F1", "file_id": "F1"})
    do.workspace.spoiled = [place, web.Response(status=502)]
    assert isinstance(await do.fails("upload_file", message=message), Unavailable)


async def test_an_incoming_webhook_posts_without_a_token(do: Calls) -> None:
    assert await do("send_webhook", token=None, hook=HOOK, text="Order 17", blocks=[SECTION]) == {"sent": True}
    assert do.workspace.hooked == [{"text": "Order 17", "blocks": [SECTION]}]
    removed = await do.fails("send_webhook", token=None, hook="T01/B01/removed", text="a")
    assert isinstance(removed, AuthExpired)
    assert removed.error_code == "slack.no_service"
    assert "removed" not in removed.message.replace("was removed", "")
    assert (await do.fails("send_webhook", text="a")).error_code == "slack.webhook_url"
    assert (await do.fails("get_user", token=None, hook=HOOK, user="U01")).error_code == "slack.token"


async def test_a_webhook_that_is_busy_or_broken_is_tried_again(do: Calls) -> None:
    do.workspace.spoiled = [
        web.Response(status=429, headers={"Retry-After": "2"}, text="rate_limited"),
        web.Response(status=500, text="rollup_error"),
        web.Response(status=403, text="action_prohibited"),
        web.Response(text="<html>"),
        web.Response(text="{"),
    ]
    codes = [(await do.fails("send_webhook", token=None, hook=HOOK, text="a")).error_code for _ in range(5)]
    assert codes == ["slack.ratelimited", "http.500", "slack.action_prohibited", "slack.answer", "slack.answer"]


async def test_a_command_is_answered_up_to_five_times(do: Calls) -> None:
    url = f"{do.workspace.url}/commands/1"
    assert await do("respond", response_url=url, text="Wait") == {"sent": True}
    await do("respond", response_url=url, text="Done", replace_original=True, response_type="in_channel")
    await do("respond", response_url=url, delete_original=True)
    assert do.workspace.responses == [
        {"text": "Wait", "response_type": "ephemeral"},
        {"text": "Done", "response_type": "in_channel", "replace_original": True},
        {"delete_original": True},
    ]
    for _ in range(2):
        await do("respond", response_url=url, text="More")
    assert (await do.fails("respond", response_url=url, text="Too much")).error_code == "slack.used_url"
    expired = await do.fails("respond", response_url=f"{do.workspace.url}/commands/expired", text="a")
    assert (expired.error_code, "30 minutes" in expired.message) == ("slack.expired_url", True)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/commands/1",
        "http://hooks.slack.com/commands/1",
        "https://hooks.slack.com.example.com/1",
        "https://hooks.slack.com@example.com/1",
        "https://hooks.slack.com:8443/commands/1",
        "https://[::1/",
        "",
    ],
)
async def test_an_answer_goes_to_slack_alone(do: Calls, url: str) -> None:
    error = await do.fails("respond", response_url=url, text="a")
    assert error.error_code == "slack.response_url"


async def test_a_flow_posts_pages_and_waits_as_long_as_slack_says(tmp_path: Path, workspace: SlackServer) -> None:
    harness = EngineHarness(tmp_path)
    posting = {"use": "slack.post_message", "credential": "bot"}
    harness.flow(
        "hello",
        [
            {"id": "people", "use": "slack.list_users", "credential": "bot", "with": {"page_size": 3}},
            {
                "id": "each",
                "foreach": "$.body",
                "steps": [{"id": "tell", **posting, "with": {"channel": "C02ORDERS", "text": "Hello {{ item.name }}"}}],
            },
            {"id": "gone", **posting, "with": {"channel": "C99", "text": "a"}, "on_error": "continue"},
        ],
    )
    async with harness.engine(egress_allow=("127.0.0.0/8",)) as engine:
        await engine.credentials.put("bot", "slack-api", workspace.credential(), by=SYSTEM)
        limited = web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "300"})
        workspace.spoiled = [None, None, None, None, limited]
        execution_id = await harness.send(engine, "hello", None)
        before = harness.clock.now()
        await harness.advance_until(engine, execution_id, seconds=50)
        journal = await harness.journal(engine, execution_id)
    assert journal["gone"].error is not None
    assert journal["gone"].error.code == "slack.channel_not_found"
    texts = sorted(message["text"] for message in workspace.channels["C02ORDERS"].messages.values())
    assert texts == [f"Hello person{number}" for number in range(7)]
    assert workspace.spoiled == []
    assert (harness.clock.now() - before).total_seconds() >= 300


class OneCredential:
    """The credentials of a server that has one."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def get(self, name: str, flow_id: str | None) -> FoundCredential:
        return FoundCredential("slack-api", SlackApi.model_validate(self._values), HostRule(name))


async def test_channels_and_people_can_be_chosen(bench: Harness, workspace: SlackServer) -> None:
    async def chosen(component: str, setting: str, search: str = "") -> list[tuple[Any, str]]:
        found = await fetch_options(
            OptionsRequest(component, setting, credential="bot", search=search),
            OneCredential(workspace.credential()),
            PluginCalls(bench.registry, Metrics(), structlog.get_logger()),
            http=bench.http,
            resources=EngineResources(),
            log=structlog.get_logger(),
        )
        return [(one.value, one.label) for one in found.options]

    assert await chosen("slack.post_message", "channel", "o") == [
        ("C02ORDERS", "#orders"),
        ("C03OTHERS", "#others"),
    ]
    assert ("G05SECRET", "#secret") in await chosen("slack.upload_file", "channel")
    people = await chosen("slack.post_ephemeral", "user")
    assert ("U01", "@person1") in people
    assert ("U03", "@person3") not in people


async def who(harness: Harness, values: dict[str, Any]) -> str | None:
    credential = SlackApi.model_validate(values)
    return await verify(VerifyContext(credential, harness.http, ListLog(), harness.resources))


async def test_a_credential_is_verified(bench: Harness, workspace: SlackServer) -> None:
    assert await who(bench, workspace.credential()) == "hookline in Testers"
    assert await who(bench, workspace.credential(None, HOOK)) == "an incoming webhook"
    assert await who(bench, workspace.credential(TOKEN, HOOK)) == "hookline in Testers and an incoming webhook"
    assert workspace.hooked == []
    with pytest.raises(AuthExpired):
        await who(bench, workspace.credential("xoxb-unknown"))
    with pytest.raises(AuthExpired):
        await who(bench, workspace.credential(None, "T01/B01/removed"))
    with pytest.raises(StepError, match="not as Slack does"):
        await who(bench, {"webhook_url": f"{workspace.url}/api/api.test"})


@pytest.mark.parametrize("values", [{}, {"token": ""}, {"token": "a", "base_url": "slack.com"}, {"webhook_url": "a"}])
def test_a_credential_that_can_not_work_is_rejected(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"token|base_url|webhook_url"):
        SlackApi.model_validate(values)


async def test_the_workspace_is_as_slacks_own_client_expects(workspace: SlackServer) -> None:
    sdk = pytest.importorskip("slack_sdk.web.async_client", reason="the extra `providers` isn't installed")
    errors = pytest.importorskip("slack_sdk.errors")
    client = sdk.AsyncWebClient(token=TOKEN, base_url=f"{workspace.url}/api/")
    posted = await client.chat_postMessage(channel="C02ORDERS", text="a", blocks=[SECTION])
    assert posted["message"]["blocks"] == [SECTION]
    await client.reactions_add(channel="C02ORDERS", timestamp=posted["ts"], name="ok")
    await client.chat_update(channel="C02ORDERS", ts=posted["ts"], text="b")
    await client.chat_delete(channel="C02ORDERS", ts=posted["ts"])
    users = [user["id"] async for page in await client.users_list(limit=3) for user in page["members"]]
    assert len(users) == 7
    assert (await client.users_lookupByEmail(email="person1@example.com"))["user"]["id"] == "U01"
    assert (await client.views_open(trigger_id="fresh.1", view=MODAL))["view"]["id"] == "V1"
    uploaded = await client.files_upload_v2(content=b"a,b", filename="a.csv", channel="C02ORDERS", initial_comment="c")
    assert uploaded["files"][0]["id"] == "F0"
    assert workspace.uploads["F0"]["content"] == b"a,b"
    with pytest.raises(errors.SlackApiError) as caught:
        await client.chat_postMessage(channel="C04OLD", text="a")
    assert caught.value.response["error"] == "is_archived"
    workspace.spoiled = [
        web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "7"})
    ]
    with pytest.raises(errors.SlackApiError) as caught:
        await client.users_info(user="U01")
    assert caught.value.response.headers["Retry-After"] == "7"


class TestContract(ConnectorContract):
    connector = slack
    credential: ClassVar[dict[str, Any]] = {
        "token": TOKEN,
        "webhook_url": "https://hooks.slack.com/services/T01/B01/of-tests",
    }
    level = "gold"
    calls: ClassVar[dict[str, dict[str, Any]]] = {
        "slack.post_message": {"channel": "C01", "text": "a"},
        "slack.update_message": {"channel": "C01", "ts": "1.2", "text": "a"},
        "slack.delete_message": {"channel": "C01", "ts": "1.2"},
        "slack.post_ephemeral": {"channel": "C01", "user": "U01", "text": "a"},
        "slack.add_reaction": {"channel": "C01", "ts": "1.2", "name": "ok"},
        "slack.list_channels": {},
        "slack.list_users": {},
        "slack.get_user": {"user": "U01"},
        "slack.lookup_user_by_email": {"email": "a@example.com"},
        "slack.upload_file": {"channel": "C01"},
        "slack.open_view": {"trigger_id": "1", "view": MODAL},
        "slack.call": {"method": "api.test"},
        "slack.send_webhook": {"text": "a"},
        "slack.respond": {"response_url": "https://hooks.slack.com/commands/1", "text": "a"},
    }

    def answers(self, http: FakeHttp) -> None:
        message = {"channel": "C01", "ts": "1.2", "message": {"text": "a"}, "message_ts": "1.3"}
        for method, answer in {
            "chat.postMessage": message,
            "chat.update": message,
            "chat.delete": message,
            "chat.postEphemeral": message,
            "reactions.add": {},
            "conversations.list": {"channels": [{"id": "C01"}]},
            "users.list": {"members": [{"id": "U01"}]},
            "users.info": {"user": {"id": "U01"}},
            "users.lookupByEmail": {"user": {"id": "U01"}},
            "files.getUploadURLExternal": {"upload_url": "https://files.slack.com/upload/1", "file_id": "F1"},
            "files.completeUploadExternal": {"files": [{"id": "F1", "title": "a"}]},
            "views.open": {"view": {"id": "V1", "hash": "1.a"}},
            "api.test": {"args": {}},
        }.items():
            http.answers("POST", f"https://slack.com/api/{method}", {"ok": True, **answer})
        http.answers("POST", "https://files.slack.com/upload/1", None)
        for url in ("https://hooks.slack.com/services/T01/B01/of-tests", "https://hooks.slack.com/commands/1"):
            http.answers("POST", "***" if url.endswith("of-tests") else url, {"ok": True})

    async def _runs(self, harness: Harness) -> Any:
        upload = {"credential": self.credential, "message": await file_of(harness, b"a,b")}
        with_ = self.calls["slack.upload_file"]
        uploading = partial(harness.run_action, "slack.upload_file", with_=with_, **upload)
        return {**await super()._runs(harness), "slack.upload_file": uploading}
