"""An OAuth 2 authorization server with a resource, on authlib's server side: real HTTP on 127.0.0.1."""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, OAuth2Error, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenGenerator, BearerTokenValidator
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask, Response, jsonify, request
from werkzeug.serving import WSGIRequestHandler, make_server

CLIENT_ID = "hookline-client"
CLIENT_SECRET = "s3cret:of/the client"
"""Has what a form encodes, so that it has to be encoded in `Authorization: Basic` as well."""
SCOPES = "orders.read orders.write"


@dataclass
class Client(ClientMixin):
    auth_methods: set[str] = field(default_factory=lambda: {"client_secret_basic"})
    secret: str = CLIENT_SECRET
    redirect_uris: set[str] = field(default_factory=set)
    """Besides those of loopback addresses, whose port is free to choose (RFC 8252, 7.3)."""

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(one for one in (scope or "").split() if one in SCOPES.split())

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.startswith("http://127.0.0.1:") or redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in self.auth_methods

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token", "client_credentials")


@dataclass
class Code(AuthorizationCodeMixin):
    code: str
    redirect_uri: str
    scope: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Token(TokenMixin):
    client: Client
    access_token: str
    refresh_token: str | None
    scope: str
    expires_in: int
    expires_at: datetime
    now: Callable[[], datetime]
    revoked: bool = False
    refresh_revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return client is self.client

    def get_scope(self) -> str:
        return self.scope

    def get_expires_in(self) -> int:
        return self.expires_in

    def is_expired(self) -> bool:
        return self.now() >= self.expires_at

    def is_revoked(self) -> bool:
        return self.revoked

    def get_user(self) -> str:
        return "jo"

    def get_client(self) -> Client:
        return self.client


class AuthorizationService:
    """The server, and what a test may want to know of it or change. `now` is the test's clock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.client = Client()
        self.lifetime = 3600
        self.rotates = True
        """Each renewal gives a new refresh token, and takes the old one no more."""
        self.denies = False
        """The user doesn't agree."""
        self.answers: list[tuple[int, dict[str, str], str]] = []
        """What token requests are answered next, in place of tokens: status, headers, body."""
        self.held = threading.Event()
        """Token requests wait for it."""
        self.held.set()
        self.asked: list[dict[str, str]] = []
        """The forms of the token requests."""
        self.authorized: list[dict[str, str]] = []
        """The authorization requests."""
        self.tokens: list[Token] = []
        self.codes: dict[str, Code] = {}
        self.url = ""
        self.arrived = threading.Semaphore(0)
        """Released for each token request that has come."""

    def revoke(self) -> None:
        """Take each token away that was given, refresh tokens too."""
        for token in self.tokens:
            token.revoked = token.refresh_revoked = True

    def spoil(self) -> None:
        """Take the access tokens away, and leave what renews them."""
        for token in self.tokens:
            token.revoked = True

    def secrets(self) -> Iterator[str]:
        """Whatever must be seen nowhere."""
        yield CLIENT_SECRET
        for token in self.tokens:
            yield token.access_token
            if token.refresh_token:
                yield token.refresh_token
        for form in self.asked:
            yield from (form[name] for name in ("code", "code_verifier") if name in form)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve, in a thread."""
        server = make_server("127.0.0.1", 0, self._app(), threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{server.port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            self.held.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def _app(self) -> Flask:
        app = Flask("authorization server")
        server = AuthorizationServer(app, self._client, self._keep)
        server.register_token_generator(
            "default",
            BearerTokenGenerator(
                lambda **_: f"access-{secrets.token_urlsafe(16)}",
                lambda **_: f"refresh-{secrets.token_urlsafe(16)}",
                lambda client, grant_type: self.lifetime,
            ),
        )
        self._register_grants(server)
        protect = ResourceProtector()
        protect.register_token_validator(_Validator(self))

        @app.get("/authorize")
        def authorize() -> Any:
            self.authorized.append(dict(request.args))
            try:
                grant = server.get_consent_grant(end_user="jo")
            except OAuth2Error as error:
                return jsonify(error.get_body()), 400
            return server.create_authorization_response(grant=grant, grant_user=None if self.denies else "jo")

        @app.post("/token")
        def token() -> Any:
            self.asked.append(dict(request.form))
            self.arrived.release()
            self.held.wait(10)
            if self.answers:
                status, headers, body = self.answers.pop(0)
                return Response(body, status, headers)
            return server.create_token_response()

        @app.get("/me")
        @protect()
        def me() -> Any:
            return jsonify({"name": "jo"})

        return app

    def _client(self, client_id: str) -> Client | None:
        return self.client if client_id == CLIENT_ID else None

    def _keep(self, token: dict[str, Any], asked: Any) -> None:
        lifetime = token["expires_in"]
        self.tokens.append(
            Token(
                self.client,
                token["access_token"],
                token.get("refresh_token"),
                token.get("scope", ""),
                lifetime,
                self.now() + timedelta(seconds=lifetime),
                self.now,
            )
        )

    def _register_grants(self, server: AuthorizationServer) -> None:
        service = self

        class ByCode(grants.AuthorizationCodeGrant):  # type: ignore[misc]  # authlib has no types
            TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]  # noqa: RUF012 - authlib's

            def save_authorization_code(self, code: str, asked: Any) -> None:
                data = asked.payload.data
                service.codes[code] = Code(
                    code,
                    asked.payload.redirect_uri,
                    asked.payload.scope or "",
                    data.get("code_challenge"),
                    data.get("code_challenge_method"),
                )

            def query_authorization_code(self, code: str, client: Client) -> Code | None:
                return service.codes.get(code)

            def delete_authorization_code(self, authorization_code: Code) -> None:
                del service.codes[authorization_code.code]

            def authenticate_user(self, authorization_code: Code) -> str:
                return "jo"

        class Renewal(grants.RefreshTokenGrant):  # type: ignore[misc]  # as above
            TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]  # noqa: RUF012 - authlib's

            @property
            def INCLUDE_NEW_REFRESH_TOKEN(self) -> bool:  # noqa: N802 - authlib's
                return service.rotates

            def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
                for token in service.tokens:
                    if token.refresh_token == refresh_token and not token.refresh_revoked:
                        return token
                return None

            def authenticate_user(self, refresh_token: Token) -> str:
                return "jo"

            def revoke_old_credential(self, refresh_token: Token) -> None:
                refresh_token.revoked = True
                refresh_token.refresh_revoked = service.rotates

        class ForItself(grants.ClientCredentialsGrant):  # type: ignore[misc]  # as above
            TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]  # noqa: RUF012 - authlib's

        server.register_grant(ByCode, [CodeChallenge(required=True)])
        server.register_grant(Renewal)
        server.register_grant(ForItself)


class _Validator(BearerTokenValidator):  # type: ignore[misc]  # authlib has no types
    def __init__(self, service: AuthorizationService) -> None:
        super().__init__()
        self._service = service

    def authenticate_token(self, token_string: str) -> Token | None:
        return next((token for token in self._service.tokens if token.access_token == token_string), None)


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass
