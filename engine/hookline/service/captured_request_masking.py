"""Captured requests as they are kept: secrets are masked, by the flow and its schemes, and by their names.

Nothing says which parts of a request are secret if there is no flow yet. So a value is masked if the name of its
header, parameter or field is that of a secret.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus, unquote_plus, urlencode

import msgspec

from hookline.bodies.json import read_json
from hookline.bodies.media_types import Media, read_media
from hookline.bodies.received_body import Received
from hookline.bodies.text import decode_text, known_charset
from hookline.bodies.urlencoded import lenient_query
from hookline.bodies.xml import read_xml
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import Malformed, TooLarge
from hookline.kernel.json import decode, encode
from hookline.secrets.masking import MASK, HiddenValues, has_secret_field, is_secret_name, names_a_key
from hookline.secrets.redaction_rules import RedactionRules
from hookline.service.hook_request_and_response import HookRequest
from hookline.service.hooks.headers_and_masks import Masks
from hookline.service.hooks.verification import Verifier, masks_of
from hookline.storage.captures import CapturedInfo, CapturedRequest

_HEAD_KEPT: Final = 16 * 1024
"""The most characters of all headers, and of the query."""
_PART: Final = re.compile(rb"""\bname\*?[ \t]{0,9}=[ \t]{0,9}(?:"([^"\r\n]*)|([^";\r\n]*))""", re.IGNORECASE)
"""The name of a part of a form, in quotes or without."""
_OPENING: Final = re.compile(rb"[\xef\xbb\xbf\xff\xfe\0\s]*+([\[{<])")
"""The first character of a document in JSON or XML, after the marks of an encoding."""
_PARAMETER: Final = re.compile(r"[\w.$@\[\]-]*+")
"""The name of a parameter, and no document that is sent as if it were one."""
_UNTOLD: Final = "the secrets in it can't be told apart"


class SeenRequest(NamedTuple):
    """A request as it came."""

    info: CapturedInfo
    request: HookRequest
    body: bytes
    left_out: str | None
    """The reason why the body isn't kept."""
    flow: CompiledFlow | None

    def masked(self) -> CapturedRequest:
        """Return the request without its secrets. Of one that can't be masked, only its flow and its time are kept."""
        try:
            return self._masked()
        except Exception:  # noqa: BLE001 - a defect of a scheme, which its verification reports, or a very deep body
            flow_id = self.info.path.partition("/")[0]
            info = msgspec.structs.replace(self.info, path=flow_id)
            return CapturedRequest(info, (), "", None, "it can't be masked")

    def _masked(self) -> CapturedRequest:
        masks = _masks(self.flow)
        body, left_out = (None, self.left_out) if self.left_out is not None else self._body(masks)
        query = _query(self.request.query, masks, is_body=self.request.method == "GET")
        shown = CapturedRequest(self.info, tuple(_headers(self.request, masks)), query, body, left_out)
        return shown if self._rules is None else _redacted(shown, self._rules)

    @property
    def _rules(self) -> RedactionRules | None:
        return None if self.flow is None else self.flow.redaction_rules

    def _body(self, masks: Masks) -> tuple[bytes | None, str | None]:
        """The masked body, and the reason why it is left out."""
        media, opening = read_media(self.info.content_type), _OPENING.match(self.body)
        opens = None if opening is None else opening[1]
        if media.kind == "properties" and opens is None:
            form = _form_in_utf8(self.body, media.charset)
            return (None, _UNTOLD) if form is None else (_query(form, masks, is_body=True).encode(), None)
        if media.kind == "multipart" and any(map(_is_secret, _part_names(self.body))):
            return None, "it has a part with the name of a secret"
        try:
            received = read_json(self.body, media.charset, exact=True)
        except (Malformed, TooLarge):
            if masks.fields:
                return None, "it isn't JSON, so its secret fields can't be masked"
            return (None, _UNTOLD) if _hides_a_secret(self.body, media, opens) else (self.body, None)
        value = received.body
        shown = _mask_members(masks.in_body(Received(value)).body if isinstance(value, dict | list) else value)
        text = received.json or b""
        # Of members with the same name, only the last one was looked at.
        if shown != value or _repeats_a_name(text):
            return encode(shown), None
        # What a flow redacts is looked for in UTF-8.
        return (text if self.body.strip() and self._rules is not None else self.body), None


def _masks(flow: CompiledFlow | None) -> Masks:
    """The parts that the schemes of a flow declare secret. Raises any error of a scheme."""
    if flow is None:
        return Masks()
    verifiers: list[Verifier] = [flow.trigger, *flow.waits.values()]
    found = [masks_of(verifier) for verifier in verifiers]
    return Masks(
        frozenset().union(*(one.headers for one in found)),
        frozenset().union(*(one.query for one in found)),
        tuple(field for one in found for field in one.fields),
    )


def _headers(request: HookRequest, masks: Masks) -> Iterable[tuple[str, str]]:
    room = _HEAD_KEPT
    for raw_name, raw_value in request.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        room -= len(name) + len(value)
        if room < 0:
            return
        yield name, MASK if name in masks.headers or _is_secret(name) else value


def _query(query: bytes, masks: Masks, *, is_body: bool) -> str:
    pairs = masks.in_query(query, is_body=is_body).decode(errors="replace").split("&")
    shown = "&".join(map(_mask_parameter, pairs))
    return shown if is_body else shown[:_HEAD_KEPT]


def _is_secret(name: str) -> bool:
    return is_secret_name(name) or names_a_key(name)


def _mask_parameter(pair: str) -> str:
    raw, _, value = pair.partition("=")
    # In UTF-16 that isn't declared, the other bytes of a name are zeros.
    name = unquote_plus(raw).replace("\0", "")
    if _is_secret(name):
        return f"{raw}={MASK}" if _PARAMETER.fullmatch(name) else MASK
    text = unquote_plus(value)
    shown = _mask_text(text)
    return pair if shown == text else f"{raw}={quote_plus(shown, safe='*')}"


def _mask_members(value: Any, *, named: bool = False) -> Any:
    """Mask the members of objects whose names are those of secrets; `named`: the value is that of such a member, or is
    in its list."""
    if isinstance(value, dict):
        return {key: _mask_member(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mask_members(item, named=named) for item in value]
    if isinstance(value, str) and value:
        return MASK if named else _mask_text(value)
    return value


def _mask_member(key: str, item: Any) -> Any:
    return MASK if item and names_a_key(key) else _mask_members(item, named=is_secret_name(key))


def _mask_text(text: str) -> str:
    """Mask the members of a text that is itself JSON; one in which they can't be told apart is masked as a whole."""
    if text.lstrip()[:1] not in ("{", "[", "<") or not has_secret_field(text):
        return text
    try:
        value = read_json(text.encode(), exact=True).body
    except (Malformed, TooLarge):
        return MASK
    shown = _mask_members(value)
    return encode(shown).decode() if shown != value or _repeats_a_name(text.encode()) else text


def _repeats_a_name(text: bytes) -> bool:
    """Return true if an object of a JSON text has several members with the same name."""
    repeats = False

    def members(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeats
        repeats = repeats or len({name for name, _ in pairs}) < len(pairs)

    try:
        json.loads(text, object_pairs_hook=members, parse_int=str, parse_float=str, strict=False)
    except (ValueError, RecursionError):
        return bool(text.strip())
    return repeats


def _form_in_utf8(data: bytes, charset: str | None) -> bytes | None:
    """A form in UTF-8, in which its names can be read; None if it isn't in its charset."""
    if charset is None or known_charset(charset) in (None, "utf-8", "ascii"):
        return data
    try:
        return decode_text(data, charset).encode()
    except (Malformed, TooLarge):
        return None


def _part_names(data: bytes) -> Iterator[str]:
    for quoted, plain in _PART.findall(data):
        yield (quoted or plain).decode("latin-1")


def _hides_a_secret(data: bytes, media: Media, opens: bytes | None) -> bool:
    """Return true if a body that isn't JSON may have a field with the name of a secret."""
    # In UTF-16 and UTF-32, the other bytes of such a name are zeros.
    text = data.replace(b"\0", b"").decode("latin-1")
    if media.kind == "xml" or opens == b"<":
        try:
            names = list(_xml_names(read_xml(data, media.charset, ()).body))
        except (Malformed, TooLarge):
            return is_secret_name(text) or has_secret_field(text)
        # Comments and CDATA may contain XML, too.
        return any(map(_is_secret, names)) or has_secret_field(text)
    malformed = media.kind == "json" or opens is not None
    return has_secret_field(text) or (malformed and is_secret_name(text))


def _xml_names(value: Any) -> Iterator[str]:
    """The names of the elements and attributes of XML, and the values of attributes, which may name a field."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            for key, item in one.items():
                yield key
                if isinstance(item, str):
                    if key.startswith("@"):
                        yield item
                else:
                    left.append(item)


def _redacted(shown: CapturedRequest, rules: RedactionRules) -> CapturedRequest:
    """Mask the values that a flow redacts, wherever they occur."""
    body, left_out = None, shown.left_out
    try:
        body = None if shown.body is None else decode(shown.body, exact=True)
    except (ValueError, RecursionError):
        left_out = "it isn't JSON, so what the flow redacts can't be masked"
    first, _, path = shown.info.path.partition("/")
    scope = {"body": body, "headers": dict(shown.headers), "query": lenient_query(shown.query.encode()), "path": path}
    found: list[Any] = []
    masked = rules.in_message(scope, found)
    hidden = HiddenValues()
    hidden.add(found)
    secret = masked["headers"]
    query = hidden.mask_text(shown.query)
    if masked["query"] != scope["query"]:
        query = urlencode(masked["query"], doseq=True) if isinstance(masked["query"], Mapping) else MASK
    return CapturedRequest(
        msgspec.structs.replace(shown.info, path="/".join(filter(None, (first, hidden.mask_text(masked["path"]))))),
        tuple(
            (name, MASK if not isinstance(secret, Mapping) or secret.get(name) == MASK else hidden.mask_text(value))
            for name, value in shown.headers
        ),
        hidden.mask_text(query),
        None if shown.body is None or left_out is not None else encode(hidden.mask(masked["body"])),
        left_out,
    )
