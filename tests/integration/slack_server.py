"""A workspace of Slack's as its documentation describes the Web API, incoming webhooks and response URLs."""

import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

TOKEN = "xoxb-of-tests"
READ_ONLY = "xoxb-read-only"
HOOK = "T01/B01/of-tests"
BOT = "U00BOT"

_SCOPES = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "chat.delete": "chat:write",
    "chat.postEphemeral": "chat:write",
    "reactions.add": "reactions:write",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
    "conversations.list": "channels:read",
    "conversations.members": "channels:read",
    "conversations.join": "channels:join",
    "users.list": "users:read",
    "users.info": "users:read",
    "users.lookupByEmail": "users:read.email",
}
#: Methods that take arguments as JSON, too; to the others it is as if there were none.
_TAKE_JSON = frozenset(
    {
        "api.test",
        "auth.test",
        "chat.postMessage",
        "chat.update",
        "chat.delete",
        "chat.postEphemeral",
        "reactions.add",
        "files.completeUploadExternal",
        "conversations.join",
        "views.open",
    }
)


class _Rejected(Exception):
    def __init__(self, error: str, **more: Any) -> None:
        self.answer = {"ok": False, "error": error, **more}


@dataclass
class Channel:
    """A channel."""

    id: str
    name: str
    member: bool = True
    archived: bool = False
    private: bool = False
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def view(self) -> dict[str, Any]:
        """As `conversations.list` shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "is_channel": True,
            "is_private": self.private,
            "is_archived": self.archived,
            "is_member": self.member,
        }


class SlackServer:
    """The workspace; what its app has done can be looked at, and what it answers can be spoiled."""

    def __init__(self) -> None:
        self.channels = {
            one.id: one
            for one in (
                Channel("C01GENERAL", "general"),
                Channel("C02ORDERS", "orders"),
                Channel("C03OTHERS", "others", member=False),
                Channel("C04OLD", "old", archived=True),
                Channel("G05SECRET", "secret", private=True),
            )
        }
        self.users = [
            {
                "id": f"U{number:02}",
                "name": f"person{number}",
                "deleted": number == 3,
                "profile": {"email": f"person{number}@example.com"},
            }
            for number in range(7)
        ]
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.ephemeral: list[dict[str, Any]] = []
        self.hooked: list[dict[str, Any]] = []
        self.responses: list[dict[str, Any]] = []
        self.uploads: dict[str, dict[str, Any]] = {}
        self.views: list[dict[str, Any]] = []
        self.triggers = {"fresh.1": True, "fresh.2": True, "late.1": False}
        """Whether each can be used."""
        self.spoiled: list[web.Response | None] = []
        """What the next requests are answered, whatever they are; those of None are answered as ever."""
        self.revoked: set[str] = set()
        self._scopes = {TOKEN: set(_SCOPES.values()), READ_ONLY: {"channels:read", "users:read"}}
        self._reactions: set[tuple[str, str, str]] = set()
        self._answers: Counter[str] = Counter()
        self._clock = 1_700_000_000
        application = web.Application(client_max_size=50_000_000)
        application.router.add_route("*", "/api/{method}", self._call)
        application.router.add_post("/upload/{id}", self._upload)
        application.router.add_post("/services/{hook:.*}", self._hook)
        application.router.add_post("/commands/{id}", self._respond)
        self.server = TestServer(application)

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return str(self.server.make_url("")).rstrip("/")

    def credential(self, token: str | None = TOKEN, hook: str | None = None) -> dict[str, Any]:
        """Values of a credential for it."""
        made = {"base_url": f"{self.url}/api", "token": token}
        return made if hook is None else {**made, "webhook_url": f"{self.url}/services/{hook}"}

    def _spoiled(self) -> web.Response | None:
        return self.spoiled.pop(0) if self.spoiled else None

    async def _call(self, request: web.Request) -> web.Response:
        if (spoiled := self._spoiled()) is not None:
            return spoiled
        method = request.match_info["method"]
        arguments = await self._arguments(request, method)
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = bearer or arguments.pop("token", "")
        self.calls.append((method, arguments))
        try:
            self._authorize(token, method)
            handler: Callable[[dict[str, Any]], dict[str, Any]] | None = getattr(
                self, "_" + method.replace(".", "_"), None
            )
            if handler is None:
                raise _Rejected("unknown_method", req_method=method)
            answer = {"ok": True, **handler(arguments)}
        except _Rejected as rejected:
            answer = rejected.answer
        if request.content_type == "application/json" and "charset" not in request.headers["Content-Type"]:
            answer["warning"] = "missing_charset"
            answer.setdefault("response_metadata", {})["warnings"] = ["missing_charset"]
        return web.json_response(answer)

    async def _arguments(self, request: web.Request, method: str) -> dict[str, Any]:
        found: dict[str, Any] = dict(request.query)
        if request.content_type == "application/json":
            if method in _TAKE_JSON and await request.text():
                found |= await request.json()
        else:
            found |= dict(await request.post())
        for name in ("blocks", "attachments", "view", "files", "metadata"):
            if isinstance(found.get(name), str):
                found[name] = json.loads(found[name])
        return found

    def _authorize(self, token: str, method: str) -> None:
        if not token:
            raise _Rejected("not_authed")
        if token in self.revoked:
            raise _Rejected("token_revoked")
        if token not in self._scopes:
            raise _Rejected("invalid_auth")
        needed = _SCOPES.get(method)
        if needed is not None and needed not in self._scopes[token]:
            raise _Rejected("missing_scope", needed=needed, provided=",".join(sorted(self._scopes[token])))

    def _auth_test(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"url": self.url, "team": "Testers", "user": "hookline", "team_id": "T01", "user_id": BOT}

    def _api_test(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if "error" in arguments:
            raise _Rejected(arguments["error"], args=arguments)
        return {"args": arguments}

    def _channel(self, arguments: dict[str, Any]) -> Channel:
        channel = self.channels.get(arguments.get("channel", ""))
        if channel is None or (channel.private and not channel.member):
            raise _Rejected("channel_not_found")
        return channel

    def _content(self, arguments: dict[str, Any]) -> dict[str, Any]:
        content = {name: arguments[name] for name in ("text", "blocks", "attachments") if arguments.get(name)}
        if not content:
            raise _Rejected("no_text")
        if len(content.get("text", "")) > 40_000:
            raise _Rejected("msg_too_long")
        wrong = [
            f"[ERROR] unsupported type: {block.get('type')} [json-pointer:/blocks/{index}/type]"
            for index, block in enumerate(content.get("blocks", []))
            if block.get("type") not in ("section", "divider", "header", "actions", "image", "context")
        ]
        if wrong:
            raise _Rejected("invalid_blocks", errors=wrong, response_metadata={"messages": wrong})
        return content

    def _timestamp(self) -> str:
        self._clock += 1
        return f"{self._clock}.000100"

    def _chat_postMessage(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's name
        channel = self._channel(arguments)
        if channel.archived:
            raise _Rejected("is_archived")
        if not channel.member:
            raise _Rejected("not_in_channel")
        message = {"type": "message", "user": BOT, "bot_id": "B01", **self._content(arguments)}
        if arguments.get("thread_ts"):
            if arguments["thread_ts"] not in channel.messages:
                raise _Rejected("thread_not_found")
            message["thread_ts"] = arguments["thread_ts"]
        message["ts"] = self._timestamp()
        channel.messages[message["ts"]] = message
        return {"channel": channel.id, "ts": message["ts"], "message": message}

    def _own(self, arguments: dict[str, Any], rejection: str) -> tuple[Channel, dict[str, Any]]:
        channel = self._channel(arguments)
        message = channel.messages.get(arguments.get("ts", ""))
        if message is None:
            raise _Rejected("message_not_found")
        if message["user"] != BOT:
            raise _Rejected(rejection)
        return channel, message

    def _chat_update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel, message = self._own(arguments, "cant_update_message")
        content = self._content(arguments)
        for name in ("text", "blocks", "attachments"):
            if name in arguments:
                message.pop(name, None)
        message |= content
        return {"channel": channel.id, "ts": message["ts"], "text": message.get("text", ""), "message": message}

    def _chat_delete(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel, message = self._own(arguments, "cant_delete_message")
        del channel.messages[message["ts"]]
        return {"channel": channel.id, "ts": message["ts"]}

    def _chat_postEphemeral(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's name
        channel = self._channel(arguments)
        if arguments.get("user") not in {user["id"] for user in self.users}:
            raise _Rejected("user_not_in_channel")
        self.ephemeral.append({"channel": channel.id, "user": arguments["user"], **self._content(arguments)})
        return {"message_ts": self._timestamp()}

    def _reactions_add(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(arguments)
        if arguments.get("timestamp") not in channel.messages:
            raise _Rejected("message_not_found")
        if not arguments["name"].replace("_", "").isalnum():
            raise _Rejected("invalid_name")
        reaction = (channel.id, arguments["timestamp"], arguments["name"])
        if reaction in self._reactions:
            raise _Rejected("already_reacted")
        self._reactions.add(reaction)
        return {}

    def _page(self, items: list[Any], key: str, arguments: dict[str, Any]) -> dict[str, Any]:
        limit = int(arguments.get("limit", 100))
        if not 0 < limit < 1000:
            raise _Rejected("invalid_limit")
        try:
            start = int(b64decode(arguments.get("cursor") or b64encode(b"0")))
        except ValueError:
            raise _Rejected("invalid_cursor") from None
        end = start + limit
        following = b64encode(str(end).encode()).decode() if end < len(items) else ""
        return {key: items[start:end], "response_metadata": {"next_cursor": following}}

    def _conversations_list(self, arguments: dict[str, Any]) -> dict[str, Any]:
        types = arguments.get("types", "public_channel").split(",")
        if not set(types) <= {"public_channel", "private_channel", "mpim", "im"}:
            raise _Rejected("invalid_types")
        found = [
            channel.view()
            for channel in self.channels.values()
            if ("private_channel" if channel.private else "public_channel") in types
            and not (channel.archived and arguments.get("exclude_archived") == "true")
        ]
        return self._page(found, "channels", arguments)

    def _conversations_members(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._channel(arguments)
        return self._page([user["id"] for user in self.users], "members", arguments)

    def _conversations_join(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel(arguments)
        if channel.member:
            warned = {"warnings": ["already_in_channel"]}
            return {"channel": channel.view(), "warning": "already_in_channel", "response_metadata": warned}
        channel.member = True
        return {"channel": channel.view()}

    def _users_list(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {**self._page(self.users, "members", arguments), "cache_ts": 1498777272}

    def _users_info(self, arguments: dict[str, Any]) -> dict[str, Any]:
        for user in self.users:
            if user["id"] == arguments.get("user"):
                return {"user": user}
        raise _Rejected("user_not_found")

    def _users_lookupByEmail(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's name
        for user in self.users:
            if user["profile"]["email"] == arguments.get("email"):
                return {"user": user}
        raise _Rejected("users_not_found")

    def _views_open(self, arguments: dict[str, Any]) -> dict[str, Any]:
        trigger = arguments.get("trigger_id", "")
        if trigger not in self.triggers:
            raise _Rejected("invalid_trigger_id")
        if not self.triggers[trigger]:
            raise _Rejected("exchanged_trigger_id" if trigger.startswith("fresh") else "expired_trigger_id")
        view = arguments.get("view", {})
        if view.get("type") != "modal" or "title" not in view:
            message = "[ERROR] missing required field: title [json-pointer:/view]"
            raise _Rejected("invalid_arguments", response_metadata={"messages": [message]})
        self.triggers[trigger] = False
        self.views.append(view)
        return {"view": {"id": f"V{len(self.views)}", "team_id": "T01", "hash": "1.a", "state": {"values": {}}, **view}}

    def _files_getUploadURLExternal(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's name
        if not arguments.get("filename") or not str(arguments.get("length", "")).isdigit():
            raise _Rejected("invalid_arguments", response_metadata={"messages": ["[ERROR] missing required field"]})
        file_id = f"F{len(self.uploads)}"
        self.uploads[file_id] = {"name": arguments["filename"], "length": int(arguments["length"]), "content": None}
        return {"upload_url": f"{self.url}/upload/{file_id}", "file_id": file_id}

    async def _upload(self, request: web.Request) -> web.Response:
        if (spoiled := self._spoiled()) is not None:
            return spoiled
        file = self.uploads.get(request.match_info["id"])
        if file is None:
            return web.Response(status=404)
        if "Authorization" in request.headers:
            return web.Response(status=400, text="an upload takes no token")
        if request.content_type == "multipart/form-data":
            part: Any = (await request.post())["filename" if "filename" in await request.post() else "file"]
            content = part.file.read()
        else:
            content = await request.read()
        if len(content) != file["length"]:
            return web.Response(status=400, text="another length was said")
        file["content"] = content
        return web.Response(text=f"OK - {len(content)}")

    def _files_completeUploadExternal(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - Slack's name
        made = []
        for one in arguments.get("files") or []:
            file = self.uploads.get(one.get("id"))
            if file is None or file["content"] is None:
                raise _Rejected("file_not_found")
            if arguments.get("channel_id"):
                channel = self._channel({"channel": arguments["channel_id"]})
                if not channel.member:
                    raise _Rejected("not_in_channel")
                ts = self._timestamp()
                text = arguments.get("initial_comment", "")
                channel.messages[ts] = {"user": BOT, "ts": ts, "text": text, "files": [one["id"]]}
            made.append({"id": one["id"], "title": one.get("title", file["name"])})
        if not made:
            raise _Rejected("invalid_arguments")
        return {"files": made}

    async def _hook(self, request: web.Request) -> web.Response:
        if (spoiled := self._spoiled()) is not None:
            return spoiled
        if request.match_info["hook"] != HOOK:
            return web.Response(status=404, text="no_service")
        try:
            message = await request.json()
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        if not any(message.get(name) for name in ("text", "blocks", "attachments")):
            return web.Response(status=400, text="no_text")
        if message.get("channel") == "nowhere":
            return web.Response(status=404, text="channel_not_found")
        self.hooked.append(message)
        return web.Response(text="ok")

    async def _respond(self, request: web.Request) -> web.Response:
        if (spoiled := self._spoiled()) is not None:
            return spoiled
        command = request.match_info["id"]
        if command == "expired":
            return web.json_response({"ok": False, "error": "expired_url"}, status=404)
        self._answers[command] += 1
        if self._answers[command] > 5:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        self.responses.append(await request.json())
        return web.Response(text="ok")
