"""An answer as bytes, where no server speaks on the connection any more."""

from http import HTTPStatus

from hookline.kernel.errors import RequestRefused
from hookline.service.problems import refusal


def raw_answer(error: RequestRefused) -> bytes:
    """A refusal as HTTP/1.1, the last of its connection."""
    reply = refusal(error)
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body)), (b"connection", b"close")]
    head = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (reply.status, HTTPStatus(reply.status).phrase.encode(), head, reply.body)
