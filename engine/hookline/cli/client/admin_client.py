"""Requests to the admin API over any transport, and its errors."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote

from hookline.kernel.errors import HooklineError, Problem, StoreError
from hookline.kernel.json import decode, encode

API: Final = "/api/v1"


class ApiError(HooklineError):
    """The admin API rejected the request."""

    def __init__(self, message: str, code: str, problems: tuple[Problem, ...] = (), *, status: int = 0) -> None:
        super().__init__(message)
        self.error_code = code
        self.problems = problems
        self.status = status


class Transport(Protocol):
    """The way to an admin API."""

    url: str | None
    """The URL of the server that answers; None for the API in this process."""

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Return the status and the body of the response. Raises StoreError if there is none."""
        ...

    def events(self, query: Mapping[str, str]) -> AsyncIterator[Mapping[str, Any]]: ...


class Client:
    """Sends requests to the admin API.

    A path is given in parts, which are quoted; keyword arguments are the query, in which None is left out. Values are
    JSON, with exact numbers. Raises ApiError if the API rejects a request, and StoreError if no response comes.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def server(self) -> str | None:
        """The URL of the running server; None if the API is in this process."""
        return self._transport.url

    async def get(self, *path: str, **query: object) -> Any:
        return await self.request("GET", *path, body=None, if_match=None, **query)

    async def post(self, *path: str, body: Any = None, **query: object) -> Any:
        return await self.request("POST", *path, body=body, if_match=None, **query)

    async def request(
        self, method: str, *path: str, body: Any = None, if_match: str | None = None, **query: object
    ) -> Any:
        """`if_match`: the ETag of what is replaced, or `*`."""
        url = API + "".join(f"/{quote(part, safe='')}" for part in path)
        data = None if body is None else encode(body)
        status, content = await self._transport.request(method, url, _given(query), data, _condition(if_match))
        if status >= 300:
            raise _error(status, content, self.server)
        try:
            value = decode(content, exact=True) if content else None
        except (ValueError, RecursionError):
            value = _NONSENSE
        # Each answer of the API is an object, and those to GET aren't empty.
        if not isinstance(value, dict) and (value is not None or method == "GET"):
            raise StoreError(f"{self.server}{url} is not a Hookline server; {_REMEDY}")
        return value

    def events(self, **query: object) -> AsyncIterator[Mapping[str, Any]]:
        """The server's events from now on, each as `{"event", "data"}`, across breaks of the connection."""
        return self._transport.events(_given(query))


_NONSENSE: Final = ""
_NO_ROUTE: Final = "http.404"
_REMEDY: Final = "give the URL under which people reach the admin API, without /api/v1"


def _condition(if_match: str | None) -> dict[str, str]:
    if if_match is None:
        return {}
    return {"If-Match": if_match if if_match == "*" else f'"{if_match}"'}


def _given(query: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}


def _error(status: int, content: bytes, server: str | None) -> ApiError:
    try:
        document = decode(content)
        problems = tuple(
            Problem(
                one["detail"],
                one.get("pointer", ""),
                one.get("code", "invalid"),
                one.get("remedy", ""),
                line=one.get("line"),
            )
            for one in document.get("problems", ())
        )
        if document["code"] != _NO_ROUTE or server is None:
            return ApiError(document["detail"], document["code"], problems, status=status)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    # A proxy in front of the server, another server, or an address of the server that has no admin API.
    where = "" if server is None else f" at {server}; {_REMEDY}"
    return ApiError(f"the server answered {status}{where}", f"http.{status}", status=status)
