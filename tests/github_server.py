"""GitHub's REST API as its documentation describes it, as far as the connector goes: real HTTP, in memory.

It checks what GitHub checks (token, version, user agent, the fields of what is made), pages with `Link`, limits rates
as it is told, and sends signed events to the webhooks that were made.
"""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

TOKEN = "ghp_0123456789abcdefghij"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Rejected(Exception):
    """Answered with a status, and GitHub's kind of document."""

    def __init__(self, status: int, message: str, *errors: Any, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, "documentation_url": "https://docs.github.com/rest"}
        if errors:
            self.body["errors"] = list(errors)  # type: ignore[assignment]  # GitHub's document
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class GitHubServer:
    """One user with repositories `octo/app` and `octo/other`, and an organization `octo`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.issues: dict[str, dict[int, dict[str, Any]]] = {"octo/app": {}, "octo/other": {}}
        self.comments: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.releases: list[dict[str, Any]] = []
        self.dispatched: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.commits = 0
        self.hooks: dict[str, dict[int, dict[str, Any]]] = {
            "repos/octo/app": {},
            "repos/octo/other": {},
            "orgs/octo": {},
        }
        self.made = 0
        """How many webhooks were ever made."""
        self.rejects: list[Rejected] = []
        """Raised by the next requests, one each."""
        self.answers_late: Callable[[web.Request], Awaitable[None]] | None = None
        """Awaited after a request was done, and before it is answered."""
        self.app = web.Application(middlewares=[self._checks])
        route = self.app.router.add_route
        repo = "/repos/{owner}/{name}"
        route("GET", "/user", self._user)
        route("GET", f"{repo}/issues", self._list_issues)
        route("POST", f"{repo}/issues", self._create_issue)
        route("GET", repo + r"/issues/{number:\d+}", self._get_issue)
        route("PATCH", repo + r"/issues/{number:\d+}", self._update_issue)
        route("POST", repo + r"/issues/{number:\d+}/comments", self._comment)
        route("GET", repo + r"/issues/{number:\d+}/labels", self._labels)
        route("POST", repo + r"/issues/{number:\d+}/labels", self._add_labels)
        route("DELETE", repo + r"/issues/{number:\d+}/labels/{label}", self._remove_label)
        route("POST", repo + r"/statuses/{sha:[0-9a-f]{40}}", self._status)
        route("POST", f"{repo}/releases", self._release)
        route("POST", f"{repo}/actions/workflows/{{workflow}}/dispatches", self._dispatch)
        route("GET", f"{repo}/contents/{{path:.+}}", self._get_file)
        route("PUT", f"{repo}/contents/{{path:.+}}", self._put_file)
        for of in (repo, "/orgs/{organization}"):
            route("GET", f"{of}/hooks", self._list_hooks)
            route("POST", f"{of}/hooks", self._create_hook)
            route("GET", of + r"/hooks/{hook:\d+}", self._get_hook)
            route("PATCH", of + r"/hooks/{hook:\d+}", self._update_hook)
            route("DELETE", of + r"/hooks/{hook:\d+}", self._delete_hook)

    def all_hooks(self) -> list[dict[str, Any]]:
        """Those that there are, wherever."""
        return [hook for hooks in self.hooks.values() for hook in hooks.values()]

    async def send(self, hook: dict[str, Any], event: str, payload: Any, secret: str | None = None) -> int:
        """Send an event as GitHub does; gives the status of the answer."""
        body = json.dumps(payload).encode()
        key = hook["config"]["secret"] if secret is None else secret
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/0000000",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest(),
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(hook["config"]["url"], data=body, headers=headers) as response,
        ):
            return response.status

    @web.middleware
    async def _checks(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        try:
            if request.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise Rejected(401, "Bad credentials")
            if not request.headers.get("User-Agent"):
                raise Rejected(403, "Request forbidden by administrative rules")
            if request.headers.get("X-GitHub-Api-Version") != "2022-11-28":
                raise Rejected(400, "Unsupported API version")
            if self.rejects:
                raise self.rejects.pop(0)
            response = await handler(request)
        except Rejected as rejected:
            return web.json_response(rejected.body, status=rejected.status, headers=rejected.headers)
        except web.HTTPNotFound:
            return web.json_response({"message": "Not Found"}, status=404)
        if self.answers_late is not None:
            await self.answers_late(request)
        return response

    def _repository(self, request: web.Request) -> str:
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        if name not in self.issues:
            raise Rejected(404, "Not Found")
        return name

    def _issue(self, request: web.Request) -> dict[str, Any]:
        found = self.issues[self._repository(request)].get(int(request.match_info["number"]))
        if found is None:
            raise Rejected(404, "Not Found")
        return found

    async def _user(self, _request: web.Request) -> web.Response:
        return web.json_response({"login": "octocat", "id": 1})

    async def _list_issues(self, request: web.Request) -> web.Response:
        state, labels = request.query.get("state", "open"), request.query.get("labels")
        wanted = set(labels.split(",")) if labels else set()
        found = [
            issue
            for _, issue in sorted(self.issues[self._repository(request)].items(), reverse=True)
            if state in ("all", issue["state"]) and wanted <= {label["name"] for label in issue["labels"]}
        ]
        return self._page(request, found)

    def _page(self, request: web.Request, found: list[Any]) -> web.Response:
        size, page = min(int(request.query.get("per_page", 30)), 100), int(request.query.get("page", 1))
        links = []
        if page * size < len(found):
            following = request.url.update_query(page=page + 1)
            links = [
                f'<{following}>; rel="next"',
                f'<{request.url.update_query(page=-(-len(found) // size))}>; rel="last"',
            ]
        headers = {"Link": ", ".join(links)} if links else {}
        return web.json_response(found[(page - 1) * size : page * size], headers=headers)

    async def _create_issue(self, request: web.Request) -> web.Response:
        repository, given = self._repository(request), await request.json()
        if not isinstance(given.get("title"), str):
            raise Rejected(422, "Validation Failed", {"resource": "Issue", "field": "title", "code": "missing_field"})
        return web.json_response(self.add_issue(repository, **given), status=201)

    def add_issue(self, repository: str, title: str, **given: Any) -> dict[str, Any]:
        """Open an issue, or a pull request."""
        number = len(self.issues[repository]) + 1
        made = {
            "number": number,
            "title": title,
            "state": "open",
            "state_reason": None,
            "html_url": f"https://github.com/{repository}/issues/{number}",
            **given,
            "labels": [{"name": name} for name in given.get("labels", [])],
        }
        self.issues[repository][number] = made
        return made

    async def _get_issue(self, request: web.Request) -> web.Response:
        return web.json_response(self._issue(request))

    async def _update_issue(self, request: web.Request) -> web.Response:
        issue, given = self._issue(request), await request.json()
        if "labels" in given:
            given["labels"] = [{"name": name} for name in given["labels"]]
        issue |= given
        return web.json_response(issue)

    async def _comment(self, request: web.Request) -> web.Response:
        comment = {"id": len(self.comments) + 1, "issue": self._issue(request)["number"], **await request.json()}
        self.comments.append(comment)
        return web.json_response(comment, status=201)

    async def _labels(self, request: web.Request) -> web.Response:
        return web.json_response(self._issue(request)["labels"])

    async def _add_labels(self, request: web.Request) -> web.Response:
        issue = self._issue(request)
        names = [label["name"] for label in issue["labels"]] + (await request.json())["labels"]
        issue["labels"] = [{"name": name} for name in dict.fromkeys(names)]
        return web.json_response(issue["labels"])

    async def _remove_label(self, request: web.Request) -> web.Response:
        issue, label = self._issue(request), request.match_info["label"]
        if label not in [one["name"] for one in issue["labels"]]:
            raise Rejected(404, "Label does not exist")
        issue["labels"] = [one for one in issue["labels"] if one["name"] != label]
        return web.json_response(issue["labels"])

    async def _status(self, request: web.Request) -> web.Response:
        self._repository(request)
        given = await request.json()
        if given.get("state") not in ("error", "failure", "pending", "success"):
            raise Rejected(422, "Validation Failed", {"resource": "Status", "field": "state", "code": "invalid"})
        self.statuses.append({"sha": request.match_info["sha"], **given})
        return web.json_response({"id": len(self.statuses), **given}, status=201)

    async def _release(self, request: web.Request) -> web.Response:
        self._repository(request)
        given = await request.json()
        if any(release["tag_name"] == given["tag_name"] for release in self.releases):
            raise Rejected(
                422, "Validation Failed", {"resource": "Release", "code": "already_exists", "field": "tag_name"}
            )
        self.releases.append(given)
        return web.json_response({"id": len(self.releases), **given}, status=201)

    async def _dispatch(self, request: web.Request) -> web.Response:
        self._repository(request)
        given = await request.json()
        if request.match_info["workflow"] != "deploy.yml":
            raise Rejected(404, "Not Found")
        if not all(isinstance(value, str) for value in given.get("inputs", {}).values()):
            raise Rejected(422, "Invalid type for input")
        self.dispatched.append(given)
        return web.Response(status=204)

    async def _get_file(self, request: web.Request) -> web.Response:
        self._repository(request)
        path = request.match_info["path"]
        if any(name.startswith(f"{path}/") for name in self.files):
            return web.json_response([{"type": "file", "path": name} for name in self.files])
        content = self.files.get(path)
        if content is None:
            raise Rejected(404, "Not Found")
        if request.headers["Accept"].startswith("application/vnd.github.raw"):
            return web.Response(body=content, content_type="application/vnd.github.raw+json")
        about = {"type": "file", "path": path, "size": len(content), "sha": _sha(content)}
        if len(content) > 1_000_000:
            return web.json_response({**about, "encoding": "none", "content": ""})
        # In lines, as GitHub writes it.
        return web.json_response({**about, "encoding": "base64", "content": base64.encodebytes(content).decode()})

    async def _put_file(self, request: web.Request) -> web.Response:
        self._repository(request)
        path, given = request.match_info["path"], await request.json()
        there = self.files.get(path)
        if there is not None and "sha" not in given:
            raise Rejected(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
        if there is not None and given["sha"] != _sha(there):
            raise Rejected(409, f"{path} does not match {given['sha']}")
        self.files[path] = content = base64.b64decode(given["content"], validate=True)
        self.commits += 1
        commit = {"sha": f"{self.commits:040x}", "message": given["message"]}
        status = 201 if there is None else 200
        return web.json_response({"content": {"path": path, "sha": _sha(content)}, "commit": commit}, status=status)

    def _hooks(self, request: web.Request) -> dict[int, dict[str, Any]]:
        found = self.hooks.get(request.path.strip("/").partition("/hooks")[0])
        if found is None:
            raise Rejected(404, "Not Found")
        return found

    def _hook(self, request: web.Request) -> dict[str, Any]:
        found = self._hooks(request).get(int(request.match_info["hook"]))
        if found is None:
            raise Rejected(404, "Not Found")
        return found

    async def _list_hooks(self, request: web.Request) -> web.Response:
        return self._page(request, [_shown(hook) for hook in self._hooks(request).values()])

    async def _create_hook(self, request: web.Request) -> web.Response:
        hooks, given = self._hooks(request), await request.json()
        self._check_hook(given)
        if given.get("name") != "web":
            raise Rejected(422, "Validation Failed", {"resource": "Hook", "field": "name", "code": "invalid"})
        if any(hook["config"]["url"] == given["config"]["url"] for hook in hooks.values()):
            error = {"resource": "Hook", "code": "custom", "message": "Hook already exists on this repository"}
            raise Rejected(422, "Validation Failed", error)
        self.made += 1
        number = 1000 + self.made
        hooks[number] = hook = {"id": number, "type": "Repository", **given}
        # It comes before the request is answered, or at about the same time.
        self.pinged = await self.send(hook, "ping", {"zen": "Keep it logically awesome.", "hook_id": number})
        return web.json_response(_shown(hook), status=201)

    async def _get_hook(self, request: web.Request) -> web.Response:
        return web.json_response(_shown(self._hook(request)))

    async def _update_hook(self, request: web.Request) -> web.Response:
        hook, given = self._hook(request), await request.json()
        self._check_hook(given)
        hook |= given
        return web.json_response(_shown(hook))

    async def _delete_hook(self, request: web.Request) -> web.Response:
        self._hook(request)
        del self._hooks(request)[int(request.match_info["hook"])]
        return web.Response(status=204)

    def _check_hook(self, given: Any) -> None:
        if not given.get("config", {}).get("url", "").startswith("http"):
            raise Rejected(422, "Validation Failed", {"resource": "Hook", "field": "url", "code": "missing_field"})
        known = {"*", "push", "issues", "pull_request", "release", "ping"}
        if unknown := sorted(set(given.get("events", ())) - known):
            raise Rejected(422, "Validation Failed", f"The events {unknown} are not valid")


def limited(left: float = 30) -> Rejected:
    """The primary rate limit is used up."""
    return Rejected(
        403,
        "API rate limit exceeded for user ID 1.",
        x_ratelimit_remaining="0",
        x_ratelimit_reset=str(int(time.time() + left)),
    )


def _shown(hook: dict[str, Any]) -> dict[str, Any]:
    return {**hook, "config": {**hook["config"], "secret": "********"}}


def _sha(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
