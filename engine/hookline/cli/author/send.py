"""`hookline send FLOW FILE`."""

import asyncio
import mimetypes
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import click

from hookline.cli.author.named_flow import flow_of
from hookline.cli.client import ApiError, call
from hookline.cli.client.remote_choice import is_loopback, remote_of
from hookline.cli.command import Command, NotFound, emit
from hookline.cli.inputs import header_pairs
from hookline.cli.operate.credentials import read_values
from hookline.kernel.errors import CannotSign, ConfigError, FlowNotFound, StoreError
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from hookline.discovery.registry import Registry
    from hookline.flows.compiler.compiled_flow import CompiledFlow
    from hookline.service.signed_samples import SignedMessage, UnsignedMessage

_NONE: Final = "none"
#: A flow that replies may take its time.
_PATIENCE: Final = 600


@click.command(cls=Command, settings=("flows", "db", "host", "port"))
@click.argument("flow")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--sign",
    "scheme",
    metavar="SCHEME",
    help="Sign with this scheme; by default with the flow's scheme. none: don't sign.",
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Sign with these values (key=@path, key=- too) instead of the flow's credential.",
)
@click.option("--type", "media_type", metavar="TYPE", help="The media type; by default from the file's name.")
@click.option("--header", "-H", "headers", multiple=True, metavar="NAME:VALUE", help="A header of the request.")
@click.option("--method", default="POST", show_default=True, help="The request's method.")
@click.option("--query", default="", metavar="TEXT", help="The URL's query.")
@click.option("--url", metavar="URL", help="Another server, such as https://hooks.example.com.")
@click.option("--public", "to_public", is_flag=True, help="Send to the public_url, as the provider does.")
@click.pass_context
def send(
    ctx: click.Context,
    flow: str,
    file: Path,
    scheme: str | None,
    secrets: tuple[str, ...],
    media_type: str | None,
    headers: tuple[str, ...],
    method: str,
    query: str,
    url: str | None,
    to_public: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Send FILE (- is standard input) to FLOW (its id, or id/path), signed as the flow's provider would sign it.

    It is sent to the server of this machine, or to the remote server, and the address is printed first; --url and
    --public name another one.
    The message is signed with the flow's own credential, and nothing that shows the secret is returned. For schemes
    that send the secret itself (basic, api-key, …), and for the credentials of other servers, give --secret. Values
    that a provider writes into the body, such as a time, are added. Exit code 1 if the status is 400 or above, and 2 if
    the message can't be signed.
    """
    import msgspec

    from hookline.service.signed_samples import UnsignedMessage, hook_url

    given = header_pairs(headers)
    body = _read(file)
    flow_id, _, path = flow.partition("/")
    base, public = _addresses(settings, flow_id, url, to_public=to_public)
    rest = (f"/{quote(path)}" if path else "") + (f"?{query}" if query else "")
    method = method.upper()
    kind = media_type or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    if not any(name.lower() == "content-type" for name, _ in given):
        # The signature may depend on it.
        given.insert(0, ("content-type", kind))
    message = UnsignedMessage(body, method, public, rest, [list(pair) for pair in given])
    signed = _sign(settings, flow_id, scheme, read_values(secrets), message, base)
    # A later header replaces an earlier one of the same name, so the signed ones come last.
    sent = {name.lower(): _on_the_wire(value) for name, value in [*given, *signed.headers]}
    address = hook_url(base, flow_id, msgspec.structs.replace(message, base_url=None))
    if not as_json:
        click.echo(f"hookline: {method} {address}", err=True)
    answer = asyncio.run(_send(method, address, sent, b"" if method == "GET" else signed.body))
    answer = {"scheme": signed.scheme, **answer}
    emit(answer, as_json=as_json, text=lambda: _text(answer))
    if answer["status"] >= 400:
        ctx.exit(1)


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the file {path} can't be read: {error.strerror}") from error


def _addresses(settings: Settings, flow_id: str, url: str | None, *, to_public: bool) -> tuple[str, str | None]:
    """Return the URL to send to, and the public URL, which some providers sign; None if the server knows it."""
    from hookline.cli.options_from_settings import local_url
    from hookline.cli.running_server_file import find

    remote = remote_of(settings)
    if remote is not None and url is None:
        return _remote_address(settings, remote.url, flow_id, to_public=to_public), None
    if to_public:
        if url is not None or settings.public_url is None:
            raise click.UsageError("--public takes the setting public_url, and no --url")
        return settings.public_url, settings.public_url
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise click.UsageError(f"--url is an address such as https://hooks.example.com, and not {url!r}")
        return url, url
    running = find(settings)
    if running is not None:
        return running[0].hooks_url, settings.public_url
    base = local_url(settings.host, settings.port)
    return base, settings.public_url or base


def _remote_address(settings: Settings, remote: str, flow_id: str, *, to_public: bool) -> str:
    """The URL of a remote server's hooks: its public URL, or that of its admin API if it has none."""
    url: str | None = call(settings, "GET", "flows", flow_id)["url"]
    if url is None:
        return remote
    if is_loopback(urlsplit(url).hostname or "") and not is_loopback(urlsplit(remote).hostname or ""):
        if to_public:
            raise ConfigError(f"the server at {remote} has no public_url; leave --public out, or give the URL as --url")
        return remote
    return url.removesuffix(f"/hook/{flow_id}")


def _flow(settings: Settings, registry: "Registry", flow_id: str) -> "CompiledFlow":
    """Return a flow of the flows directory, or of the remote server. Raises FlowNotFound and FlowInvalid."""
    if remote_of(settings) is None:
        return flow_of(settings, registry, flow_id)
    from hookline.flows.compiler.compile import compile_flow
    from hookline.flows.documents.read import read
    from hookline.kernel.json import encode

    try:
        found = call(settings, "GET", "flows", flow_id, "versions", "current")
    except ApiError as error:
        if error.error_code != FlowNotFound.code:
            raise
        raise FlowNotFound(error.message) from None
    return compile_flow(read(encode(found["document"]), flow_id), registry)


def _on_the_wire(value: str) -> str:
    """Return the value of a header for a client that writes UTF-8; schemes return its bytes as Latin-1."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _sign(
    settings: Settings,
    flow_id: str,
    scheme: str | None,
    secrets: Mapping[str, Any],
    message: "UnsignedMessage",
    base: str,
) -> "SignedMessage":
    """`base`: the URL of the server, unless the message has its public URL."""
    import msgspec

    from hookline.service.signed_samples import SignedMessage

    if scheme == _NONE:
        return SignedMessage(_NONE, [], message.body)
    if secrets:
        return _sign_here(settings, flow_id, scheme, secrets, message, base)
    signed = msgspec.convert(
        call(settings, "POST", "flows", flow_id, "sign", body=message, missing="empty"), SignedMessage
    )
    if scheme is not None and signed.scheme != scheme:
        raise CannotSign(
            f"flow {flow_id!r} verifies with the scheme {signed.scheme!r}, so it has no credential for {scheme!r}; "
            "give one: --secret key=value"
        )
    return signed


def _sign_here(
    settings: Settings,
    flow_id: str,
    name: str | None,
    secrets: Mapping[str, Any],
    message: "UnsignedMessage",
    base: str,
) -> "SignedMessage":
    from hookline.credentials.stored_credentials import validated
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.kernel.clocks import SystemClock
    from hookline.kernel.suggestions_and_counts import did_you_mean
    from hookline.service.signed_samples import hook_url, sign

    registry = load_plugins()
    try:
        trigger = _flow(settings, registry, flow_id).trigger
    except FlowNotFound:
        # It may be a flow of another server.
        if name is None:
            raise
        trigger = None
    own = None if trigger is None or trigger.scheme is None else trigger.scheme.name
    name = name or own
    if name is None:
        raise CannotSign(f"flow {flow_id!r} verifies no signature; name a scheme: --sign SCHEME")
    scheme = registry.schemes.get(name)
    if scheme is None:
        near = did_you_mean(name, registry.schemes)
        raise NotFound(f"there is no scheme {name!r}" + (f" ({near})" if near else ""))
    chosen = trigger.scheme_settings if trigger is not None and own == name else None
    credential = validated(registry.credential_types, "--secret", name, secrets)
    try:
        chosen = scheme.settings() if chosen is None else chosen
    except ValueError:
        raise CannotSign(f"scheme {name!r} has settings that only a flow can give; name a flow that uses it") from None
    return sign(scheme, credential, chosen, message, hook_url(base, flow_id, message), SystemClock().now())


async def _send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    import aiohttp
    from yarl import URL

    from hookline.outbound.connection_errors import reason_of

    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(
                # As it was signed: a client must not normalize it.
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body or None,
                allow_redirects=False,
            ) as response,
        ):
            content = await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise StoreError(f"no server answers at {url}: {reason_of(error)}; `hookline serve` starts one") from error
    return {
        "url": url,
        "status": response.status,
        "reason": response.reason or _phrase(response.status),
        "headers": {name.lower(): value for name, value in response.headers.items()},
        "body": _decoded(content),
    }


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _decoded(content: bytes) -> Any:
    from hookline.kernel.json import decode

    try:
        return decode(content, exact=True) if content else None
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")


def _text(answer: Mapping[str, Any]) -> str:
    from hookline.kernel.json import encode

    lines = [f"{answer['status']} {answer['reason']}".rstrip()]
    body = answer["body"]
    if body is not None:
        lines.append(body if isinstance(body, str) else encode(body).decode())
    return "\n".join(lines)
