"""`hmac` and the providers whose MAC of the body it is."""

import hashlib
import hmac
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from hookline.api import NotVerified, Scheme, SignedRequest, Verified
from hookline_signatures.generic.body_mac import Hmac
from hookline_signatures.shared_secret.body_mac.github import GitHub

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECONDS = str(int(NOW.timestamp()))
BODY = b'{"abc":123}'
#: HMAC-SHA256 of BODY under the key `12345`, as recomputed from providers' documentation.
VECTOR = "8073c26dd6e2047fb64db471fa333d502eac9c3743c41af0f41724e21ef37b0a"


async def verify(
    scheme: Scheme[Any, Any], secret: Any, settings: Any, headers: dict[str, str], body: bytes = BODY
) -> Verified:
    assert scheme.credential is not None
    request = SignedRequest("POST", "https://h.example/hook/a", tuple(headers.items()), NOW, None)  # type: ignore[arg-type] # fetches nothing
    credential = scheme.credential.model_validate({"secret": secret})
    check = scheme.open(request, credential, scheme.settings.model_validate(settings))
    check.feed(body)
    return await check.finish()


async def test_the_published_vector_holds() -> None:
    assert (await verify(Hmac(), "12345", {"header": "X-Sig"}, {"x-sig": VECTOR})).dedupe_key is None
    await verify(Hmac(), "12345", {"header": "X-Sig"}, {"x-sig": VECTOR.upper()})
    await verify(GitHub(), "12345", {}, {"x-hub-signature-256": f"sha256={VECTOR}"})


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
async def test_each_algorithm_and_encoding(algorithm: str, encoding: str) -> None:
    mac = hmac.new("schlüssel".encode(), BODY, getattr(hashlib, algorithm)).digest()
    settings = {"header": "X-Sig", "algorithm": algorithm, "encoding": encoding, "prefix": "s="}
    written = {"hex": mac.hex(), "base64": b64encode(mac).decode()}
    await verify(Hmac(), "schlüssel", settings, {"x-sig": f"s={written[encoding]}"})
    other = written["hex" if encoding == "base64" else "base64"]
    for wrong in (f"s={other}", written[encoding], f"S={written[encoding]}", "s="):
        with pytest.raises(NotVerified):
            await verify(Hmac(), "schlüssel", settings, {"x-sig": wrong})


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
async def test_either_encoding_is_taken_where_the_settings_say_any(algorithm: str) -> None:
    mac = hmac.new(b"topsecret", BODY, algorithm)
    settings = {"header": "X-Sig", "algorithm": algorithm, "encoding": "any", "prefix": "s="}
    for written in (mac.hexdigest(), b64encode(mac.digest()).decode(), b64encode(mac.digest()).decode().rstrip("=")):
        await verify(Hmac(), "topsecret", settings, {"x-sig": f"s={written}"})
    for wrong in (
        "s=",
        "s=" + mac.hexdigest()[:-1],
        "s=" + b64encode(mac.hexdigest().encode()).decode(),
        mac.hexdigest(),
    ):
        with pytest.raises(NotVerified):
            await verify(Hmac(), "topsecret", settings, {"x-sig": wrong})


@pytest.mark.parametrize(
    ("signed", "message"),
    [
        ("", f"{SECONDS}.".encode() + BODY),
        ("{timestamp}{body}", SECONDS.encode() + BODY),
        ("v0:{timestamp}:{body}", f"v0:{SECONDS}:".encode() + BODY),
        ("{body}|{timestamp}", BODY + f"|{SECONDS}".encode()),
    ],
)
async def test_what_is_signed_is_a_setting(signed: str, message: bytes) -> None:
    settings = {"header": "X-Sig", "timestamp_header": "X-Time", "signed": signed}
    headers = {"x-time": SECONDS, "x-sig": hmac.new(b"topsecret", message, "sha256").hexdigest()}
    await verify(Hmac(), "topsecret", settings, headers)
    with pytest.raises(NotVerified):
        await verify(Hmac(), "topsecret", settings, {**headers, "x-time": str(int(SECONDS) + 1)})


@pytest.mark.parametrize("form", ["{}.0", "+{}", " {}", "{}\n", "-{}", "{}e0", "0x{}", "1{}", "{}_0"])
async def test_trap_2_a_timestamp_is_nothing_but_digits_and_signed_as_received(form: str) -> None:
    text = form.format(SECONDS)
    settings = {"header": "X-Sig", "timestamp_header": "X-Time"}
    headers = {"x-time": text, "x-sig": hmac.new(b"topsecret", f"{text}.".encode() + BODY, "sha256").hexdigest()}
    with pytest.raises(NotVerified):
        await verify(Hmac(), "topsecret", settings, headers)


async def test_trap_2_leading_zeros_are_signed_as_received() -> None:
    text = f"0{SECONDS}"
    settings = {"header": "X-Sig", "timestamp_header": "X-Time"}
    headers = {"x-time": text, "x-sig": hmac.new(b"topsecret", f"{text}.".encode() + BODY, "sha256").hexdigest()}
    await verify(Hmac(), "topsecret", settings, headers)


async def test_trap_9_a_signed_id_is_the_dedupe_key() -> None:
    settings = {"header": "X-Sig", "id_header": "X-Id", "signed": "{id}:{body}"}
    headers = {"x-id": "evt-1", "x-sig": hmac.new(b"topsecret", b"evt-1:" + BODY, "sha256").hexdigest()}
    assert (await verify(Hmac(), "topsecret", settings, headers)).dedupe_key == "evt-1"
    with pytest.raises(NotVerified):
        await verify(Hmac(), "topsecret", settings, {**headers, "x-id": "evt-2"})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "header"),
        ({"header": "X-Sig", "signed": "{timestamp}"}, "exactly once"),
        ({"header": "X-Sig", "signed": "{body}{body}"}, "exactly once"),
        ({"header": "X-Sig", "signed": "{url}{body}"}, "is not known"),
        ({"header": "X-Sig", "signed": "{timestamp}.{body}"}, "if, and only if"),
        ({"header": "X-Sig", "signed": "{body}", "timestamp_header": "X-Time"}, "if, and only if"),
        ({"header": "X-Sig", "signed": "{id}.{body}"}, "needs an `id_header`"),
        ({"header": "X-Sig", "algorithm": "md5"}, "sha1"),
        ({"header": "X-Sig", "encodign": "hex"}, "encodign"),
    ],
)
def test_settings_that_would_protect_nothing_are_rejected(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Hmac.settings.model_validate(settings)


async def test_trap_12_old_and_new_secret_are_both_taken() -> None:
    for secrets in (["12345", "new secret"], ["new secret", "12345"]):
        await verify(Hmac(), secrets, {"header": "X-Sig"}, {"x-sig": VECTOR})
    with pytest.raises(NotVerified):
        await verify(Hmac(), ["new secret"], {"header": "X-Sig"}, {"x-sig": VECTOR})


@pytest.mark.parametrize("secret", ["", "1234", [], ["12345", " "]])
def test_trap_7_a_short_secret_is_rejected_when_stored(secret: Any) -> None:
    for scheme in (Hmac, GitHub):
        assert scheme.credential is not None
        with pytest.raises(ValidationError):
            scheme.credential.model_validate({"secret": secret})


async def test_githubs_delivery_is_the_dedupe_key() -> None:
    headers = {"x-hub-signature-256": f"sha256={VECTOR}", "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
    assert (await verify(GitHub(), "12345", {}, headers)).dedupe_key == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    with pytest.raises(NotVerified):
        await verify(GitHub(), "12345", {}, {**headers, "x-github-delivery": "two words"})


async def test_githubs_old_signature_is_not_taken() -> None:
    old = hmac.new(b"12345", BODY, "sha1").hexdigest()
    with pytest.raises(NotVerified):
        await verify(GitHub(), "12345", {}, {"x-hub-signature": f"sha1={old}"})


async def test_a_ping_of_githubs_is_answered_where_the_settings_say_so_and_only_once_it_holds() -> None:
    headers = {"x-hub-signature-256": f"sha256={VECTOR}", "x-github-delivery": "d", "x-github-event": "ping"}
    assert (await verify(GitHub(), "12345", {}, headers)).response is None
    answered = {"pings": "answered"}
    answer = (await verify(GitHub(), "12345", answered, headers)).response
    assert answer is not None
    assert answer.status == 200
    assert (await verify(GitHub(), "12345", answered, {**headers, "x-github-event": "push"})).response is None
    with pytest.raises(NotVerified):
        await verify(GitHub(), "12345", answered, headers, b'{"abc":124}')
