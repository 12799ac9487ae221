"""Requests to a service: models of responses, bodies that are mappings, and headers that are declared once."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from hookline.api import (
    PollItem,
    RateLimits,
    ServiceCredential,
    StepError,
    VerifyContext,
    items_above,
    linked_items,
    read_as,
)
from hookline.sdk.http_client import Response
from hookline.testing.fake_http import FakeHttp

URL = "https://api.acme.example/v2"


class Key(ServiceCredential):
    base_url: str = Field(URL)
    token: SecretStr = SecretStr("abc")

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token.get_secret_value()}", "X-Version": "2"}


class Order(BaseModel):
    id: int
    lines: list[str] = []


@dataclass
class Line:
    sku: str


class Recorded(FakeHttp):
    """Keeps the headers that were sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str, dict[str, str]]] = []

    async def request(self, method: str, url: str, **options: Any) -> Response:
        self.sent.append((method, url, dict(options.get("headers") or {})))
        return await super().request(method, url, **options)


@pytest.fixture
def http() -> Recorded:
    return Recorded()


def context(http: FakeHttp, credential: object) -> VerifyContext[Any]:
    return VerifyContext(credential, http, log=None, resources=None)  # type: ignore[arg-type]  # not used here


async def test_a_response_is_a_model_or_a_list_of_them_or_a_dataclass(http: Recorded) -> None:
    http.answers("GET", f"{URL}/orders", [{"id": 1}, {"id": "2", "lines": ["a"]}])
    http.answers("POST", f"{URL}/orders", {"id": 3})
    http.answers("PUT", f"{URL}/lines", {"sku": "a"})
    assert await http.get_as(list[Order], f"{URL}/orders") == [Order(id=1), Order(id=2, lines=["a"])]
    assert await http.post_as(Order, f"{URL}/orders", {"sku": "a"}) == Order(id=3)
    assert await http.request_as(Line, "PUT", f"{URL}/lines") == Line("a")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "the response is no Order: id: it is missing"),
        ({"id": "x"}, "the response is no Order: id: it must be a whole number"),
        ({"id": 1, "lines": ["a", 2]}, "the response is no Order: lines.1: it must be text"),
        (None, "the response is no Order: it must be an object"),
    ],
)
def test_a_response_that_does_not_fit_names_the_place_and_shows_no_value(value: Any, said: str) -> None:
    with pytest.raises(StepError) as raised:
        read_as(Order, value)
    assert raised.value.error_code == "http.body"
    assert raised.value.message == said


async def test_a_body_is_any_mapping(http: Recorded) -> None:
    body: Mapping[str, object] = MappingProxyType({"sku": "a", "more": MappingProxyType({"n": 1})})
    http.answers("POST", f"{URL}/orders", {"id": 3}, sent={"sku": "a", "more": {"n": 1}})
    assert await http.post_json(f"{URL}/orders", body) == {"id": 3}
    with pytest.raises(TypeError, match="a value of type object"):
        await http.post_json(f"{URL}/orders", {"sku": object()})


async def test_the_headers_of_a_credential_are_declared_once(http: Recorded) -> None:
    http.answers("GET", f"{URL}/me", {"id": 1})
    service = context(http, Key()).service
    for url in ("/me", "me", f"{URL}/me"):
        assert await service.get_as(Order, url, headers={"x-version": "3"}) == Order(id=1)
    assert http.sent == [("GET", f"{URL}/me", {"Authorization": "Bearer abc", "x-version": "3"})] * 3
    async with service.stream("GET", "/me") as response:
        assert (await response.read()).json() == {"id": 1}


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/me",
        "http://api.acme.example/v2/me",
        "https://api.acme.example:444/",
        "https://api.acme.example@evil.example/",
        "https://api.acme.example.evil.example/",
    ],
)
async def test_a_credential_goes_to_no_other_origin(http: Recorded, url: str) -> None:
    with pytest.raises(StepError) as raised:
        await context(http, Key()).service.get_json(url)
    assert (raised.value.error_code, http.sent) == ("http.url", [])


@pytest.mark.parametrize("path", ["//evil.example/me", "/\\evil.example", "@evil.example", "?u=https://evil.example"])
async def test_a_path_stays_below_the_url_of_the_service(http: Recorded, path: str) -> None:
    with pytest.raises(AssertionError):  # nobody told what it answers
        await context(http, Key()).service.get_json(path)
    assert http.sent[0][1].startswith(f"{URL}/")


def test_a_credential_of_another_kind_is_a_defect(http: Recorded) -> None:
    with pytest.raises(TypeError, match="ServiceCredential"):
        _ = context(http, None).service


async def test_pages_are_read_through_the_service(http: Recorded) -> None:
    http.answers("GET", f"{URL}/orders", [1, 2], headers={"link": f'<{URL}/orders?page=2>; rel="next"'})
    http.answers("GET", f"{URL}/orders?page=2", [3])
    found = [one async for one in linked_items(context(http, Key()).service, "/orders", rate_limits=RateLimits())]
    assert found == [1, 2, 3]
    assert {sent[2]["Authorization"] for sent in http.sent} == {"Bearer abc"}


async def test_new_items_are_found_in_an_async_iterator_which_is_read_no_further_than_the_limit() -> None:
    read: list[int] = []

    async def listed() -> AsyncIterator[int]:
        try:
            for number in range(100):
                read.append(number)
                yield number
        finally:
            read.append(-1)

    def item(number: int) -> PollItem:
        return PollItem(str(number), number)

    polled = await items_above(listed(), None, mark=lambda one: one, item=item, limit=3)
    same = items_above(range(100), None, mark=lambda one: one, item=item, limit=3)
    assert (polled, read) == (same, [0, 1, 2, 3, -1])
    assert [one.body for one in polled.items] == [0, 1, 2]
