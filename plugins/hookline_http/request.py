"""The action `http.request`."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from hookline.api import (
    Connector,
    Context,
    CredentialGoesTo,
    Duration,
    Either,
    Exposed,
    FromVars,
    JsonValue,
    Reach,
    Reply,
    StepError,
    credential_headers,
    message_attachment,
)
from hookline_http.oauth2_credential import OAUTH2, OAUTH2_TYPE, OAuth2Client, gives_token
from hookline_http.reference_text import DESCRIPTION, ERRORS, EXAMPLE
from hookline_http.response import reply

http = Connector(
    "http",
    title="HTTP",
    credential=OAuth2Client,
    credential_type=OAUTH2_TYPE,
    accepts=("bearer", "basic", "api-key"),
    oauth2=OAUTH2,
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
)
http.verify(gives_token)

MAX_FILE = 1_000_000_000

#: Makes the client's value for "no JSON"; as a factory, it isn't shown in the schema.
_NOT_GIVEN: Any = Field(default_factory=lambda: ...)


#: Methods whose repetition changes nothing more (RFC 9110).
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


def _idempotent(settings: Mapping[str, Any]) -> bool | None:
    """Return false if the settings remove the idempotency key, by which a server recognizes a repeated request."""
    method, headers = settings.get("method", "GET"), settings.get("headers")
    if not isinstance(method, str) or method.upper() in _REPEATABLE or not isinstance(headers, Mapping):
        return None
    return (
        False if any(name.lower() == "idempotency-key" and value is None for name, value in headers.items()) else None
    )


@http.action(idempotent=_idempotent)
async def request(
    ctx: Context[Any],
    url: Annotated[str, Reach("http_url"), Exposed(), CredentialGoesTo(), Field(description="The URL; http or https.")],
    method: Annotated[str, Field(pattern=r"^[A-Za-z]+$", description="The HTTP method.")] = "GET",
    headers: Annotated[
        dict[str, str | None] | None,
        Reach("request_header"),
        Field(description="The headers; one that is null is left out."),
    ] = None,
    query: Annotated[
        dict[str, JsonValue] | None,
        Exposed(),
        Field(
            description="Parameters that are added to the URL's query; a list repeats its key, one that is null is "
            "left out."
        ),
    ] = None,
    json: Annotated[
        Any,
        Either("form", "body", "file", required=False),
        Field(description="The body as a JSON value; null is a body too."),
    ] = _NOT_GIVEN,
    form: Annotated[dict[str, JsonValue] | None, Field(description="The body as form fields.")] = None,
    body: Annotated[str | None, Field(description="The body as text.")] = None,
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Reach("attachment"),
        Field(description="The body as a file: an attachment of the message, or its name."),
    ] = None,
    timeout: Annotated[
        Duration | None, Field(description="The longest time, from the start to the last byte; 30s by default.")
    ] = None,
    redirects: Annotated[int, Field(ge=0, le=20, description="The number of redirects that are followed.")] = 5,
    key_header: Annotated[
        str,
        FromVars(),
        Reach("request_header"),
        Field(description="The header in which a credential of type `api-key` is sent."),
    ] = "X-API-Key",
    max_bytes: Annotated[
        int | None,
        Field(
            gt=0,
            description="The maximum size of a response in bytes; by default 10 MB for JSON or text, and 1 GB for a "
            "file.",
        ),
    ] = None,
) -> Reply:
    """Send an HTTP request.

    The result's body is the decoded response: a JSON value or a text; any other content becomes the attachment
    `response`. The result also has the response's `headers` and its `status`. A status of 400 or above is the error
    `http.<status>`.

    The step's idempotency key is sent as `Idempotency-Key`, the same at each attempt, so a server that supports the
    header does the work once.
    """
    if (json is not ...) + (form is not None) + (body is not None) + (file is not None) > 1:
        values = {"json": None if json is ... else "", "form": form, "body": body, "file": file}
        given = [name for name, value in values.items() if value is not None]
        raise StepError(f"a request has one body, but this one has {' and '.join(given)}", code="http.body")
    made = {name: value for name, value in (headers or {}).items() if value is not None}
    names = {name.lower() for name in headers or {}}
    if "idempotency-key" not in names:
        made["Idempotency-Key"] = ctx.idempotency_key
    attached = None if file is None else message_attachment(ctx.message, file, setting="file", code="http.file")

    async def send(token: str | None = None) -> Reply:
        shown: dict[str, str] = {}
        if token is not None:
            shown = {"Authorization": f"Bearer {token}"}
        elif ctx.credential_type is not None:
            shown = credential_headers(ctx.credential_type, ctx.credential, key_header)
        for name in shown:
            if name.lower() in names:
                raise StepError(f"the header {name!r} comes from the credential; leave it out", code="http.header")
        async with ctx.http.stream(
            method,
            url,
            headers=made | shown,
            params=query,
            json=json,
            form=form,
            content=body,
            file=attached,
            timeout=None if timeout is None else timeout.total_seconds(),
            redirects=redirects,
            max_bytes=max_bytes,
        ) as response:
            return await reply(ctx, response, max_bytes or MAX_FILE)

    # A request that is answered with 401 had no effect, so it may be repeated with another token.
    return await (ctx.authorized(send) if ctx.credential_type == OAUTH2_TYPE else send())
