"""Asking a running server through its admin API."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from hookline.kernel.errors import HooklineError, Problem, StoreError
from hookline.kernel.json import decode, encode


class ServerRejected(HooklineError):
    """The server rejected."""

    def __init__(self, message: str, code: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(message)
        self.error_code = code
        self.problems = problems


class Remote:
    """Through a running server. Those that ask of one subject extend it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        """`session` sends the admin token; `url` is the server's."""
        self._session = session
        self._api = f"{url}/api/v1"

    async def _ask(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """What the API answers to a request. Raises ServerRejected and StoreError."""
        params = {name: str(value) for name, value in (query or {}).items() if value is not None}
        data = None if body is None else encode(body)
        try:
            async with self._session.request(method, self._api + path, params=params, data=data) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise StoreError(f"the server at {self._api} doesn't answer: {error}") from error
        if response.status < 400:
            # What executions hold is shown with the digits that it has there.
            return decode(content, exact=True) if content else None
        raise _rejection(response.status, content)


def flow_path(flow_id: str) -> str:
    """Where the API has a flow."""
    return f"/flows/{quote(flow_id, safe='')}"


def execution_path(execution_id: str) -> str:
    """Where it has an execution."""
    return f"/executions/{quote(execution_id, safe='')}"


def _rejection(status: int, content: bytes) -> ServerRejected:
    try:
        document = decode(content)
        problems = tuple(
            Problem(one["detail"], one.get("pointer", ""), one.get("code", "invalid"), one.get("remedy", ""))
            for one in document.get("problems", ())
        )
        return ServerRejected(document["detail"], document["code"], problems)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServerRejected(f"the server answered {status}", f"http.{status}", ())
