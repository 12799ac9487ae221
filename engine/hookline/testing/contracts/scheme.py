"""The contract of schemes. A plugin's tests subclass `SchemeContract` and set its class attributes."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from random import Random
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from hookline.kernel.errors import CannotVerify, NotVerified, StepError
from hookline.sdk.http_client import HttpClient
from hookline.sdk.schemes import Scheme, SignedRequest, Verified
from hookline.secrets.masking import secret_values
from hookline.testing.fake_http import FailingHttp

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
HeaderPairs = Sequence[tuple[str, str]]

#: Values on which one library or another stumbles; headers come as Latin-1.
_ODDITIES = (
    *("", " ", ",", ";", "=", "v1", "v1,", "v1=", "sha256=", "t=,v1=", "t=1769860800,v1", "t=1,t=1,v1=00"),
    *("1769860800", "-1", "9" * 400, "1e9", "nan", "\u00b2", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
    *("Basic", "Basic =", "basic Og==", "Bearer a.b.c", "Bearer eyJhbGciOiJub25lIn0.e30.", "null", "{}", "[", "%00"),
    *("\xff\xfe", "\xe9 \xe9", "a" * 5000, "=" * 8, "\t", "text/plain", "multipart/form-data; boundary="),
)


class SchemeContract:
    """The tests. A subclass has `scheme`, `credential` and what else isn't as it is here.

    Requests are made with the scheme's own `sign`: a scheme that can't sign says with what it does in `signed`.
    """

    scheme: ClassVar[Scheme[Any, Any]]
    credential: ClassVar[Mapping[str, Any]]
    """Values of its credential, with which it can sign, too."""
    other_credential: ClassVar[Mapping[str, Any] | None] = None
    """A credential with another secret; None where that can't be made up."""
    settings: ClassVar[Mapping[str, Any]] = {}
    """The other settings of `verify`."""
    body: ClassVar[bytes] = b'{"id": 1}'
    """A body that the provider could send."""
    another_body: ClassVar[bytes] = b'{"id": 2}'
    signs_body: ClassVar[bool] = True
    """False: it says who sends, and nothing of what is sent; or its signature is within the body."""
    tolerance: ClassVar[timedelta | None] = None
    """The largest difference between the times of sending and of receipt; None if none is sent."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """Headers that it signs with, and does without: an id, for one."""
    url: ClassVar[str] = "https://hooks.example/hook/orders"

    def signed(self, body: bytes, credential: BaseModel, at: datetime) -> HeaderPairs:
        """The headers with which the provider sends a body."""
        return [
            (name.lower(), value)
            for name, value in self.scheme.sign(self._request((), at), body, credential, self._settings())
        ]

    async def test_what_it_signs_it_takes_however_it_arrives(self) -> None:
        for text in (self.body, self.another_body):
            body = self._complete(text)
            headers = self.signed(body, self._own, NOW)
            for cut in {0, 1, len(body) // 2, len(body)}:
                assert isinstance(await self._verify(headers, body[:cut], body[cut:]), Verified)

    async def test_another_body_is_rejected(self) -> None:
        if not self.signs_body:
            pytest.skip("it says nothing of what is sent")
        body, other = self._complete(self.body), self._complete(self.another_body)
        headers = self.signed(body, self._own, NOW)
        for wrong in (other, body[:-1], b""):
            await self._rejected(headers, wrong)

    async def test_another_secret_is_rejected(self) -> None:
        if self.other_credential is None:
            pytest.skip("it says no other secret")
        other = self._model(self.other_credential)
        body = self._complete(self.body, other)
        await self._rejected(self.signed(body, other, NOW), body)

    async def test_what_is_stale_or_of_the_future_is_rejected(self) -> None:
        if self.tolerance is None:
            pytest.skip("it sends no time")
        second = timedelta(seconds=1)
        for away in (self.tolerance - second, second - self.tolerance):
            body = self._complete(self.body, at=NOW + away)
            assert isinstance(await self._verify(self.signed(body, self._own, NOW + away), body), Verified)
        for away in (self.tolerance + 2 * second, -self.tolerance - 2 * second):
            body = self._complete(self.body, at=NOW + away)
            await self._rejected(self.signed(body, self._own, NOW + away), body)

    async def test_a_header_that_is_missing_empty_or_repeated_is_rejected(self) -> None:
        body = self._complete(self.body)
        headers = self.signed(body, self._own, NOW)
        for name, value in headers:
            await self._rejected([*headers, (name, value)], body)
            if name not in self.optional:
                others = [one for one in headers if one[0] != name]
                await self._rejected(others, body)
                await self._rejected([*others, (name, "")], body)

    async def test_whatever_is_sent_it_raises_nothing_else_and_names_no_secret(self) -> None:
        body = self._complete(self.body)
        right = list(self.signed(body, self._own, NOW))
        for headers in self._wild(right):
            for sent in (body, b"", b"\xff{"):
                with suppress(CannotVerify):
                    try:
                        assert isinstance(await self._verify(headers, sent), Verified)
                    except NotVerified as error:
                        self._names_no_secret(error.message)

    def test_an_empty_secret_is_no_credential(self) -> None:
        model = self.scheme.credential
        if model is None:
            pytest.skip("it takes no credential")
        secrets = set(secret_values(self._own))
        assert secrets, "nothing of its credential is declared secret"
        for name, value in self.credential.items():
            if isinstance(value, str) and value in secrets:
                with pytest.raises(ValueError, match=r".*"):
                    model.model_validate({**self.credential, name: ""})

    def test_a_credential_shows_no_secret(self) -> None:
        if self.scheme.credential is None:
            pytest.skip("it takes no credential")
        self._names_no_secret(repr(self._own) + str(self._own))

    def _wild(self, right: HeaderPairs) -> Iterator[HeaderPairs]:
        """Headers of any kind: all of them odd, or one of the right ones."""
        random = Random(1769860800)  # noqa: S311 - the same each time
        names = sorted({name for name, _ in right} | {"authorization", "content-type"})
        values = [*_ODDITIES]
        for _ in range(25):
            raw = random.randbytes(random.randrange(60))
            values += [raw.decode("latin-1"), b64encode(raw).decode(), raw.hex(), str(random.randrange(10**20))]
        for name, true in right:
            others = [one for one in right if one[0] != name]
            for value in (*values, true[:-1], true + "x", "\xe9" + true, true * 2, true + ",", true.upper()):
                yield [*others, (name, value)]
        for _ in range(100):
            yield [(random.choice(names), random.choice(values)) for _ in range(random.randrange(8))]

    def _names_no_secret(self, text: str) -> None:
        for secret in secret_values(self._own):
            assert secret not in text, "a secret is in what it says"

    async def _rejected(self, headers: HeaderPairs, body: bytes) -> None:
        with pytest.raises(NotVerified) as caught:
            await self._verify(headers, body)
        self._names_no_secret(caught.value.message)

    async def _verify(self, headers: HeaderPairs, *chunks: bytes) -> Verified:
        check = self.scheme.open(self._request(headers, NOW), self._own, self._settings())
        for chunk in chunks:
            check.feed(chunk)
        return await check.finish()

    def _complete(self, body: bytes, credential: BaseModel | None = None, at: datetime = NOW) -> bytes:
        credential = credential or self._own
        return self.scheme.complete(self._request((), at), body, credential, self._settings())

    def _request(self, headers: HeaderPairs, at: datetime) -> SignedRequest:
        http: HttpClient = FailingHttp(StepError("there is no network", code="http.connect", retryable=True))
        return SignedRequest("POST", self.url, tuple(headers), at, http)

    @cached_property
    def _own(self) -> BaseModel:
        # Reading a private key takes longer than verifying with it.
        return self._model(self.credential)

    def _model(self, values: Mapping[str, Any]) -> BaseModel:
        assert self.scheme.credential is not None
        return self.scheme.credential.model_validate(values)

    def _settings(self) -> BaseModel:
        return self.scheme.settings.model_validate(self.settings)
