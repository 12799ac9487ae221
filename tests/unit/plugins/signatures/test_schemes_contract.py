"""Each of Hookline's own schemes does what every scheme has to do."""

from typing import Any

import pytest
from tests.unit.plugins.signatures.scheme_cases import CASES, OPTIONAL, SCHEMES, SHAPES, SHARED_SECRETS, TIMED, case

from hookline.testing.contracts.scheme import HeaderPairs, SchemeContract

#: Those that sign nothing of the body, and those whose signature is within it, which their own files alter.
WITHIN = ("gitlab, token", "microsoft-graph", "mailgun", "sns, pinned")


class Ours(SchemeContract):
    """What is common to them."""

    def signed(self, body: bytes, credential: Any, at: Any) -> HeaderPairs:
        # SNS says of its JSON that it is a text, and nothing judges by that.
        return [one for one in super().signed(body, credential, at) if one[1] != "text/plain; charset=UTF-8"]


def contract(name: str) -> type[Ours]:
    """The tests of one case."""
    scheme_name, credential, settings = CASES[name]
    scheme, _, chosen = case(name)
    shaped = SHAPES.get(scheme_name, bytes)
    return type(
        "Test" + "".join(word.capitalize() for word in name.replace(",", "").replace("-", " ").split()),
        (Ours,),
        {
            "scheme": scheme,
            "credential": credential,
            "other_credential": SHARED_SECRETS.get(name),
            "settings": settings,
            "body": shaped(b'{"id": 1}'),
            "another_body": shaped(b'{"id": 2}'),
            "signs_body": scheme.reads_body and name not in WITHIN,
            "tolerance": chosen.tolerance if name in TIMED else None,
            "optional": frozenset(OPTIONAL),
        },
    )


for _name in CASES:
    _made = contract(_name)
    globals()[_made.__name__] = _made


def test_each_scheme_has_its_tests() -> None:
    tested = {value.scheme.name for value in globals().values() if isinstance(value, type) and hasattr(value, "scheme")}
    assert tested == SCHEMES.keys()


async def test_the_contract_finds_a_scheme_that_is_not_total() -> None:
    class Careless(contract("hmac")):  # type: ignore[misc]  # it is made above
        def signed(self, body: bytes, credential: Any, at: Any) -> HeaderPairs:
            return [*super().signed(body, credential, at), ("x-unread", "1")]

    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await Careless().test_a_header_that_is_missing_empty_or_repeated_is_rejected()
