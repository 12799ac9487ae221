"""The header `Link`, from which the next page is read."""

import pytest

from hookline.sdk.pagination import next_link


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://api.example/orders?page=2>; rel="next"', "https://api.example/orders?page=2"),
        ('<https://a.example/1>; rel="prev", <https://a.example/3>; rel="next"', "https://a.example/3"),
        ("</orders?page=2>;rel=next", "/orders?page=2"),
        ('<?page=2> ; title="a, \\"b\\"; rel=last" ; REL="last  Next"', "?page=2"),
        ('<?a=1,2;3>; rel="next"', "?a=1,2;3"),
        ('<?page=2>; rel="prev"; rel="next"', None),
        ('<?page=9>; rel="last"', None),
        ('<?page=2>; title="next"', None),
        ("<?page=2>", None),
        ('rel="next"', None),
        ("<?page=2; rel=next", None),
        ("", None),
    ],
)
def test_the_next_link_is_the_first_one_with_that_relation(header: str, target: str | None) -> None:
    assert next_link(header) == target


def test_a_long_header_takes_no_time() -> None:
    assert next_link("<" * 4000 + " ;" * 4000 + '"' * 4001) is None
