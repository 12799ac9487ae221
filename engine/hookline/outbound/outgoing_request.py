"""Outgoing requests: their assembly, and the request that follows a redirect. No I/O."""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace
from yarl import URL

from hookline.kernel.errors import StepError
from hookline.kernel.json import encode
from hookline.model.message import Attachment
from hookline.secrets.masking import MASK, HiddenValues

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: The client sets these itself. A second value would make request smuggling possible.
_FRAMING: Final = frozenset(
    {
        *("content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"),
        *("proxy-connection", "proxy-authorization", "http2-settings"),
    }
)
#: The headers that a redirect to another origin keeps. Any other header may be a secret, whatever its name.
_HARMLESS: Final = frozenset(
    {"accept", "accept-charset", "accept-language", "content-language", "content-type", "user-agent"}
)
#: The methods whose requests have no `Content-Length` unless they have a body.
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_ABOUT_CONTENT: Final = frozenset({"content-type", "content-language", "content-encoding", "content-disposition"})


class Outgoing(msgspec.Struct, frozen=True):
    """A request that is ready to be sent."""

    method: str
    url: URL
    """Without a user and a password, which are in a header."""
    headers: Mapping[str, str]
    body: bytes | Attachment | None

    @property
    def secrets(self) -> Iterator[str]:
        """The values, and parts of values, of headers that may be secrets. No message may show them."""
        for name, value in self.headers.items():
            if name.lower() in _HARMLESS or name.lower() == "idempotency-key":
                continue
            yield value
            if name.lower() == "authorization":
                scheme, _, rest = value.partition(" ")
                yield rest.strip()
                if scheme.lower() == "basic":
                    with suppress(ValueError):
                        yield b64decode(rest).decode("utf-8", "replace").partition(":")[2]

    def head(self, defaults: Mapping[str, str]) -> bytes:
        """Return the request line and the headers as they are sent.

        `defaults` are the lines of headers, by names in lower case, that are sent unless the request has them itself.
        """
        url, method, body = self.url, self.method, self.body
        target = f"{url.host_subcomponent}:{url.port}" if method == "CONNECT" else url.raw_path_qs
        lines = {"": f"{method} {target} HTTP/1.1", "host": f"Host: {url.host_port_subcomponent}", **defaults}
        given: set[str] = set()
        for name, value in self.headers.items():
            lower = name.lower()
            # Two that differ in case are sent both, except for the host, of which there is one.
            twice = lower in given and lower != "host"
            lines[lower] = f"{lines[lower]}\r\n{name}: {value}" if twice else f"{name}: {value}"
            given.add(lower)
        if body is not None:
            lines["content-length"] = f"Content-Length: {body.size if isinstance(body, Attachment) else len(body)}"
        elif method not in _WITHOUT_BODY:
            lines["content-length"] = "Content-Length: 0"
        return ("\r\n".join(lines.values()) + "\r\n\r\n").encode()

    def redirected(self, status: int, location: str) -> "Outgoing":
        """Return the request that follows a redirect. Raises StepError (`http.redirect`) if it is not allowed."""
        try:
            url = self.url.join(URL(location))
        except ValueError:
            raise StepError(f"{origin(self.url)} redirects to an invalid URL", code="http.redirect") from None
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise StepError(
                f"{origin(self.url)} redirects to {url.scheme!r}, which is not http or https", code="http.redirect"
            )
        drops_body = (status == 303 and self.method != "HEAD") or (status in (301, 302) and self.method == "POST")
        made = self
        if drops_body:
            kept = {name: value for name, value in self.headers.items() if name.lower() not in _ABOUT_CONTENT}
            made = replace(self, method="GET", headers=kept, body=None)
        user, url = _user(url), url.with_user(None)
        own = {} if user is None else {"Authorization": _basic(user)}
        if url.origin() == self.url.origin():
            kept = {name: value for name, value in made.headers.items() if not own or name.lower() != "authorization"}
            return replace(made, url=url, headers=kept | own)
        if made.body is not None and self.url.scheme == "https" and url.scheme == "http":
            raise StepError(
                f"{origin(self.url)} redirects to {origin(url)}, which would send the body without encryption",
                code="http.redirect",
            )
        kept = {name: value for name, value in made.headers.items() if name.lower() in _HARMLESS}
        return replace(made, url=url, headers=kept | own)


def origin(url: URL) -> str:
    """Return the scheme, host and port of a URL."""
    return str(url.origin())


_PATH: Final = 200
"""The number of characters of a path that a message shows."""
_SEGMENT_LIKE_A_TOKEN: Final = re.compile(r"(?<![^/])(?=[^/]*\d)(?=[^/]*[A-Za-z])[^/]{20,}+")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def address(sent: "Outgoing") -> str:
    """Return the part of a request's URL that a message may show: without its query, and without tokens in its path.

    Some services put a token into the path, as in the URL of an incoming webhook.
    """
    path = HiddenValues(sent.secrets).mask_text(sent.url.path)
    shown = _SEGMENT_LIKE_A_TOKEN.sub(lambda found: found[0] if _UUID.fullmatch(found[0]) else MASK, path)
    return origin(sent.url) + (shown if len(shown) <= _PATH else f"{shown[:_PATH]}…")


def outgoing(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    json: Any = ...,
    form: Mapping[str, Any] | None = None,
    content: bytes | str | None = None,
    file: Attachment | None = None,
    auth: tuple[str, str] | None = None,
) -> Outgoing:
    """Check and assemble a request. `json` is `...` if there is no JSON body, because null is one.

    Raises StepError (`http.url`, `http.header`), and ValueError for two bodies.
    """
    target = _url(url, params)
    if not _TOKEN.fullmatch(method):
        raise StepError(f"{method!r} is not an HTTP method", code="http.url")
    if (json is not ...) + (form is not None) + (content is not None) + (file is not None) > 1:
        raise ValueError("a request has one body: give one of json, form, content and file")
    made: dict[str, str] = {}
    given: set[str] = set()
    if headers:
        for name, value in headers.items():
            given.add(_checked(name))
            _check_value(name, value)
            made[name] = value
    body, media_type = _body(json, form, content, file)
    if media_type and "content-type" not in given:
        _check_value("Content-Type", media_type)
        made["Content-Type"] = media_type
    user = _user(target)
    if user is not None:
        if auth is not None:
            raise StepError("the request has both a credential and a user in its URL", code="http.header")
        auth, target = user, target.with_user(None)
    if auth is not None:
        if "authorization" in given:
            raise StepError("the request has both a credential and an Authorization header", code="http.header")
        made["Authorization"] = _basic(auth)
    return Outgoing(method.upper(), target, made, body)


def _user(url: URL) -> tuple[str, str] | None:
    """Return the user and the password of a URL."""
    if url.raw_user is None and url.raw_password is None:
        return None
    return url.user or "", url.password or ""


def _basic(auth: tuple[str, str]) -> str:
    return "Basic " + b64encode(":".join(auth).encode()).decode()


def _url(text: str, params: Mapping[str, Any] | None) -> URL:
    try:
        url = URL(text)
        _ = url.port, url.raw_host
    except ValueError:
        # Neither the text nor the library's message is repeated: both may have a password.
        raise StepError("the URL can't be read: its host or port is not valid", code="http.url") from None
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise StepError("the URL must begin with http:// or https:// and a host", code="http.url")
    return url.extend_query(list(_pairs(params))) if params else url


def _pairs(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        for item in value if isinstance(value, list | tuple) else (value,):
            if item is not None:
                yield str(key), item if isinstance(item, str) else encode(item).decode()


@lru_cache(256)
def _checked(name: str) -> str:
    """Return the name of a header in lower case. Raises StepError if no request may set it."""
    if not _TOKEN.fullmatch(name):
        raise StepError(f"{name!r} can't be the name of a header", code="http.header")
    lower = name.lower()
    if lower in _FRAMING:
        raise StepError(f"header {name!r} is set by the client; leave it out", code="http.header")
    return lower


def _check_value(name: str, value: str) -> None:
    if _FORBIDDEN.search(value):
        raise StepError(f"the value of header {name!r} has a line break or a control character", code="http.header")


def _body(
    json: Any, form: Mapping[str, Any] | None, content: bytes | str | None, file: Attachment | None
) -> tuple[bytes | Attachment | None, str]:
    if json is not ...:
        return encode(json), "application/json"
    if form is not None:
        return urlencode(list(_pairs(form))).encode(), "application/x-www-form-urlencoded"
    if isinstance(content, str):
        return content.encode(), "text/plain; charset=utf-8"
    if content is not None:
        return content, "application/octet-stream"
    if file is not None:
        return file, file.type
    return None, ""
