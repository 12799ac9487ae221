"""HTTP responses as bytes, for connections whose requests don't pass through a server."""

from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus

from hookline.kernel.errors import RequestRejected
from hookline.service.hook_request_and_response import HookResponse
from hookline.service.problem_documents import rejection_response
from hookline.service.sandbox_headers import SANDBOX


def raw_response(error: RequestRejected) -> bytes:
    """A rejection as an HTTP/1.1 response, the last of its connection."""
    return response_bytes(rejection_response(error), close=True)


def response_bytes(reply: HookResponse, headers: Sequence[tuple[bytes, bytes]] = (), *, close: bool) -> bytes:
    """A response with a body as HTTP/1.1. `headers`: further ones. `close`: it is the last of its connection."""
    lines = [_status_line(reply.status)]
    lines += [b"%b: %b\r\n" % header for header in headers]
    lines += [b"%b: %b\r\n" % header for header in (*reply.headers, *SANDBOX)]
    lines.append(b"content-length: %d\r\n" % len(reply.body))
    lines.append(b"connection: close\r\n\r\n" if close else b"\r\n")
    lines.append(reply.body)
    return b"".join(lines)


@lru_cache
def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())
