"""Redacted values: masked in whatever is stored in the open, and kept whole only under the execution's seal.

So no view needs to know what is redacted: nobody but the run of an execution ever has the values, and once the key of
its seal is erased, nobody.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hookline.kernel.errors import NotReplayable, RedactedUnreadable
from hookline.kernel.json import decode, encode
from hookline.model.execution import ErrorInfo, StepRecord
from hookline.model.items import STREAM
from hookline.model.message import Attachment, Envelope, Message
from hookline.model.waits import Call, FlowEnded, SealedCallback, pack_callback, unpack_callback
from hookline.secrets.masking import MASK, Hidden
from hookline.secrets.redaction_rules import RedactionRules
from hookline.secrets.vault import Vault
from hookline.storage.changes import SetDataKey
from hookline.storage.store import Store

_KEY_SIZE: Final = 32
_NONCE_SIZE: Final = 12


class Seal:
    """Encrypts and decrypts with one key."""

    __slots__ = ("_cipher", "wrapped")

    def __init__(self, key: bytes, wrapped: bytes) -> None:
        self._cipher = AESGCM(key)
        self.wrapped = wrapped
        """The key as it is stored."""

    @classmethod
    def new(cls, vault: Vault) -> "Seal":
        """One with a key of its own."""
        key = os.urandom(_KEY_SIZE)
        return cls(key, vault.wrap(key))

    @classmethod
    def of(cls, vault: Vault, wrapped: bytes) -> "Seal":
        """The one whose key is stored. Raises RedactedUnreadable where the vault can't unwrap that."""
        return cls(vault.unwrap(wrapped), wrapped)

    def close(self, plaintext: bytes) -> bytes:
        """Encrypt."""
        nonce = os.urandom(_NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, plaintext, None)

    def open(self, ciphertext: bytes) -> bytes:
        """What `close` was given. Raises RedactedUnreadable where it is of another key, or was altered."""
        try:
            return self._cipher.decrypt(ciphertext[:_NONCE_SIZE], ciphertext[_NONCE_SIZE:], None)
        except (InvalidTag, ValueError):
            raise RedactedUnreadable("redacted values were altered, or are of another execution") from None


#: Bytes of JSON of a step's input or output through which values are looked for; of a larger one, the whole is masked.
_LARGEST: Final = 256 * 1024
#: Keys that are wrapped again in one commit.
_PAGE: Final = 200
#: What begins a line that is sealed: no JSON does.
_SEALED_LINE: Final = b"!"
#: What the entry of an answer to a caller says that it is of.
REPLY: Final = "reply"
#: The blocks whose entries hold what other entries would tell.
BATCH: Final = "batch"
FOREACH: Final = "foreach"


class _Whole(msgspec.Struct, frozen=True, array_like=True):
    """What a message was before it was masked."""

    body: bytes
    headers: dict[str, str]
    attachments: tuple[Attachment, ...]
    query: dict[str, Any]
    path: str
    raw: bytes | None
    raw_headers: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]
    everything: bool


_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(_Whole)
#: What else stands in the output of a step that gathers: texts that are to be seen nowhere, of other messages.
HIDDEN: Final = "hidden"
_PARTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Added(msgspec.Struct, frozen=True, array_like=True):
    """What an execution has added to a batch: encrypted, with the key of its own seal, wrapped."""

    sealed: bytes
    seal_key: bytes


class _Opened(msgspec.Struct, frozen=True, array_like=True):
    body: bytes
    hidden: tuple[str, ...]


_unpack_added = msgspec.msgpack.Decoder(_Added)
_unpack_opened = msgspec.msgpack.Decoder(_Opened)


class Redactor:
    """Masks and seals what one execution does, and opens what it has done."""

    def __init__(self, rules: RedactionRules | None, seal: Seal, hidden: Sequence[str] = ()) -> None:
        self._rules = rules
        self._seal = seal
        self.hidden = Hidden(hidden)
        """What it knows that is to be seen nowhere."""

    @property
    def key(self) -> bytes:
        """The key of the seal, wrapped."""
        return self._seal.wrapped

    def message(self, envelope: Envelope) -> Envelope:
        """A message with its redacted values masked, and the whole sealed beside them."""
        message, arrival, hidden = envelope.message, envelope.arrival, self.hidden
        for text in envelope.hidden:
            hidden.add(text)
        scope = _scope(envelope)
        shown = self._without(scope)
        body, headers, query, path = (hidden.value(shown[name]) for name in ("body", "headers", "query", "path"))
        attachments = tuple(map(self._attachment, message.attachments))
        envelope = msgspec.structs.replace(envelope, hidden=(), seal_key=self.key)
        if not hidden and shown is scope:
            return envelope
        body_json = envelope.body_json if envelope.body_json is not None else encode(message.body)
        whole = _Whole(
            body=body_json,
            headers=message.headers,
            attachments=message.attachments,
            query=arrival.query,
            path=arrival.path,
            raw=envelope.raw,
            raw_headers=envelope.raw_headers,
            hidden=tuple(hidden),
            everything=hidden.everything,
        )
        # A redacted header, or all of them at once, is no object of texts any more.
        headers = headers if isinstance(headers, dict) else dict.fromkeys(message.headers, MASK)
        masked = {name for name in message.headers if headers.get(name) == MASK}
        raw_headers = tuple(
            (name, MASK if name.lower() in masked else hidden.text(value)) for name, value in envelope.raw_headers
        )
        same = body is message.body
        return msgspec.structs.replace(
            envelope,
            message=Message(body, {name: str(value) for name, value in headers.items()}, attachments),
            arrival=msgspec.structs.replace(
                arrival, query=query if isinstance(query, dict) else dict.fromkeys(arrival.query, MASK), path=path
            ),
            body_json=body_json if same else encode(body),
            raw=envelope.raw if same else None,
            raw_headers=raw_headers,
            sealed=self._seal.close(_pack.encode(whole)),
        )

    def _attachment(self, attachment: Attachment) -> Attachment:
        """A file whose names may tell what is redacted."""
        name, filename = attachment.name, attachment.filename
        return msgspec.structs.replace(
            attachment,
            name=self.hidden.text(name),
            filename=None if filename is None else self.hidden.text(filename),
        )

    def opened(self, envelope: Envelope) -> Envelope:
        """The message as it was, with what it hides. Raises RedactedUnreadable."""
        if envelope.sealed is not None:
            whole = _unpack.decode(self._seal.open(envelope.sealed))
            for text in whole.hidden:
                self.hidden.add(text)
            self.hidden.everything = self.hidden.everything or whole.everything
            arrival = msgspec.structs.replace(envelope.arrival, query=whole.query, path=whole.path)
            body = decode(whole.body, exact=envelope.exact)
            envelope = msgspec.structs.replace(
                envelope,
                message=Message(body, whole.headers, whole.attachments),
                arrival=arrival,
                body_json=whole.body,
                raw=whole.raw,
                raw_headers=whole.raw_headers,
                sealed=None,
            )
        # A version that redacts more may run it than that which accepted it.
        self._without(_scope(envelope))
        return msgspec.structs.replace(envelope, hidden=tuple(self.hidden))

    def entry(self, record: StepRecord) -> StepRecord:
        """An entry as it is stored: masked, and with its output sealed where there is something to mask."""
        output = shown = record.output
        if output is not None:
            kept = ("body",) if record.signal == STREAM else ("status", "delivered") if record.use == REPLY else ()
            shown = self._shown(output, record.id, kept)
            if record.use == BATCH and shown is not output:
                # They are under the seal, for the next time that it runs, and how many there are says nothing.
                shown = encode({key: value for key, value in _PARTS.decode(shown).items() if key != HIDDEN})
        return msgspec.structs.replace(
            record,
            input=None if record.input is None else self._shown(record.input),
            output=shown,
            error=None if record.error is None else self.error(record.error),
            sealed=None if output is None or shown is output else self._seal.close(output),
        )

    def past(self, records: Sequence[StepRecord]) -> list[StepRecord]:
        """Entries as they were noted. Raises RedactedUnreadable."""
        opened = []
        for record in records:
            if record.use == FOREACH:
                # The entries of its items may be gone, and with them what was to be learnt from them.
                self.resumes_items()
            if record.sealed is not None:
                record = msgspec.structs.replace(record, output=self._seal.open(record.sealed), sealed=None)
            if record.use == BATCH and record.output is not None:
                known = _PARTS.decode(record.output).get(HIDDEN)
                self.hidden.add([] if known is None else decode(bytes(known)))
            if record.output is not None and self._rules is not None:
                found: list[Any] = []
                self._rules.in_result(record.id, decode(record.output, exact=True), found)
                self.hidden.add(found)
            opened.append(record)
        return opened

    def resumes_items(self) -> None:
        """An execution goes on within a foreach whose items' entries are gone, and so is what they would tell."""
        if self._rules is not None and self._rules.of_steps:
            self.hidden.everything = True

    def learn_item(self, item: Any) -> None:
        """An item of a stream is about to be used, whichever step gave it."""
        if self._rules is not None:
            found: list[Any] = []
            self._rules.in_item(item, found)
            self.hidden.add(found)

    def resealed(self, record: StepRecord, other: "Redactor") -> StepRecord:
        """An entry of another execution as this one stores it: masked as it is there, under this one's seal."""
        if record.sealed is None:
            return self.entry(record)
        return msgspec.structs.replace(record, sealed=self._seal.close(other.unsealed(record.sealed)))

    def unsealed(self, sealed: bytes) -> bytes:
        """What the seal has closed. Raises RedactedUnreadable."""
        return self._seal.open(sealed)

    def error(self, error: ErrorInfo) -> ErrorInfo:
        """An error as it may be shown. It may quote a part of a value."""
        return msgspec.structs.replace(error, message=self.hidden.excerpt(error.message)) if self.hidden else error

    def line(self, item: bytes) -> bytes:
        """JSON, sealed as one line of text: for what no view shows, and what is many."""
        return _SEALED_LINE + b64encode(self._seal.close(item))

    def opened_line(self, line: bytes) -> bytes:
        """What `line` was given; other lines stay as they are. Raises RedactedUnreadable."""
        return self._seal.open(b64decode(line[1:])) if line.startswith(_SEALED_LINE) else line

    def _without(self, scope: dict[str, Any]) -> Any:
        found: list[Any] = []
        shown = scope if self._rules is None else self._rules.in_message(scope, found)
        self.hidden.add(found)
        return shown

    def _shown(self, json: bytes, step_id: str | None = None, kept: Sequence[str] = ()) -> bytes:
        """JSON of a step's input, or of its output, without what is hidden; the same bytes where nothing is.

        `kept`: parts that are no message's: where a stream's items are, and how a caller is answered.
        """
        named = step_id is not None and self._rules is not None and self._rules.concerns(step_id)
        large = bool(self.hidden) and len(json) > _LARGEST
        if not named and (large or self.hidden.everything):
            value: Any = _PARTS.decode(json) if json.startswith(b"{") else None
            shown: Any = _covered(value)
        else:
            value = shown = decode(json, exact=True)
            if self._rules is not None:
                if step_id is not None:
                    found: list[Any] = []
                    shown = self._rules.in_result(step_id, shown, found)
                    self.hidden.add(found)
                shown = self._rules.alike(shown)
            shown = self.hidden.value(shown) if not large else _covered(value)
        if shown is value:
            return json
        if isinstance(value, dict):
            # What refers to files isn't theirs to lose: the store reads it.
            files = msgspec.convert(_plain(value.get("attachments", [])), tuple[Attachment, ...])
            if files:
                shown = {**shown, "attachments": msgspec.to_builtins([self._attachment(file) for file in files])}
            shown = {**shown, **{name: value[name] for name in kept if name in value}}
        return encode(shown)


def _scope(envelope: Envelope) -> dict[str, Any]:
    """What of a message can be redacted, as `RedactionRules.in_message` takes it."""
    message, arrival = envelope.message, envelope.arrival
    return {"body": message.body, "headers": message.headers, "query": arrival.query, "path": arrival.path}


def _covered(value: Any) -> Any:
    """No more of a value than which parts it has."""
    return dict.fromkeys(value, MASK) if isinstance(value, dict) else MASK


def _plain(value: Any) -> Any:
    return decode(bytes(value)) if isinstance(value, msgspec.Raw) else value


def is_sealed(added: bytes) -> bool:
    """Whether what was added to a batch is encrypted."""
    return added.startswith(_SEALED_LINE)


def check_not_erased(envelope: Envelope, past: Sequence[StepRecord] = ()) -> None:
    """Raise NotReplayable where redacted values of an execution are erased."""
    sealed = envelope.sealed is not None or any(record.sealed is not None for record in past)
    if sealed and envelope.seal_key is None:
        raise NotReplayable(
            f"the redacted values of execution {envelope.execution_id} are erased: it succeeded, was cancelled, or "
            "its dead letter was discarded"
        )


async def rewrap(store: Store, vault: Vault) -> None:
    """Wrap by the vault's first key whatever keys of seals are wrapped by another.

    Raises RedactedUnreadable where one can't be unwrapped, and StoreError.
    """
    after = ""
    while page := await store.seal_keys(after, _PAGE):
        after = page[-1][0]
        renewed = [
            SetDataKey(execution_id, vault.wrap(vault.unwrap(wrapped)), wrapped)
            for execution_id, wrapped in page
            if not vault.current(wrapped)
        ]
        if renewed:
            await store.commit(renewed)


class Sealing:
    """Makes and finds the seals of executions."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def sealed(self, rules: RedactionRules | None, envelope: Envelope) -> Envelope:
        """A message as its flow lets it be stored. Raises RedactedUnreadable where it has a seal that can't be read."""
        if rules is None and not envelope.hidden and envelope.seal_key is None:
            return envelope
        return Redactor(rules, self._seal(envelope.seal_key)).message(envelope)

    def opened(
        self, rules: RedactionRules | None, envelope: Envelope, past: Sequence[StepRecord] = ()
    ) -> tuple[Envelope, Sequence[StepRecord], Redactor | None]:
        """A message and a journal as they were, and the redactor of their execution, where it has or needs one.

        Raises NotReplayable where redacted values are erased, and RedactedUnreadable.
        """
        if envelope.seal_key is None:
            check_not_erased(envelope, past)
            if rules is None:
                return envelope, past, None
        redactor = Redactor(rules, self._seal(envelope.seal_key))
        past = redactor.past(past)
        return redactor.opened(envelope), past, redactor

    def replayed(
        self, rules: RedactionRules | None, envelope: Envelope, entries: Sequence[StepRecord], old: Redactor | None
    ) -> tuple[Envelope, Sequence[StepRecord]]:
        """A message, as `opened` gave it, and entries of its journal, as they are stored, under a seal of their own.

        `old`: the redactor of the execution that they are of.
        """
        if old is None:
            return self.sealed(rules, envelope), entries
        redactor = self.fresh(rules)
        envelope = redactor.message(envelope)
        return envelope, [redactor.resealed(record, old) for record in entries]

    def output(self, record: StepRecord, seal_key: bytes | None) -> bytes | None:
        """The output of one entry as it was; None where it is erased. Raises RedactedUnreadable."""
        if record.sealed is None:
            return record.output
        return None if seal_key is None else Seal.of(self._vault, seal_key).open(record.sealed)

    def call(self, rules: RedactionRules | None, call: Call) -> bytes:
        """A call, packed as the flow that waits for it lets it be stored until its step takes it.

        Whether it repeats what is redacted elsewhere isn't known before.
        """
        packed = pack_callback(call)
        return packed if rules is None else self.callback(packed)

    def callback(self, packed: bytes) -> bytes:
        """What came for a step that waits, with a seal of its own: it is opened soon, or never."""
        seal = Seal.new(self._vault)
        return pack_callback(SealedCallback(seal.close(packed), seal.wrapped))

    def added(self, body: bytes, redactor: Redactor | None) -> bytes:
        """JSON that an execution adds to a batch, as it is stored until the leader takes it.

        It has a seal of its own: that of the execution is erased before.
        """
        if redactor is None:
            return body
        seal = Seal.new(self._vault)
        closed = seal.close(_pack.encode(_Opened(body, tuple(redactor.hidden))))
        return _SEALED_LINE + _pack.encode(_Added(closed, seal.wrapped))

    def opened_added(self, added: bytes) -> tuple[bytes, Sequence[str]]:
        """What `added` was given, and what is to be seen nowhere of it. Raises RedactedUnreadable."""
        if not added.startswith(_SEALED_LINE):
            return added, ()
        stored = _unpack_added.decode(added[len(_SEALED_LINE) :])
        opened = _unpack_opened.decode(Seal.of(self._vault, stored.seal_key).open(stored.sealed))
        return opened.body, opened.hidden

    def fresh(self, rules: RedactionRules | None) -> Redactor:
        """The redactor of an execution that had nothing to redact so far; its key has to be kept."""
        return Redactor(rules, Seal.new(self._vault))

    def opened_callback(self, packed: bytes) -> Call | FlowEnded:
        """What `call` and `callback` were given, unpacked. Raises RedactedUnreadable."""
        callback = unpack_callback(packed)
        if isinstance(callback, SealedCallback):
            callback = unpack_callback(Seal.of(self._vault, callback.seal_key).open(callback.sealed))
        assert not isinstance(callback, SealedCallback)  # noqa: S101 - what is sealed is no seal
        return callback

    def _seal(self, wrapped: bytes | None) -> Seal:
        return Seal.new(self._vault) if wrapped is None else Seal.of(self._vault, wrapped)
