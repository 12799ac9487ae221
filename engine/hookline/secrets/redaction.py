"""Redaction: values that a flow's `redact` names are masked in everything that is stored, and encrypted beside it.

Each execution has a data key, so no view needs to know which values are redacted: only the run of the execution
decrypts them. Once the data key is erased, nobody can.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hookline.kernel.errors import NotReplayable, RedactedUnreadable
from hookline.kernel.json import decode, encode
from hookline.model.callbacks_and_pages import Call, EncryptedCallback, FlowEnded, pack_callback, unpack_callback
from hookline.model.execution import ErrorInfo, StepRecord
from hookline.model.foreach_progress_and_streams import STREAM
from hookline.model.message import Attachment, Envelope, Message, json_to_store, read_stored_body, stored_body
from hookline.secrets.encryption import FOR_DATA_KEY, DataKey, Vault
from hookline.secrets.masking import MASK, HiddenValues
from hookline.secrets.redaction_rules import RedactionRules
from hookline.storage.change_declarations import SetDataKey

#: The largest JSON of a step's input or output, in bytes, that is searched for values; a larger one is masked whole.
_LARGEST_SEARCHED: Final = 256 * 1024
#: The first byte of an encrypted line; no JSON begins with it.
_ENCRYPTED_LINE: Final = b"!"
#: `use` of the journal entry of a reply to a caller.
REPLY: Final = "reply"
#: `use` of the blocks whose entries stand for entries of other executions or of items.
BATCH: Final = "batch"
FOREACH: Final = "foreach"


class _PlainMessage(msgspec.Struct, frozen=True, array_like=True):
    """A message before it was masked."""

    body: Any
    """Bytes of JSON, or a text: see `stored_body`. msgspec has no type for the two."""
    headers: dict[str, str]
    attachments: tuple[Attachment, ...]
    query: dict[str, Any]
    path: str
    raw: bytes | None
    raw_headers: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]
    everything: bool


_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(_PlainMessage)
#: The part of a batch step's output that holds the hidden texts of the other messages.
HIDDEN: Final = "hidden"
_PARTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _EncryptedBatchItem(msgspec.Struct, frozen=True, array_like=True):
    encrypted: bytes
    data_key: bytes
    """The item's own data key, encrypted by the vault."""


class _BatchItem(msgspec.Struct, frozen=True, array_like=True):
    body: bytes
    hidden: tuple[str, ...]


_unpack_encrypted_batch_item = msgspec.msgpack.Decoder(_EncryptedBatchItem)
_unpack_batch_item = msgspec.msgpack.Decoder(_BatchItem)


class Redactor:
    """Masks and encrypts the stored data of one execution, and decrypts it again."""

    def __init__(self, rules: RedactionRules | None, key: DataKey, hidden: Sequence[str] = ()) -> None:
        self._rules = rules
        self._key = key
        self.hidden = HiddenValues(hidden)
        """The values known so far that may be shown nowhere."""

    @property
    def data_key(self) -> bytes:
        """The execution's data key, encrypted by the vault."""
        return self._key.encrypted

    def with_rules(self, rules: RedactionRules | None) -> "Redactor":
        """A redactor with other rules and the same data key."""
        return Redactor(rules, self._key)

    def key_change(self, execution_id: str) -> SetDataKey | None:
        """The change that stores the data key of an execution."""
        return SetDataKey(execution_id, self.data_key)

    def redact_message(self, envelope: Envelope) -> Envelope:
        """Mask a message's redacted values, and add the whole message encrypted."""
        message, arrival, hidden = envelope.message, envelope.arrival, self.hidden
        for text in envelope.hidden:
            hidden.add(text)
        scope = _scope(envelope)
        shown = self._mask_message(scope)
        body, headers, query, path = (hidden.mask(shown[name]) for name in ("body", "headers", "query", "path"))
        attachments = tuple(map(self._mask_attachment, message.attachments))
        tags = {name: text for name, text in envelope.tags.items() if hidden.mask_text(text) == text}
        envelope = msgspec.structs.replace(envelope, tags=tags, hidden=(), data_key=self.data_key)
        if not hidden and shown is scope:
            return envelope
        plain = _PlainMessage(
            body=stored_body(envelope),
            headers=message.headers,
            attachments=message.attachments,
            query=arrival.query,
            path=arrival.path,
            raw=envelope.raw,
            raw_headers=envelope.raw_headers,
            hidden=tuple(hidden),
            everything=hidden.everything,
        )
        # If all headers are redacted at once, the mask has replaced the object.
        headers = headers if isinstance(headers, dict) else dict.fromkeys(message.headers, MASK)
        masked_names = {name for name in message.headers if headers.get(name) == MASK}
        raw_headers = tuple(
            (name, MASK if name.lower() in masked_names else hidden.mask_text(value))
            for name, value in envelope.raw_headers
        )
        same = body is message.body
        return msgspec.structs.replace(
            envelope,
            message=Message(body, {name: str(value) for name, value in headers.items()}, attachments),
            arrival=msgspec.structs.replace(
                arrival, query=query if isinstance(query, dict) else dict.fromkeys(arrival.query, MASK), path=path
            ),
            body_json=envelope.body_json if same else json_to_store(body),
            raw=envelope.raw if same else None,
            raw_headers=raw_headers,
            encrypted=self._key.encrypt(_pack.encode(plain)),
        )

    def _mask_attachment(self, attachment: Attachment) -> Attachment:
        name, filename = attachment.name, attachment.filename
        return msgspec.structs.replace(
            attachment,
            name=self.hidden.mask_text(name),
            filename=None if filename is None else self.hidden.mask_text(filename),
        )

    def decrypt_message(self, envelope: Envelope) -> Envelope:
        """Return the message before it was masked, with its hidden texts. Raises RedactedUnreadable."""
        if envelope.encrypted is not None:
            plain = _unpack.decode(self._key.decrypt(envelope.encrypted))
            for text in plain.hidden:
                self.hidden.add(text)
            self.hidden.everything = self.hidden.everything or plain.everything
            arrival = msgspec.structs.replace(envelope.arrival, query=plain.query, path=plain.path)
            body, json = read_stored_body(plain.body, exact=envelope.exact)
            envelope = msgspec.structs.replace(
                envelope,
                message=Message(body, plain.headers, plain.attachments),
                arrival=arrival,
                body_json=json,
                raw=plain.raw,
                raw_headers=plain.raw_headers,
                encrypted=None,
            )
        # The version that runs the message may redact more than the version that accepted it.
        self._mask_message(_scope(envelope))
        return msgspec.structs.replace(envelope, hidden=tuple(self.hidden))

    def redact_entry(self, record: StepRecord) -> StepRecord:
        """Mask a journal entry; if that changes its output, add the output encrypted."""
        output = shown = record.output
        if output is not None:
            kept = ("body",) if record.signal == STREAM else ("status", "delivered") if record.use == REPLY else ()
            shown = self._mask_json(output, record.id, kept)
            if record.use == BATCH and shown is not output:
                # The encrypted output keeps the hidden texts for the next run; the masked one needs none.
                shown = encode({key: value for key, value in _PARTS.decode(shown).items() if key != HIDDEN})
        return msgspec.structs.replace(
            record,
            input=None if record.input is None else self._mask_json(record.input),
            output=shown,
            error=None if record.error is None else self.mask_error(record.error),
            encrypted=None if output is None or shown is output else self._key.encrypt(output),
        )

    def decrypt_journal(self, records: Sequence[StepRecord]) -> list[StepRecord]:
        """Return entries before they were masked. Raises RedactedUnreadable."""
        plain = []
        for record in records:
            if record.use == FOREACH:
                self.resume_items()
            if record.encrypted is not None:
                record = msgspec.structs.replace(record, output=self._key.decrypt(record.encrypted), encrypted=None)
            if record.use == BATCH and record.output is not None:
                known = _PARTS.decode(record.output).get(HIDDEN)
                self.hidden.add([] if known is None else decode(bytes(known)))
            if record.output is not None and self._rules is not None:
                found: list[Any] = []
                self._rules.in_result(record.id, decode(record.output, exact=True), found)
                self.hidden.add(found)
            plain.append(record)
        return plain

    def resume_items(self) -> None:
        """Hide everything if the flow redacts results of steps, since a foreach has dropped entries with results."""
        if self._rules is not None and self._rules.of_steps:
            self.hidden.everything = True

    def learn_item(self, item: Any) -> None:
        """Hide the redacted values of an item of a stream."""
        if self._rules is not None:
            found: list[Any] = []
            self._rules.in_item(item, found)
            self.hidden.add(found)

    def with_hidden(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Add the hidden texts to the output of a batch step, so that they are encrypted together with it."""
        return {**batch, HIDDEN: list(self.hidden)}

    def copy_entry(self, record: StepRecord, source: "Redactor") -> StepRecord:
        """Redact an entry of another execution for this one: masked as it is there, encrypted with this data key."""
        if record.encrypted is None:
            return self.redact_entry(record)
        return msgspec.structs.replace(record, encrypted=self._key.encrypt(source.decrypt(record.encrypted)))

    def decrypt(self, encrypted: bytes) -> bytes:
        """Raises RedactedUnreadable."""
        return self._key.decrypt(encrypted)

    def mask_error(self, error: ErrorInfo) -> ErrorInfo:
        """Mask an error's message, also where it quotes only a part of a hidden value."""
        return (
            msgspec.structs.replace(error, message=self.hidden.mask_excerpts(error.message)) if self.hidden else error
        )

    def encrypt_line(self, item: bytes) -> bytes:
        """Encrypt the JSON of one of many items as a line of text."""
        return _ENCRYPTED_LINE + b64encode(self._key.encrypt(item))

    def decrypt_line(self, line: bytes) -> bytes:
        """Decrypt a line of `encrypt_line`; return any other line unchanged. Raises RedactedUnreadable."""
        return self._key.decrypt(b64decode(line[1:])) if line.startswith(_ENCRYPTED_LINE) else line

    def _mask_message(self, scope: dict[str, Any]) -> Any:
        found: list[Any] = []
        shown = scope if self._rules is None else self._rules.in_message(scope, found)
        self.hidden.add(found)
        return shown

    def _mask_json(self, json: bytes, step_id: str | None = None, kept: Sequence[str] = ()) -> bytes:
        """Mask the JSON of a step's input or output; return the same bytes if nothing in it is hidden.

        `kept`: members that aren't masked, since they hold no part of a message: the place of a stream's items, and
        the status of a reply.
        """
        named = step_id is not None and self._rules is not None and self._rules.concerns(step_id)
        large = bool(self.hidden) and len(json) > _LARGEST_SEARCHED
        if not named and (large or self.hidden.everything):
            value: Any = _PARTS.decode(json) if json.startswith(b"{") else None
            shown: Any = _mask_members(value)
        else:
            value = shown = decode(json, exact=True)
            if self._rules is not None:
                if step_id is not None:
                    found: list[Any] = []
                    shown = self._rules.in_result(step_id, shown, found)
                    self.hidden.add(found)
                shown = self._rules.in_same_places(shown)
            shown = self.hidden.mask(shown) if not large else _mask_members(value)
        if shown is value:
            return json
        if isinstance(value, dict):
            # References to files stay, since the store reads them.
            files = msgspec.convert(_decode_raw(value.get("attachments", [])), tuple[Attachment, ...])
            if files:
                shown = {**shown, "attachments": msgspec.to_builtins([self._mask_attachment(file) for file in files])}
            shown = {**shown, **{name: value[name] for name in kept if name in value}}
        return encode(shown)


class NoRedactor:
    """Stands for a redactor where nothing is redacted: it stores and shows everything as it is."""

    hidden: Final = HiddenValues()

    def key_change(self, execution_id: str) -> SetDataKey | None:
        """There is no key."""
        return None

    def redact_message(self, envelope: Envelope) -> Envelope:
        """Return the message."""
        return envelope

    def redact_entry(self, record: StepRecord) -> StepRecord:
        """Return the entry."""
        return record

    def mask_error(self, error: ErrorInfo) -> ErrorInfo:
        """Return the error."""
        return error

    def encrypt_line(self, item: bytes) -> bytes:
        """Return the JSON of the item."""
        return item

    def decrypt_line(self, line: bytes) -> bytes:
        """Return the line."""
        return line

    def with_hidden(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the output."""
        return batch

    def resume_items(self) -> None:
        """Nothing is hidden."""

    def learn_item(self, item: Any) -> None:
        """Nothing is hidden."""


NO_REDACTOR: Final = NoRedactor()


def _scope(envelope: Envelope) -> dict[str, Any]:
    """The parts of a message that can be redacted, as `RedactionRules.in_message` takes them."""
    message, arrival = envelope.message, envelope.arrival
    return {"body": message.body, "headers": message.headers, "query": arrival.query, "path": arrival.path}


def _mask_members(value: Any) -> Any:
    return dict.fromkeys(value, MASK) if isinstance(value, dict) else MASK


def _decode_raw(value: Any) -> Any:
    return decode(bytes(value)) if isinstance(value, msgspec.Raw) else value


def is_encrypted(batch_item: bytes) -> bool:
    return batch_item.startswith(_ENCRYPTED_LINE)


def check_not_erased(envelope: Envelope, past: Sequence[StepRecord] = ()) -> None:
    """Raise NotReplayable if the execution's redacted values are erased."""
    encrypted = envelope.encrypted is not None or any(record.encrypted is not None for record in past)
    if encrypted and envelope.data_key is None:
        raise NotReplayable(
            f"the redacted values of execution {envelope.execution_id} are erased: it succeeded, was cancelled, or "
            "its dead letter was discarded"
        )


class Redaction:
    """Redacts messages, callbacks and batch items, and makes the redactor of each execution."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def redact(self, rules: RedactionRules | None, envelope: Envelope) -> Envelope:
        """Redact a message as its flow demands. Raises RedactedUnreadable if its data key can't be decrypted."""
        if rules is None and not envelope.hidden and envelope.data_key is None:
            return envelope
        return Redactor(rules, self._key(envelope.data_key)).redact_message(envelope)

    def decrypt(
        self, rules: RedactionRules | None, envelope: Envelope, past: Sequence[StepRecord] = ()
    ) -> tuple[Envelope, Sequence[StepRecord], Redactor | NoRedactor]:
        """Return a message and a journal before they were masked, and the execution's redactor.

        Raises NotReplayable if redacted values are erased, and RedactedUnreadable.
        """
        if envelope.data_key is None:
            check_not_erased(envelope, past)
            if rules is None:
                return envelope, past, NO_REDACTOR
        redactor = Redactor(rules, self._key(envelope.data_key))
        past = redactor.decrypt_journal(past)
        return redactor.decrypt_message(envelope), past, redactor

    def redact_replay(
        self,
        rules: RedactionRules | None,
        envelope: Envelope,
        entries: Sequence[StepRecord],
        old: Redactor | NoRedactor,
    ) -> tuple[Envelope, Sequence[StepRecord]]:
        """Redact a message that `decrypt` returned and entries of its journal, with a data key of their own.

        `old`: the redactor of the execution that the entries come from. If one of them is a stream, its items in the
        blob store are encrypted with the key of that execution, so both have this key, each until its end.
        """
        if isinstance(old, NoRedactor):
            return self.redact(rules, envelope), entries
        streams = any(record.signal == STREAM for record in entries)
        redactor = old.with_rules(rules) if streams else self.new_redactor(rules)
        envelope = redactor.redact_message(envelope)
        return envelope, [redactor.copy_entry(record, old) for record in entries]

    def new_redactor(self, rules: RedactionRules | None) -> Redactor:
        """Make a redactor for an execution that had nothing to redact so far; its data key must be stored."""
        return Redactor(rules, DataKey.generate(self._vault))

    def decrypt_output(self, record: StepRecord, data_key: bytes | None) -> bytes | None:
        """Return an entry's output before it was masked; None if it is erased. Raises RedactedUnreadable."""
        if record.encrypted is None:
            return record.output
        return None if data_key is None else DataKey.load(self._vault, data_key).decrypt(record.encrypted)

    def redact_call(self, rules: RedactionRules | None, call: Call) -> bytes:
        """Pack a call for the store, encrypted if the waiting flow redacts anything.

        Only its step will know if it repeats values that are redacted elsewhere.
        """
        packed = pack_callback(call)
        return packed if rules is None else self.encrypt_callback(packed)

    def encrypt_result(self, packed: bytes, redactor: Redactor | NoRedactor) -> bytes:
        """Encrypt the packed callback that has an execution's result, if the execution redacts anything."""
        return packed if isinstance(redactor, NoRedactor) else self.encrypt_callback(packed)

    def encrypt_callback(self, packed: bytes) -> bytes:
        """Encrypt a packed callback with a data key of its own; it is decrypted soon, or never."""
        key = DataKey.generate(self._vault)
        return pack_callback(EncryptedCallback(key.encrypt(packed), key.encrypted))

    def decrypt_callback(self, packed: bytes) -> Call | FlowEnded:
        """Unpack a callback, and decrypt it if it is encrypted. Raises RedactedUnreadable."""
        callback = unpack_callback(packed)
        if isinstance(callback, EncryptedCallback):
            callback = unpack_callback(DataKey.load(self._vault, callback.data_key).decrypt(callback.encrypted))
        assert not isinstance(callback, EncryptedCallback)  # noqa: S101 - nothing is encrypted twice
        return callback

    def decrypt_line(self, line: bytes, data_key: bytes | None) -> bytes:
        """Decrypt a line that the redactor of an execution encrypted; return any other line unchanged.

        `data_key`: that of the execution. Raises RedactedUnreadable, also if it is erased.
        """
        if not line.startswith(_ENCRYPTED_LINE):
            return line
        if data_key is None:
            raise RedactedUnreadable("the data key of the execution is erased")
        return DataKey.load(self._vault, data_key).decrypt(b64decode(line[1:]))

    def encrypt_batch_item(self, body: bytes, redactor: Redactor | NoRedactor) -> bytes:
        """Encrypt the JSON that an execution adds to a batch, if the execution redacts anything.

        It gets a data key of its own, since that of the execution is erased before the leader reads it.
        """
        if isinstance(redactor, NoRedactor):
            return body
        key = DataKey.generate(self._vault)
        encrypted = key.encrypt(_pack.encode(_BatchItem(body, tuple(redactor.hidden))))
        return _ENCRYPTED_LINE + _pack.encode(_EncryptedBatchItem(encrypted, key.encrypted))

    def decrypt_batch_item(self, stored: bytes) -> tuple[bytes, Sequence[str]]:
        """Return the JSON and the hidden texts of its message. Raises RedactedUnreadable."""
        if not is_encrypted(stored):
            return stored, ()
        encrypted = _unpack_encrypted_batch_item.decode(stored[len(_ENCRYPTED_LINE) :])
        item = _unpack_batch_item.decode(DataKey.load(self._vault, encrypted.data_key).decrypt(encrypted.encrypted))
        return item.body, item.hidden

    def _key(self, encrypted: bytes | None) -> DataKey:
        return DataKey.generate(self._vault) if encrypted is None else DataKey.load(self._vault, encrypted)


def reencrypt_batch_item(stored: bytes, vault: Vault) -> bytes | None:
    """Return an item of a batch with its data key encrypted by the vault's first key; None if nothing is to change."""
    if not is_encrypted(stored):
        return None
    item = _unpack_encrypted_batch_item.decode(stored[len(_ENCRYPTED_LINE) :])
    key = _reencrypted_key(item.data_key, vault)
    return None if key is None else _ENCRYPTED_LINE + _pack.encode(msgspec.structs.replace(item, data_key=key))


def reencrypt_callback(packed: bytes, vault: Vault) -> bytes | None:
    """Return a packed callback with its data key encrypted by the vault's first key; None if nothing is to change."""
    callback = unpack_callback(packed)
    if not isinstance(callback, EncryptedCallback):
        return None
    key = _reencrypted_key(callback.data_key, vault)
    return None if key is None else pack_callback(msgspec.structs.replace(callback, data_key=key))


def _reencrypted_key(key: bytes, vault: Vault) -> bytes | None:
    if vault.is_current(key):
        return None
    try:
        return vault.reencrypt(key, purpose=FOR_DATA_KEY)
    except RedactedUnreadable:
        # Its key was removed before: nobody can read the values any more.
        return None


class NoRedaction:
    """Stands for `Redaction` where nothing is stored, and so nothing is redacted."""

    def decrypt(
        self, rules: RedactionRules | None, envelope: Envelope, past: Sequence[StepRecord] = ()
    ) -> tuple[Envelope, Sequence[StepRecord], NoRedactor]:
        """Return the message and the journal."""
        return envelope, past, NO_REDACTOR

    def new_redactor(self, rules: RedactionRules | None) -> NoRedactor:
        """Return the redactor that redacts nothing."""
        return NO_REDACTOR

    def encrypt_result(self, packed: bytes, redactor: Redactor | NoRedactor) -> bytes:
        """Return the callback."""
        return packed

    def decrypt_callback(self, packed: bytes) -> Call | FlowEnded:
        """Unpack the callback."""
        callback = unpack_callback(packed)
        assert not isinstance(callback, EncryptedCallback)  # noqa: S101 - nothing is encrypted here
        return callback

    def encrypt_batch_item(self, body: bytes, redactor: Redactor | NoRedactor) -> bytes:
        """Return the JSON."""
        return body

    def decrypt_batch_item(self, stored: bytes) -> tuple[bytes, Sequence[str]]:
        """Return the JSON, and no hidden texts."""
        return stored, ()


NO_REDACTION: Final = NoRedaction()
