"""Captured requests as they are kept: secrets are masked, by the flow and its schemes, and by their names.

Nothing says which parts of a request are secret if there is no flow yet. So a value is masked if the name of its
header, parameter or field is that of a secret.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

import msgspec

from hookline.bodies.media_types import read_media
from hookline.bodies.received_body import Received
from hookline.bodies.urlencoded import lenient_query
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.json import decode, encode
from hookline.secrets.masking import MASK, HiddenValues, is_secret_name, names_a_key
from hookline.secrets.redaction_rules import RedactionRules
from hookline.service.hook_request_and_response import HookRequest
from hookline.service.hooks.headers_and_masks import Masks
from hookline.service.hooks.verification import Verifier, masks_of
from hookline.storage.captures import CapturedInfo, CapturedRequest

_HEAD_KEPT: Final = 16 * 1024
"""The most characters of all headers, and of the query."""
_PART: Final = re.compile(rb"""\bname="?([^";\r\n]*)""", re.IGNORECASE)
"""The name of a part of a form."""


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
        rules = None if self.flow is None else self.flow.redaction_rules
        return shown if rules is None else _redacted(shown, rules)

    def _body(self, masks: Masks) -> tuple[bytes | None, str | None]:
        """The masked body, and the reason why it is left out."""
        kind = read_media(self.info.content_type).kind
        if kind == "properties":
            return _query(self.body, masks, is_body=True).encode(), None
        if kind == "multipart" and any(is_secret_name(name.decode("latin-1")) for name in _PART.findall(self.body)):
            return None, "it has a part with the name of a secret"
        try:
            value = decode(self.body, exact=True)
            shown = _mask_members(masks.in_body(Received(value)).body if isinstance(value, dict | list) else value)
        except RecursionError:
            return None, "it is nested too deeply"
        except ValueError:
            return (None, "it isn't JSON, so its secret fields can't be masked") if masks.fields else (self.body, None)
        return (self.body if shown == value else encode(shown)), None


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
        yield name, MASK if name in masks.headers or is_secret_name(name) else value


def _query(query: bytes, masks: Masks, *, is_body: bool) -> str:
    named = {name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if is_secret_name(name)}
    shown = msgspec.structs.replace(masks, query=masks.query | named).in_query(query, is_body=is_body)
    return shown.decode(errors="replace") if is_body else shown.decode(errors="replace")[:_HEAD_KEPT]


def _mask_members(value: Any) -> Any:
    """Mask the members of objects whose names are those of secrets."""
    if isinstance(value, dict):
        return {key: MASK if _is_secret(key, item) else _mask_members(item) for key, item in value.items()}
    return [_mask_members(item) for item in value] if isinstance(value, list) else value


def _is_secret(key: str, item: Any) -> bool:
    return bool(item) and (names_a_key(key) or (isinstance(item, str) and is_secret_name(key)))


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
