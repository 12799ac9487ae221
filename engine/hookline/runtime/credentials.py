"""Credentials: named, typed secrets, decrypted once and kept in memory while the engine runs."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from hookline.clock import Clock
from hookline.errors import CredentialError, Problem
from hookline.jsontypes import decode, encode
from hookline.judged import judged
from hookline.nearest import did_you_mean
from hookline.ports import DropCredential, PutCredential, Store, StoredCredential
from hookline.runtime.sealing import rewrap
from hookline.runtime.uninterrupted import uninterrupted
from hookline.vault import Vault

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class CredentialInfo:
    """What may be shown of a credential."""

    name: str
    type: str
    updated_at: datetime
    problem: str | None
    """Why it can't be used, with the remedy; None where it can."""


@dataclass(frozen=True, slots=True)
class _Held:
    stored: StoredCredential
    value: BaseModel | None = field(repr=False)
    problem: str | None


class Credentials:
    """The credentials of one engine.

    `types` has the model of each type; `changed` are called with the name of each credential that is set, replaced
    or dropped, here or (as `load` finds out) by another process.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        types: Mapping[str, type[BaseModel]],
        clock: Clock,
        changed: Sequence[Callable[[str], None]] = (),
    ) -> None:
        self._store = store
        self._vault = vault
        self._types = types
        self._clock = clock
        self._changed = tuple(changed)
        self._held: dict[str, _Held] = {}
        # What is in memory must be what was committed last, so that commits and their effects here don't interleave.
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Read what is stored, and forget what isn't any more. Raises StoreError.

        A credential that can't be decrypted, or whose type no plugin gives, stands in the way of nothing but its use.
        """
        async with self._lock:
            before = self._held
            after: dict[str, _Held] = {}
            for stored in await self._store.credentials():
                known = before.get(stored.name)
                after[stored.name] = known if known is not None and known.stored == stored else self._open(stored)
            self._held = after
        self._tell(name for name in before.keys() | after.keys() if before.get(name) is not after.get(name))

    def get(self, name: str) -> tuple[str, BaseModel]:
        """The type's name and the value of a credential. Raises CredentialError."""
        held = self._held.get(name)
        if held is None:
            raise CredentialError(
                f"there is no credential {name!r}{_near(name, self._held)}; "
                f"`hookline credentials set {name} --type TYPE key=value` makes it"
            )
        if held.value is None:
            raise CredentialError(held.problem)
        return held.stored.type, held.value

    def list(self) -> Sequence[CredentialInfo]:
        """What may be shown of each, by name."""
        return [
            CredentialInfo(held.stored.name, held.stored.type, held.stored.updated_at, held.problem)
            for _, held in sorted(self._held.items())
        ]

    async def put(self, name: str, type: str, values: Mapping[str, Any]) -> None:
        """Make or replace a credential. `values` are JSON values or pydantic's secrets.

        Raises CredentialError with every problem at once, and StoreError.
        """
        if not _NAME.fullmatch(name):
            raise CredentialError(
                f"{name!r} can't name a credential: use letters, digits, dots, dashes and underscores, at most 100"
            )
        plain = _plain(values)
        value = validated(self._types, name, type, plain)
        # What is committed is what is in memory, although whoever asked for it is gone by then.
        await uninterrupted(self._put(name, type, plain, value))

    async def _put(self, name: str, type: str, plain: Mapping[str, Any], value: BaseModel) -> None:
        async with self._lock:
            stored = StoredCredential(
                name, type, self._vault.encrypt(encode(plain), name=name, type=type), self._clock.now()
            )
            await self._store.commit([PutCredential(name, type, stored.ciphertext, stored.updated_at)])
            self._held[name] = _Held(stored, value, None)
        self._tell([name])

    async def drop(self, name: str) -> None:
        """Remove a credential. Raises CredentialError where there is none, and StoreError."""
        await uninterrupted(self._drop(name))

    async def _drop(self, name: str) -> None:
        async with self._lock:
            if name not in self._held:
                raise CredentialError(f"there is no credential {name!r}{_near(name, self._held)}")
            await self._store.commit([DropCredential(name)])
            del self._held[name]
        self._tell([name])

    async def rotate(self) -> int:
        """Encrypt with the vault's first key whatever is under another; returns how many credentials those were.

        Raises CredentialError where one can't be decrypted, and then changes none; RedactedUnreadable where the key of
        redacted values can't be; and StoreError.
        """
        rotated = await uninterrupted(self._rotate())
        await uninterrupted(rewrap(self._store, self._vault))
        return rotated

    async def _rotate(self) -> int:
        async with self._lock:
            renewed = []
            for name, held in self._held.items():
                old = held.stored
                if self._vault.current(old.ciphertext):
                    continue
                plaintext = self._vault.decrypt(old.ciphertext, name=name, type=old.type)
                ciphertext = self._vault.encrypt(plaintext, name=name, type=old.type)
                renewed.append(PutCredential(name, old.type, ciphertext, old.updated_at))
            if renewed:
                await self._store.commit(renewed)
            for change in renewed:
                stored = StoredCredential(change.name, change.type, change.ciphertext, change.at)
                self._held[change.name] = _Held(stored, self._held[change.name].value, self._held[change.name].problem)
        return len(renewed)

    def _open(self, stored: StoredCredential) -> _Held:
        try:
            plaintext = self._vault.decrypt(stored.ciphertext, name=stored.name, type=stored.type)
            return _Held(stored, validated(self._types, stored.name, stored.type, decode(plaintext)), None)
        except CredentialError as error:
            return _Held(stored, None, error.message)

    def _tell(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            for changed in self._changed:
                changed(name)


def validated(types: Mapping[str, type[BaseModel]], name: str, type: str, plain: Mapping[str, Any]) -> BaseModel:
    """A credential's value. Raises CredentialError with every problem at once, and without a value in it."""
    model = types.get(type)
    if model is None:
        raise CredentialError(
            f"credential {name!r}: no installed plugin has the credential type {type!r}{_near(type, types)}; "
            "a server finds plugins when it starts"
        )
    try:
        return judged(model, plain)
    except ValidationError as error:
        problems = _problems(error, model)
    # Outside the handler: pydantic's error holds the values, and must not travel with ours into a log.
    said = "; ".join(str(problem) for problem in problems)
    raise CredentialError(f"credential {name!r} of type {type!r}: {said}", problems=problems)


def _problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    problems = []
    for one in error.errors(include_input=False, include_context=False, include_url=False):
        pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in one["loc"])
        if one["type"] == "extra_forbidden":
            names = [found.alias or name for name, found in model.model_fields.items()]
            remedy = did_you_mean(str(one["loc"][-1]), names, f"it takes {', '.join(names)}" if names else "")
            problems.append(Problem("it has no such value", pointer, "unknown", remedy))
        else:
            problems.append(Problem(one["msg"].removeprefix("Value error, "), pointer, one["type"]))
    return problems


def _near(name: str, names: Iterable[str]) -> str:
    question = did_you_mean(name, names)
    return f" ({question})" if question else ""


def _plain(value: Any) -> Any:
    """The value with its secrets in the open: only to be validated and encrypted."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, SecretBytes):
        return value.get_secret_value().decode()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
