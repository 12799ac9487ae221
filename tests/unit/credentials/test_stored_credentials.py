"""Credentials: encrypted at rest, validated by their type, and never shown."""

import asyncio
import logging
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretBytes, SecretStr

from hookline.credentials.stored_credentials import Credentials, validated
from hookline.kernel.errors import CredentialError, StoreError
from hookline.model.access import SYSTEM
from hookline.secrets.encryption import Vault
from hookline.storage.change_declarations import Change, DropCredential, PutCredential
from hookline.storage.store import StoredCredential

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
NOW = datetime(2026, 1, 31, tzinfo=UTC)
SECRET = "correct horse battery staple"


class Token(BaseModel):
    model_config = ConfigDict(extra="forbid")
    base_url: str = "https://api.acme.example"
    token: Annotated[SecretStr, Field(min_length=8)]
    raw: SecretBytes | None = None
    port: int = 443


class Rows:
    """The part of a store that has credentials."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredCredential] = {}
        self.broken = False

    async def credentials(self) -> Sequence[StoredCredential]:
        return list(self.rows.values())

    async def data_keys(self, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        return ()

    async def subscriptions(self) -> Mapping[str, bytes]:
        return {}

    async def commit(self, changes: Sequence[Change]) -> Sequence[None]:
        if self.broken:
            raise StoreError
        for change in changes:
            if isinstance(change, PutCredential):
                self.rows[change.name] = StoredCredential(change.name, change.type, change.ciphertext, change.at)
            elif isinstance(change, DropCredential):
                del self.rows[change.name]
        return [None for _ in changes]


class Still:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing sleeps here")


def make(rows: Rows, keys: Sequence[bytes] = (OLD,), types: Any = None, changed: Any = ()) -> Credentials:
    return Credentials(rows, Vault(keys), {"acme": Token} if types is None else types, Still(), lambda: "1", changed)  # type: ignore[arg-type] # rows are the part of a store that is used


async def test_a_credential_comes_back_after_a_start() -> None:
    rows = Rows()
    await make(rows).put(
        "acme-prod", "acme", {"token": SECRET, "raw": SecretBytes(b"bytes"), "port": "8443"}, by=SYSTEM
    )
    again = make(rows)
    await again.load()
    found = again.get("acme-prod", None)
    type_name, value = found.type, found.value
    assert type_name == "acme"
    assert value == Token(token=SecretStr(SECRET), raw=SecretBytes(b"bytes"), port=8443)
    (info,) = again.list()
    assert (info.name, info.type, info.updated_at, info.problem) == ("acme-prod", "acme", NOW, None)


async def test_no_secret_is_at_rest_or_in_what_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    rows = Rows()
    credentials = make(rows)
    with caplog.at_level(logging.DEBUG):
        await credentials.put("acme-prod", "acme", {"token": SecretStr(SECRET)}, by=SYSTEM)
    shown = [repr(credentials.list()), repr(credentials.get("acme-prod", None)), repr(credentials._held), caplog.text]
    assert SECRET.encode() not in rows.rows["acme-prod"].ciphertext
    assert not [text for text in shown if SECRET in text]


async def test_every_problem_is_reported_at_once_without_the_values() -> None:
    rows = Rows()
    values = {"token": "horse", "prot": "8443", "port": "many-horses"}
    with pytest.raises(CredentialError) as caught:
        await make(rows).put("x", "acme", values, by=SYSTEM)
    assert {problem.pointer for problem in caught.value.problems} == {"/token", "/prot", "/port"}
    assert "did you mean 'port'?" in str(caught.value)
    assert "it must be a whole number" in str(caught.value)
    text = "".join(traceback.format_exception(caught.value))
    assert not [value for value in values.values() if value in text]
    assert rows.rows == {}


async def test_names_are_plain() -> None:
    with pytest.raises(CredentialError, match="letters, digits"):
        await make(Rows()).put("../x", "acme", {"token": SECRET}, by=SYSTEM)


async def test_a_missing_name_lists_the_near_one_and_the_command() -> None:
    credentials = make(Rows())
    await credentials.put("acme-prod", "acme", {"token": SECRET}, by=SYSTEM)
    with pytest.raises(CredentialError, match=r"did you mean 'acme-prod'\?.*hookline credentials set acme-prd"):
        credentials.get("acme-prd", None)


async def test_an_unknown_type_lists_the_near_one() -> None:
    with pytest.raises(CredentialError, match=r"did you mean 'acme'\?"):
        await make(Rows()).put("x", "acne", {"token": SECRET}, by=SYSTEM)


async def test_what_cannot_be_used_stops_only_itself() -> None:
    rows = Rows()
    first = make(rows)
    await first.put("good", "acme", {"token": SECRET}, by=SYSTEM)
    await first.put("moved", "acme", {"token": SECRET}, by=SYSTEM)
    await make(rows, types={"gone": Token}).put("gone", "gone", {"token": SECRET}, by=SYSTEM)
    await make(rows, keys=[NEW]).put("foreign", "acme", {"token": SECRET}, by=SYSTEM)
    rows.rows["moved"] = StoredCredential("moved", "acme", rows.rows["good"].ciphertext, NOW)
    again = make(rows)
    await again.load()
    assert again.get("good", None).value == Token(token=SecretStr(SECRET))
    for name, said in [("moved", "another name"), ("gone", "no installed plugin"), ("foreign", "HOOKLINE_SECRET_KEY")]:
        with pytest.raises(CredentialError, match=said):
            again.get(name, None)
    problems = {info.name: info.problem for info in again.list()}
    assert problems.pop("good") is None
    assert all(problems.values())


@pytest.mark.rule(12)
async def test_changes_are_told_wherever_they_were_made() -> None:
    rows, told = Rows(), list[str]()
    here, elsewhere = make(rows, changed=[told.append]), make(rows)
    await here.put("a", "acme", {"token": SECRET}, by=SYSTEM)
    await elsewhere.put("b", "acme", {"token": SECRET}, by=SYSTEM)
    await here.load()
    assert told == ["a", "b"]
    await here.load()
    assert told == ["a", "b"]
    await here.drop("a", by=SYSTEM)
    await elsewhere.drop("b", by=SYSTEM)
    await here.load()
    assert told == ["a", "b", "a", "b"]
    assert here.list() == []


async def test_dropping_what_is_not_there_is_an_error() -> None:
    with pytest.raises(CredentialError, match="no credential 'x'"):
        await make(Rows()).drop("x", by=SYSTEM)


async def test_what_could_not_be_committed_is_not_in_memory() -> None:
    rows, told = Rows(), list[str]()
    credentials = make(rows, changed=[told.append])
    rows.broken = True
    with pytest.raises(StoreError):
        await credentials.put("a", "acme", {"token": SECRET}, by=SYSTEM)
    with pytest.raises(CredentialError):
        credentials.get("a", None)
    assert told == []


class Slow(Rows):
    """Commits although the caller is cancelled meanwhile, as a writer in a thread does."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def commit(self, changes: Sequence[Change]) -> Sequence[None]:
        committed = await super().commit(changes)
        self.begun.set()
        await self.go_on.wait()
        return committed


@pytest.mark.parametrize("change", ["put", "drop", "rotate"])
async def test_memory_is_what_was_committed_although_the_caller_is_gone(change: str) -> None:
    rows, told = Slow(), list[str]()
    rows.go_on.set()
    await make(rows).put("a", "acme", {"token": "the old one"}, by=SYSTEM)
    credentials = make(rows, keys=[NEW, OLD], changed=[told.append])
    await credentials.load()
    told.clear()
    rows.begun.clear()
    rows.go_on.clear()
    calls = {
        "put": lambda: credentials.put("a", "acme", {"token": SECRET}, by=SYSTEM),
        "drop": lambda: credentials.drop("a", by=SYSTEM),
        "rotate": lambda: credentials.rotate(by=SYSTEM),
    }
    asking = asyncio.ensure_future(calls[change]())
    await rows.begun.wait()
    asking.cancel()
    await asyncio.sleep(0)
    rows.go_on.set()
    await asyncio.wait({asking})
    assert asking.cancelled()
    if change == "drop":
        assert credentials.list() == []
    else:
        assert credentials.get("a", None).value == Token(token=SecretStr(SECRET if change == "put" else "the old one"))
    # Another process's eyes see nothing that memory doesn't.
    await credentials.load()
    assert told == ([] if change == "rotate" else ["a"])
    assert await credentials.rotate(by=SYSTEM) == 0


@pytest.mark.rule(34)
async def test_rotation_encrypts_again_with_the_first_key() -> None:
    rows = Rows()
    await make(rows).put("a", "acme", {"token": SECRET}, by=SYSTEM)
    both = make(rows, keys=[NEW, OLD])
    await both.load()
    await both.put("b", "acme", {"token": SECRET}, by=SYSTEM)
    assert await both.rotate(by=SYSTEM) == 1
    assert await both.rotate(by=SYSTEM) == 0
    new = make(rows, keys=[NEW])
    await new.load()
    for name in ("a", "b"):
        found = new.get(name, None)
        assert (found.type, found.value) == ("acme", Token(token=SecretStr(SECRET)))


async def test_rotation_without_the_old_key_changes_nothing() -> None:
    rows = Rows()
    await make(rows).put("a", "acme", {"token": SECRET}, by=SYSTEM)
    before = dict(rows.rows)
    new = make(rows, keys=[NEW])
    await new.load()
    with pytest.raises(CredentialError, match="HOOKLINE_SECRET_KEY"):
        await new.rotate(by=SYSTEM)
    assert rows.rows == before


def test_an_unknown_type_says_that_a_plugin_may_have_come_after_the_server_started() -> None:
    with pytest.raises(CredentialError, match="'acme'; a server finds plugins when it starts"):
        validated({}, "prod", "acme", {})
