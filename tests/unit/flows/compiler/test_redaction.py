"""What a flow redacts: which paths can be said, and what is masked by them and by their values."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.discovery.registry import Registry
from hookline.flows.compiler.compile import compile_document, compile_flow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.kernel.errors import FlowInvalid, RedactedUnreadable
from hookline.kernel.json import encode
from hookline.secrets.encryption import DataKey, Vault, generate_key, read_keys
from hookline.secrets.masking import MASK, HiddenValues, Wildcard, mask_path

HOOK = {"use": "webhook", "with": {"verify": "none"}}


def document(*paths: str, **more: Any) -> dict[str, Any]:
    steps = [{"id": "charge", "use": "map", "with": {"body": "$.body"}}]
    return {"id": "pays", "trigger": HOOK, "redact": list(paths), "steps": steps} | more


def compiled(registry: Registry, *paths: str) -> CompiledFlow:
    return compile_flow(encode(document(*paths)), registry)


def problems(registry: Registry, flow: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    found = compile_document(read(encode(flow)), registry).problems
    return [(one.code, one.pointer, one.severity) for one in found if one.code.startswith("redact")]


MESSAGE: dict[str, Any] = {
    "body": {"card": {"number": "4929", "größe": 3}, "lines": [{"pin": 1, "sku": "a"}, {"pin": 2}], "0": "zero"},
    "headers": {"x-pin": "9", "date": "today"},
    "query": {"token": "t"},
    "path": "/a/b",
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.body.card.number", ["4929"]),
        ("$.trigger.body.card.number", ["4929"]),
        ("$.body['card']['größe']", [3]),
        ("$.body.lines[*].pin", [1, 2]),
        ("$.body.lines[-1].pin", [2]),
        ("$.body.*.number", ["4929"]),
        ("$..pin", [1, 2]),
        ("$.body..pin", [1, 2]),
        ("$.headers.X-Pin", ["9"]),
        ("$.headers", [{"x-pin": "9", "date": "today"}]),
        ("$.trigger.query.token", ["t"]),
        ("$.trigger.path", ["/a/b"]),
        ("$.body['card','lines']", [MESSAGE["body"]["card"], MESSAGE["body"]["lines"]]),
        ("$.body.nothing.there", []),
        ("$.body.lines[7].pin", []),
    ],
)
def test_paths(registry: Registry, path: str, found: list[Any]) -> None:
    """Each finds what expressions would read there, and leaves the message itself as it was."""
    before = encode(MESSAGE)
    redaction = compiled(registry, path).redaction_rules
    assert redaction is not None
    got: list[Any] = []
    shown = redaction.in_message(MESSAGE, got)
    assert sorted(map(str, got)) == sorted(map(str, found))
    assert encode(MESSAGE) == before
    assert (shown is MESSAGE) == (not found)


@pytest.mark.parametrize(
    "path",
    [
        "body.card",
        "card",
        "$",
        "$.vars.x",
        "$.trigger",
        "$.trigger.client",
        "$.attachments[0]",
        "$.execution.id",
        "$.steps",
        "$.steps.chrge.body",
        "$.body.lines[?(@.pin == 1)]",
        "$.body.lines[1:2]",
        "$.body[",
        "{{ body.card }}",
    ],
)
def test_paths_by_which_nothing_can_be_redacted(registry: Registry, path: str) -> None:
    """They are errors, each with a remedy: a path that is written wrong must not leave a value in the open."""
    with pytest.raises(FlowInvalid) as caught:
        compiled(registry, path)
    (problem,) = caught.value.problems
    assert (problem.code, problem.pointer) == ("redact_path", "/redact/0")
    assert problem.remedy


def test_keys_are_not_made_of_what_is_redacted(registry: Registry) -> None:
    """They are stored in the open. One that reads more than that may hash it: a warning."""
    trigger = {"use": "webhook", "with": {"verify": "none", "dedupe_key": ["$.body.card.number", "$.body.id"]}}
    wait = {
        "id": "asked",
        "use": "webhook",
        "with": {"verify": "none", "timeout": "1h", "correlate": {"key": "$.body.card", "from": "$.body.id"}},
    }
    flow = document("$.body.card.number", trigger=trigger, order_by="{{ body.id }}")
    flow["steps"].append(wait)
    assert problems(registry, flow) == [
        ("redacted_key", "/trigger/with/dedupe_key/0", "error"),
        ("redacted_key", "/steps/1/with/correlate/key", "warning"),
    ]
    flow = document("$..number", trigger=trigger)
    assert problems(registry, flow) == [("redacted_key", "/trigger/with/dedupe_key/0", "error")]


def test_values_are_hidden_wherever_they_stand() -> None:
    """In texts, URLs, JSON in texts, keys, and as numbers or texts of numbers; short ones only where they are words."""
    hidden = HiddenValues()
    hidden.add(
        {"card": 'a "quoted" value/&', "pin": 123, "amount": Decimal("12.50"), "no": None, "yes": True, "x": "7"}
    )
    shown = hidden.mask(
        {
            'is a "quoted" value/& said': 'a "quoted" value/&',
            "url": "https://x?c=a%20%22quoted%22%20value%2F%26&d=a+%22quoted%22+value%2F%26",
            "json": encode({"v": 'a "quoted" value/&'}).decode(),
            "pin": [123, "123", "pin 123!", "order 41239", 1234],
            "amount": Decimal("12.50"),
            "left": [None, True, False, 8, "77"],
            "one": ["7", "7 days", 7],
        }
    )
    assert shown == {
        f"is {MASK} said": MASK,
        "url": f"https://x?c={MASK}&d={MASK}",
        "json": f'{{"v":"{MASK}"}}',
        "pin": [MASK, MASK, f"pin {MASK}!", "order 41239", 1234],
        "amount": MASK,
        "left": [None, True, False, 8, "77"],
        "one": [MASK, "7 days", MASK],
    }


def test_numbers_are_known_however_they_are_written() -> None:
    """As JSON, Decimals and Python write them."""
    hidden = HiddenValues()
    hidden.add([1.2345e22, 1e-7, 1e16, 0.000015, 12.5])
    same = [
        Decimal("1.2345E+22"),
        12345000000000000000000,
        Decimal("1E-7"),
        10**16,
        Decimal("0.0000150"),
        Decimal("12.50"),
    ]
    assert hidden.mask(same) == [MASK] * len(same)
    assert hidden.mask([f"at {value}" for value in (1.2345e22, 1e-7, 1e16, 1.5e-05, 12.5)]) == [f"at {MASK}"] * 5


def test_many_texts_are_found_as_few_are() -> None:
    """There is another way of looking for many, which finds the same."""
    few, many = (
        HiddenValues(["a-secret", "123", "a-secret-that-is-longer"]),
        HiddenValues(["a-secret", "123", "a-secret-that-is-longer"]),
    )
    many.add([f"other-{number:04}" for number in range(100)])
    for text in (
        "a-secret-that-is-longer, a-secret and 123, not 1234 or x123",
        "123",
        "123a-secret_a-secret",
        "",
        "ab",
        "a-secre",
    ):
        assert many.mask_text(text) == few.mask_text(text)
    assert many.mask_text("is other-0099!") == f"is {MASK}!"


def test_what_errors_quote_of_long_values_is_hidden() -> None:
    """Who quotes them shortens them."""
    long = "".join(chr(97 + number * 7 % 26) for number in range(200))
    hidden = HiddenValues([long, "short-one"])
    assert hidden.mask_excerpts(f"{long[:40]!r}… is neither true nor false") == f"'{MASK}'… is neither true nor false"
    assert hidden.mask_excerpts(f"{long[:50]} … {long[-50:]} and short-one") == f"{MASK} … {MASK} and {MASK}"
    assert hidden.mask_excerpts("nothing of it is here") == "nothing of it is here"


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(_values, st.text(min_size=3, max_size=12))
def test_no_secret_is_left(value: Any, secret: str) -> None:
    """Whatever the texts are, and wherever the secret is put among them."""
    hidden = HiddenValues([secret])
    shown = hidden.mask({"in": [value, secret], "of": {f"{secret}": value}})
    leaves = [text for text in _texts(shown) if text == secret]
    assert leaves == []
    assert hidden.mask(shown) == shown or MASK in secret or secret in MASK


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in _texts(item))]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


@given(_values)
def test_every_depth_is_reached(value: Any) -> None:
    """`..` leaves nothing under the key, and shares what it doesn't change."""
    found: list[Any] = []
    shown = mask_path(value, (Wildcard.DEEP, "a"), found)
    assert _at(shown, "a") <= {MASK}
    assert (shown is value) == (not found)


def _at(value: Any, key: str) -> set[Any]:
    if isinstance(value, dict):
        own = {str(value[key])} if key in value else set()
        return own.union(*(_at(item, key) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(_at(item, key) for item in value))
    return set()


def test_a_data_key_decrypts_only_what_it_encrypted() -> None:
    """Altered bytes, another data key and another master key are all rejected."""
    vault = Vault(read_keys(generate_key()))
    key = DataKey.generate(vault)
    encrypted = key.encrypt(b"4929")
    assert DataKey.load(vault, key.encrypted).decrypt(encrypted) == b"4929"
    assert b"4929" not in encrypted
    for wrong in (encrypted[:-1], bytes(40), b""):
        with pytest.raises(RedactedUnreadable):
            key.decrypt(wrong)
    with pytest.raises(RedactedUnreadable):
        DataKey.generate(vault).decrypt(encrypted)
    with pytest.raises(RedactedUnreadable, match="HOOKLINE_SECRET_KEY"):
        DataKey.load(Vault(read_keys(generate_key())), key.encrypted)
    with pytest.raises(RedactedUnreadable, match="altered"):
        DataKey.load(vault, key.encrypted[:-1] + b"\0")
