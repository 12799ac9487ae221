"""Access tokens without a service that gives them."""

from typing import Final

from hookline.kernel.errors import AuthExpired
from hookline.testing.fake_http import FakeHttp

TOKEN: Final = "access-token-of-a-test"  # noqa: S105 - nobody takes it
"""The first that is given, where a test says nothing else."""


class FakeTokens:
    """Gives a token, and another one for each that is rejected.

    With `lost=True` there is none: somebody has to authorize the credential again.
    """

    def __init__(self, http: object, token: str = TOKEN, *, lost: bool = False) -> None:
        """`http`: a `FakeHttp` shows no token in what it notes."""
        self.given: list[str] = []
        """The tokens that were given, in order."""
        self.lost = lost
        self._http = http
        self._current = token
        self._renewed = 0

    async def access_token(self, rejected: str | None = None) -> str:
        """See `Tokens`."""
        if self.lost:
            raise AuthExpired("credential 'test' has to be authorized again", code="oauth2.expired")
        if rejected == self._current:
            self._renewed += 1
            self._current = f"{self._current.partition('#')[0]}#{self._renewed}"
        if isinstance(self._http, FakeHttp):
            self._http.hide([self._current])
        self.given.append(self._current)
        return self._current
