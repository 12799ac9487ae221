"""Requests that a server gives to the hook itself, without ASGI and its messages: whole ones to `/hook/…`."""

from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.service.server.framing import Whole
from hookline.service.server.hook_application import HOOK

_PREFIX: Final = HOOK.encode()


class Direct(Protocol):
    """The hook, as a server calls it."""

    def begin(self, request: HookRequest, body: bytes, answer: Callable[[HookResponse], None]) -> bool:
        """Begin to handle a request, and return True; then `answer` is called on the event loop, once.

        False: nothing has happened, and the request has to come through ASGI.
        """
        ...


def hook_request(whole: Whole, client: str | None) -> HookRequest | None:
    """The request to the hook; None if it is another, or its path has to be decoded."""
    head = whole.head
    raw_path, _, query = head.target.partition(b"?")
    if not raw_path.startswith(_PREFIX) or b"%" in raw_path:
        return None
    return HookRequest(
        method=head.method.decode(),
        path=raw_path[len(_PREFIX) :].decode(),
        raw_path=raw_path,
        query=query,
        headers=head.fields,
        body=_NOTHING,
        client=client,
    )


class _Nothing:
    """The body of such a request, which is given beside it."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


_NOTHING: Final = _Nothing()
