"""The stored credentials: decrypted once, and kept in memory while the engine runs."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import msgspec
from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from hookline.access.audit import AuditedOperation, audited
from hookline.credentials.token_set import TokenSet
from hookline.kernel.cancellation import shielded
from hookline.kernel.clocks import Clock, rfc3339
from hookline.kernel.errors import CredentialError, NoConnectors, Problem, StepError
from hookline.kernel.json import decode, encode
from hookline.kernel.plugin_model_validation import error_text, validate_safely
from hookline.kernel.pointers_and_patches import pointer_to
from hookline.kernel.suggestions_and_counts import counted, did_you_mean
from hookline.model.access import Actor
from hookline.sdk.oauth2 import OAuth2
from hookline.secrets.credential_reach import HostRule, KnownCredential, covers, named_hosts, reach_problems
from hookline.secrets.encryption import Purpose, Vault, for_credential, for_tokens
from hookline.storage.change_declarations import Change, DropCredential, PutCredential, PutTokens, RecordAudit
from hookline.storage.store import Store, StoredCredential

TokenState: TypeAlias = Literal["valid", "renewable", "on_demand", "missing", "lost"]


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """The public facts about a credential's tokens."""

    state: TokenState
    """`valid`; `renewable`: expired, and renewed at their next use; `on_demand`: requested at their first use;
    `missing`: the credential must be authorized; `lost`: it must be authorized again."""
    expires_at: datetime | None = None
    """The expiry of the access token; None if the service doesn't tell it."""
    scope: str | None = None
    problem: str | None = None
    """The reason why no token can be used, with the remedy."""
    renewable: bool = False
    """True if the tokens are renewed without a user."""


def token_info(
    name: str, oauth2: OAuth2, value: BaseModel, tokens: TokenSet | None, problem: str | None, now: datetime
) -> TokenInfo:
    """Return the public facts about tokens. `problem` is the reason why stored tokens can't be read."""
    if tokens is None:
        try:
            by_itself = "client_credentials" in oauth2.grants_of(value)
        except StepError as error:
            return TokenInfo("missing", problem=error.message)
        if by_itself:
            return TokenInfo("on_demand", renewable=True)
        state: TokenState = "missing" if problem is None else "lost"
        return TokenInfo(state, problem=unauthorized(name, problem))
    if tokens.holds(now):
        return TokenInfo("valid", tokens.expires_at, tokens.scope, renewable=tokens.renewable)
    if tokens.renewable:
        return TokenInfo("renewable", tokens.expires_at, tokens.scope, renewable=True)
    return TokenInfo("lost", tokens.expires_at, tokens.scope, unauthorized(name, why_lost(tokens)))


def why_lost(tokens: TokenSet) -> str:
    """Return the reason why invalid tokens can't be renewed."""
    return tokens.lost or "its access token has expired, and the service gave no refresh token"


def unauthorized(name: str, why: str | None) -> str:
    """Return the message for a credential without usable tokens. `why` is the reason why earlier ones were lost."""
    if why is None:
        return f"credential {name!r} is not authorized yet: `hookline credentials authorize {name}`"
    return f"credential {name!r}: {why}; authorize it again: `hookline credentials authorize {name}`"


_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class CredentialInfo:
    """The public facts about a credential."""

    name: str
    type: str
    updated_at: datetime
    problem: str | None
    """The reason why it can't be used, with the remedy; None if it can."""
    tokens: TokenInfo | None = None
    """The public facts about its access tokens; None if its type has none."""
    flows: tuple[str, ...] = ()
    """Patterns of the ids of the flows that may use it; none for all."""
    hosts: tuple[str, ...] = ()
    """The hosts to which it may be sent, besides those that its type names."""
    warnings: tuple[str, ...] = ()
    """Problems that do not keep it from being used, with the remedies."""

    @property
    def known(self) -> KnownCredential:
        """The facts by which a flow is checked."""
        return KnownCredential(self.type, self.flows, self.hosts, self.warnings)

    def is_for(self, flow_id: str) -> bool:
        """Return true if a flow may use it."""
        return covers(self.flows, flow_id)


@dataclass(frozen=True, slots=True)
class FoundCredential:
    """A stored credential that a flow may use."""

    type: str
    value: BaseModel = field(repr=False)
    hosts: HostRule
    """The hosts to which it may be sent."""


@dataclass(frozen=True, slots=True)
class OAuth2Credential:
    """A credential of a type with OAuth 2, with its tokens."""

    name: str
    value: BaseModel = field(repr=False)
    oauth2: OAuth2
    tokens: TokenSet | None
    problem: str | None
    """The reason why stored tokens can't be read, if so."""


@dataclass(frozen=True, slots=True)
class _Entry:
    stored: StoredCredential
    value: BaseModel | None = field(repr=False)
    problem: str | None
    tokens: TokenSet | None = None
    tokens_problem: str | None = None


class Credentials:
    """The credentials of one engine.

    `types` has the model of each type, `oauth2` the OAuth 2 settings of the types that have them, and `hosts` the hosts
    that a type names (see `Connector`), for the types that are sent anywhere. The `changed`
    functions get the name of each credential that is set, replaced, authorized or dropped, here or (as `load` finds
    out) by another process. `has_connectors`: false if `types` lacks those of connectors, whose credentials only other
    nodes use.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        types: Mapping[str, type[BaseModel]],
        clock: Clock,
        new_id: Callable[[], str],
        changed: Sequence[Callable[[str], None]] = (),
        oauth2: Mapping[str, OAuth2] | None = None,
        *,
        hosts: Mapping[str, Sequence[str]] = MappingProxyType({}),
        has_connectors: bool = True,
    ) -> None:
        self._has_connectors = has_connectors
        self._store = store
        self._vault = vault
        self._types = types
        self._clock = clock
        self._new_id = new_id
        self._changed = tuple(changed)
        self._oauth2 = oauth2 or {}
        self._hosts = hosts
        self._held: dict[str, _Entry] = {}
        # Commits and their effects on memory must not interleave, so that memory has what was committed last.
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Read all credentials from the store. Raises StoreError.

        A credential that can't be decrypted, or whose type no plugin has, fails only when it is used.
        """
        async with self._lock:
            before = self._held
            after: dict[str, _Entry] = {}
            for stored in await self._store.credentials():
                known = before.get(stored.name)
                after[stored.name] = known if known is not None and known.stored == stored else self._open(stored)
            self._held = after
        self._tell(name for name in before.keys() | after.keys() if before.get(name) is not after.get(name))

    def get(self, name: str, flow_id: str | None) -> FoundCredential:
        """Return the credential that a flow uses; None stands for an operator, who uses it for no flow.

        Raises CredentialError. Its message doesn't tell whether there is a credential of this name for other flows.
        """
        held = self._held.get(name)
        if held is None or (flow_id is not None and not covers(held.stored.flows, flow_id)):
            raise self._missing(name, flow_id)
        value = _usable(held)
        return FoundCredential(held.stored.type, value, HostRule(name, self._hosts_of(held.stored, value)))

    def _missing(self, name: str, flow_id: str | None) -> CredentialError:
        near = _near(name, self._names_for(flow_id))
        make = f"`hookline credentials set {name} --type TYPE key=value` makes it"
        if flow_id is None:
            return CredentialError(f"there is no credential {name!r}{near}; {make}")
        return CredentialError(
            f"there is no credential {name!r} for flow {flow_id!r}{near}; {make}, and `--flow {flow_id}` lets the flow "
            "use one that is limited to others"
        )

    def _names_for(self, flow_id: str | None) -> Sequence[str]:
        return [name for name, held in self._held.items() if flow_id is None or covers(held.stored.flows, flow_id)]

    def _hosts_of(self, stored: StoredCredential, value: BaseModel) -> tuple[str, ...]:
        return (*named_hosts(self._hosts.get(stored.type, ()), value), *stored.hosts)

    def unreadable(self) -> Mapping[str, str]:
        """Return the stored credentials that can't be read here, with the reasons."""
        return {name: held.problem for name, held in self._held.items() if held.value is None and held.problem}

    def oauth2_credential(self, name: str) -> OAuth2Credential | None:
        """Return a credential with its tokens; None if its type has no OAuth 2. Raises CredentialError."""
        held = self._held.get(name)
        if held is None:
            raise self._missing(name, None)
        value, oauth2 = _usable(held), self._oauth2.get(held.stored.type)
        if oauth2 is None:
            return None
        return OAuth2Credential(name, value, oauth2, held.tokens, held.tokens_problem)

    def list(self) -> Sequence[CredentialInfo]:
        """Return the public facts about all credentials, by name."""
        return [self._info(held) for _, held in sorted(self._held.items())]

    def _info(self, held: _Entry) -> CredentialInfo:
        stored, oauth2, tokens = held.stored, self._oauth2.get(held.stored.type), None
        if oauth2 is not None and held.value is not None:
            tokens = token_info(stored.name, oauth2, held.value, held.tokens, held.tokens_problem, self._clock.now())
        return CredentialInfo(
            stored.name,
            stored.type,
            stored.updated_at,
            held.problem,
            tokens,
            stored.flows,
            stored.hosts,
            self._warnings(held),
        )

    def _warnings(self, held: _Entry) -> tuple[str, ...]:
        stored = held.stored
        if held.value is None or stored.type not in self._hosts or self._hosts_of(stored, held.value):
            return ()
        return (
            f"it may be sent to any host that a flow names; name its hosts: "
            f"`hookline credentials set {stored.name} --host api.example.com`",
        )

    async def put(
        self,
        name: str,
        type: str,
        values: Mapping[str, Any],
        *,
        flows: Sequence[str] = (),
        hosts: Sequence[str] = (),
        by: Actor,
    ) -> None:
        """Make or replace a credential. `values` are JSON values or pydantic's secrets. `by` is recorded.

        `flows` are patterns of the ids of the flows that may use it; none for all. `hosts` are those to which it may be
        sent, besides those that its type names. Raises CredentialError with every problem at once, and StoreError.
        """
        if not _NAME.fullmatch(name):
            raise CredentialError(
                f"{name!r} can't name a credential: use letters, digits, dots, dashes and underscores, at most 100"
            )
        plain = _plain(values)
        value = self._checked(name, type, plain, flows, hosts)
        # Memory must follow the commit even if the caller is cancelled.
        await shielded(self._put(name, type, plain, value, tuple(flows), tuple(hosts), by))

    def _checked(
        self, name: str, type: str, plain: Mapping[str, Any], flows: Sequence[str], hosts: Sequence[str]
    ) -> BaseModel:
        problems = reach_problems(flows, hosts)
        try:
            value = validated(self._types, name, type, plain)
        except CredentialError as error:
            if problems and error.problems:
                raise _wrong(name, type, [*error.problems, *problems]) from None
            raise
        if problems:
            raise _wrong(name, type, problems)
        return value

    async def _put(
        self,
        name: str,
        type: str,
        plain: Mapping[str, Any],
        value: BaseModel,
        flows: tuple[str, ...],
        hosts: tuple[str, ...],
        by: Actor,
        before: StoredCredential | None = None,
    ) -> None:
        async with self._lock:
            if before is not None:
                self._require_unchanged(before)
            held = self._held.get(name)
            # A credential that is put at the same time as the one before it would keep that one's tokens.
            earliest = _LONG_AGO if held is None else held.stored.updated_at + timedelta(microseconds=1)
            stored = StoredCredential(
                name,
                type,
                self._vault.encrypt(encode(plain), purpose=for_credential(name, type)),
                max(self._clock.now(), earliest),
                flows=flows,
                hosts=hosts,
            )
            await self._store.commit([_put(stored), self._audited(by, "credential.put", name, _said(stored))])
            self._held[name] = _Entry(stored, value, None)
        self._tell([name])

    async def change(
        self,
        name: str,
        *,
        values: Mapping[str, Any] | None = None,
        flows: Sequence[str] | None = None,
        hosts: Sequence[str] | None = None,
        by: Actor,
    ) -> None:
        """Change some of a credential; None leaves a part as it is.

        `values` are merged over the stored ones, of which None removes one. Without `values`, the tokens stay. `by` is
        recorded. Raises CredentialError, also if there is no such credential, and StoreError.
        """
        # Another process may have changed it a moment ago.
        await self.load()
        held = self._held.get(name)
        if held is None:
            raise CredentialError(f"there is no credential {name!r}{_near(name, self._held)}")
        before = held.stored
        limits = before.flows if flows is None else tuple(flows), before.hosts if hosts is None else tuple(hosts)
        if not values:
            problems = reach_problems(*limits)
            if problems:
                raise _wrong(name, before.type, problems)
            await shielded(self._limit(before, *limits, by))
            return
        if held.value is None:
            raise CredentialError(
                f"{held.problem or NoConnectors().message}; set all of its values, with its type, to replace it"
            )
        plain = {**self._values(before), **_plain(values)}
        plain = {key: value for key, value in plain.items() if value is not None}
        value = self._checked(name, before.type, plain, *limits)
        await shielded(self._put(name, before.type, plain, value, *limits, by, before))

    async def _limit(self, before: StoredCredential, flows: tuple[str, ...], hosts: tuple[str, ...], by: Actor) -> None:
        async with self._lock:
            self._require_unchanged(before)
            held = self._held[before.name]
            stored = replace(held.stored, flows=flows, hosts=hosts)
            await self._store.commit([_put(stored), self._audited(by, "credential.put", stored.name, _said(stored))])
            self._held[stored.name] = replace(held, stored=stored)
        self._tell([before.name])

    def _require_unchanged(self, before: StoredCredential) -> None:
        held = self._held.get(before.name)
        if held is None or replace(held.stored, tokens=before.tokens) != before:
            raise CredentialError(f"credential {before.name!r} was changed at the same time; look at it, and try again")

    def _values(self, stored: StoredCredential) -> Mapping[str, Any]:
        found: Mapping[str, Any] = decode(
            self._vault.decrypt(stored.ciphertext, purpose=for_credential(stored.name, stored.type))
        )
        return found

    async def put_tokens(self, name: str, of: BaseModel, tokens: TokenSet, *, before: TokenSet | None) -> bool:
        """Replace the tokens `before` of a credential whose value is `of`; return False if one of both has changed.

        Another node may have changed them, too. Raises StoreError.
        """
        return await shielded(self._replace_tokens(name, of, tokens, before))

    async def authorize(self, name: str, of: BaseModel, tokens: TokenSet, *, by: Actor) -> bool:
        """Replace any tokens, and tell that the credential changed; return False if its value no longer is `of`.

        `by` is recorded. Raises StoreError.
        """
        record = self._audited(by, "credential.authorize", name)
        done = await shielded(self._put_tokens(name, of, tokens, record))
        if done:
            self._tell([name])
        return done

    async def _put_tokens(self, name: str, of: BaseModel, tokens: TokenSet, record: RecordAudit) -> bool:
        async with self._lock:
            held = self._held.get(name)
            if held is None or held.value is not of:
                return False
            ciphertext = self._encrypted(held, tokens)
            await self._store.commit([PutTokens(name, held.stored.updated_at, ciphertext), record])
            self._keep_tokens(held, tokens, ciphertext)
        return True

    async def _replace_tokens(self, name: str, of: BaseModel, tokens: TokenSet, before: TokenSet | None) -> bool:
        async with self._lock:
            held = self._held.get(name)
            if held is None or held.value is not of or held.tokens != before:
                return False
            ciphertext = self._encrypted(held, tokens)
            await self._store.commit(
                [PutTokens(name, held.stored.updated_at, ciphertext, before=(held.stored.tokens,))]
            )
            (stored,) = [one for one in await self._store.credentials() if one.name == name] or (None,)
            if stored is not None and stored.tokens == ciphertext:
                self._keep_tokens(held, tokens, ciphertext)
                return True
            if stored is None:
                del self._held[name]
            else:
                self._held[name] = self._open(stored)
        self._tell([name])
        return False

    def _encrypted(self, held: _Entry, tokens: TokenSet) -> bytes:
        return self._vault.encrypt(msgspec.json.encode(tokens), purpose=_tokens_of(held.stored))

    def _keep_tokens(self, held: _Entry, tokens: TokenSet, ciphertext: bytes) -> None:
        stored = replace(held.stored, tokens=ciphertext)
        self._held[stored.name] = replace(held, stored=stored, tokens=tokens, tokens_problem=None)

    async def drop(self, name: str, *, by: Actor) -> None:
        """Remove a credential; `by` is recorded. Raises CredentialError if there is none, and StoreError."""
        await shielded(self._drop(name, by))

    async def _drop(self, name: str, by: Actor) -> None:
        async with self._lock:
            if name not in self._held:
                raise CredentialError(f"there is no credential {name!r}{_near(name, self._held)}")
            await self._store.commit([DropCredential(name), self._audited(by, "credential.delete", name)])
            del self._held[name]
        self._tell([name])

    async def rotate(self, *, by: Actor) -> int:
        """Encrypt all credentials with the vault's first key; return how many had another key. `by` is recorded.

        Raises CredentialError if one can't be decrypted, and then changes none; and StoreError.
        """
        return await shielded(self._rotate(by))

    async def _rotate(self, by: Actor) -> int:
        async with self._lock:
            renewed: list[StoredCredential] = []
            for held in self._held.values():
                old = held.stored
                if self._vault.is_current(old.ciphertext) and (
                    old.tokens is None or self._vault.is_current(old.tokens)
                ):
                    continue
                renewed.append(self._encrypted_anew(old))
            changes: list[Change] = []
            for stored in renewed:
                changes.append(_put(stored))
                if stored.tokens is not None:
                    changes.append(PutTokens(stored.name, stored.updated_at, stored.tokens))
            if changes:
                changes.append(self._audited(by, "key.rotate", None, counted(len(renewed), "credential")))
                await self._store.commit(changes)
            for stored in renewed:
                self._held[stored.name] = replace(self._held[stored.name], stored=stored)
        return len(renewed)

    def _audited(
        self, by: Actor, operation: AuditedOperation, name: str | None, detail: str | None = None
    ) -> RecordAudit:
        return audited(self._new_id(), self._clock.now(), by, operation, subject=name, detail=detail)

    def _encrypted_anew(self, old: StoredCredential) -> StoredCredential:
        ciphertext = self._vault.reencrypt(old.ciphertext, purpose=for_credential(old.name, old.type))
        tokens = None if old.tokens is None else self._vault.reencrypt(old.tokens, purpose=_tokens_of(old))
        return replace(old, ciphertext=ciphertext, tokens=tokens)

    def _open(self, stored: StoredCredential) -> _Entry:
        if not self._has_connectors and stored.type not in self._types:
            return _Entry(stored, None, None)
        try:
            plaintext = self._vault.decrypt(stored.ciphertext, purpose=for_credential(stored.name, stored.type))
            value = validated(self._types, stored.name, stored.type, decode(plaintext))
        except CredentialError as error:
            return _Entry(stored, None, error.message)
        if stored.tokens is None:
            return _Entry(stored, value, None)
        try:
            plaintext = self._vault.decrypt(stored.tokens, purpose=_tokens_of(stored))
            return _Entry(stored, value, None, msgspec.json.decode(plaintext, type=TokenSet))
        except CredentialError as error:
            return _Entry(stored, value, None, None, error.message)
        except msgspec.DecodeError:
            return _Entry(stored, value, None, None, "its tokens were stored by another version of Hookline")

    def _tell(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            for changed in self._changed:
                changed(name)


def _usable(held: _Entry) -> BaseModel:
    if held.value is None:
        raise CredentialError(
            held.problem or f"credential {held.stored.name!r} is for a connector, and {NoConnectors().message}"
        )
    return held.value


def validated(types: Mapping[str, type[BaseModel]], name: str, type: str, plain: Mapping[str, Any]) -> BaseModel:
    """Return the validated value. Raises CredentialError with every problem at once, and without any value in it."""
    model = types.get(type)
    if model is None:
        raise CredentialError(
            f"credential {name!r}: no installed plugin has the credential type {type!r}{_near(type, types)}; "
            "a server finds plugins when it starts"
        )
    try:
        return validate_safely(model, plain)
    except ValidationError as error:
        problems = _problems(error, model)
    # Outside the handler: pydantic's error has the values, and must not reach a log as the context of this one.
    raise _wrong(name, type, problems)


def _wrong(name: str, type: str, problems: Sequence[Problem]) -> CredentialError:
    said = "; ".join(str(problem) for problem in problems)
    return CredentialError(f"credential {name!r} of type {type!r}: {said}", problems=problems)


def _put(stored: StoredCredential) -> PutCredential:
    return PutCredential(stored.name, stored.type, stored.ciphertext, stored.updated_at, stored.flows, stored.hosts)


def _said(stored: StoredCredential) -> str:
    """Return the detail of an audit entry: the type, the flows and the hosts."""
    limits = (("flows", stored.flows), ("hosts", stored.hosts))
    return "; ".join([stored.type, *(f"{name}: {', '.join(texts)}" for name, texts in limits if texts)])


def _problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    problems = []
    for one in error.errors(include_input=False, include_url=False):
        pointer = pointer_to(one["loc"])
        if one["type"] == "extra_forbidden":
            names = [found.alias or name for name, found in model.model_fields.items()]
            remedy = did_you_mean(str(one["loc"][-1]), names, f"it takes {', '.join(names)}" if names else "")
            problems.append(Problem("it has no such value", pointer, "unknown", remedy))
        else:
            problems.append(Problem(error_text(one), pointer, one["type"]))
    return problems


def _tokens_of(stored: StoredCredential) -> Purpose:
    return for_tokens(stored.name, stored.type, rfc3339(stored.updated_at))


def _near(name: str, names: Iterable[str]) -> str:
    question = did_you_mean(name, names)
    return f" ({question})" if question else ""


def _plain(value: Any) -> Any:
    """Return the value with its secrets in plain text, to be validated and encrypted."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, SecretBytes):
        return value.get_secret_value().decode()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
