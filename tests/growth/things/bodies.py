"""Parsers of bodies and headers, masks, keys and formatters: each public function of the rooms that do such work."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from inspect import isfunction
from pkgutil import iter_modules
from typing import Any, Final, get_args

import msgspec

import hookline.bodies
from hookline.api import StepError
from hookline.bodies import json, media_types, page_form_input, text, urlencoded, xml
from hookline.flows.schemas import body_schema
from hookline.kernel import json as kernel_json
from hookline.kernel import pointers_and_patches
from hookline.kernel.errors import SchemaViolation
from hookline.model import dead_letter_causes
from hookline.model.callbacks_and_pages import Choice, FormField, Page
from hookline.model.webhook import FieldType
from hookline.sdk import pagination
from hookline.secrets import masking
from hookline.service import captured_request_masking
from hookline.service.hook_request_and_response import HookRequest
from hookline.service.hooks import sender
from hookline.service.uploads import decompression, multipart
from hookline.simulation.recordings import case_masking
from hookline.storage.captures import BODY_CAPTURED, CapturedInfo
from hookline_email import addresses, read_mail
from tests.growth.families import PAIRS, TEXTS, VALUES, deep, family, items, repeated
from tests.growth.measure import Family, Thing

_HEADER: Final = 64 * 1024
"""More than all headers of a request may have together."""
_URL: Final = 64 * 1024


def _encoded(families: tuple[Family, ...]) -> tuple[Family, ...]:
    return tuple(
        family(one.name, lambda size, make=one.make: kernel_json.encode(make(size)))  # type: ignore[misc]
        for one in families
    )


def _raw(name: str, make: Callable[[int], str]) -> Family:
    return family(name, lambda size: make(size).encode())


TEXT_BYTES: Final = tuple(_raw(one.name, one.make) for one in TEXTS)
JSON_BYTES: Final = (
    *_encoded(VALUES),
    *_encoded((family("deep within bounds", items(lambda i: deep(120, i), 250)),)),
    _raw("one long integer", lambda size: "1" * size),
    _raw("integers as long as they may be", lambda size: "[" + ",".join(["9" * 4290] * (size // 4291)) + "]"),
    _raw("exponents", lambda size: "[" + ",".join(["1e999"] * (size // 6)) + "]"),
    _raw("brackets that stay open", repeated("[")),
    _raw("escapes", lambda size: '"' + "\\u0041" * (size // 6) + '"'),
    _raw("halves of pairs", lambda size: '"' + "\\ud800" * (size // 6) + '"'),
    _raw("repeated keys", lambda size: "{" + ",".join(['"a":1'] * (size // 6)) + "}"),
)
TEXT_PAIRS: Final = tuple(one for one in PAIRS if all(type(each) is str for each in one.make(100).values()))
FORM_BYTES: Final = (
    _raw("one property again", repeated("a=1&")),
    _raw("properties", lambda size: "&".join(f"k{i}=1" for i in range(size // 8))),
    _raw("many brackets", lambda size: "a" + "[b]" * (size // 3) + "=1"),
    _raw("items", repeated("a[]=1&")),
    _raw("items of objects", repeated("a[][b]=1&")),
    _raw("numbered items", lambda size: "&".join(f"a[{i}]=1" for i in range(size // 11))),
    _raw("deep names", lambda size: "&".join(f"a{'[b]' * 100}[{i}]=1" for i in range(size // 310))),
    _raw("open brackets", repeated("a[")),
    _raw("escapes", lambda size: "a=" + "%41" * (size // 3)),
    _raw("escapes in names", lambda size: "%5B" * (size // 3) + "=1"),
    _raw("plus signs", lambda size: "a=" + "+" * size),
    _raw("ampersands", repeated("&")),
)
XML_BYTES: Final = (
    _raw("elements", lambda size: "<a>" + "<b/>" * (size // 4) + "</a>"),
    _raw("elements of many names", lambda size: "<a>" + "".join(f"<b{i}/>" for i in range(size // 8)) + "</a>"),
    _raw("attributes", lambda size: "<a " + " ".join(f'k{i}="1"' for i in range(size // 10)) + "/>"),
    _raw("deep elements", repeated("<a>")),
    _raw("texts between", lambda size: "<a>" + "x<b/>" * (size // 5) + "</a>"),
    _raw("entities", lambda size: "<a>" + "&amp;" * (size // 5) + "</a>"),
    _raw("sections", lambda size: "<a>" + "<![CDATA[x]]>" * (size // 13) + "</a>"),
    _raw("comments", lambda size: "<a>" + "<!--x-->" * (size // 8) + "</a>"),
    _raw("namespaces", lambda size: "<a>" + "".join(f'<b xmlns:n="u{i}"/>' for i in range(size // 22)) + "</a>"),
    _raw("a tag that stays open", lambda size: "<a " + "b" * size),
    _raw("a declaration nearly", lambda size: "<?xml " + " " * size + "?>"),
)
MULTIPART_BYTES: Final = (
    _raw("parts", repeated('--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n')),
    _raw("nearly boundaries", lambda size: "--b\r\n\r\n" + "\r\n-" * (size // 3)),
    _raw("headers of a part", lambda size: "--b\r\n" + "".join(f"a{i}: b\r\n" for i in range(size // 10))),
    _raw("a long header", lambda size: "--b\r\na: " + "b" * size),
    _raw("dashes", repeated("-")),
)
HEADERS: Final = (
    *(one for one in TEXTS if one.make(16).isascii()),
    family("parameters", lambda size: "a/b" + "".join(f"; k{i}=v" for i in range(size // 8))),
    family("continued parameters", lambda size: "a/b" + "".join(f"; k*{i}=v" for i in range(size // 9))),
    family("quoted parameters", lambda size: 'a/b; k="' + '\\"' * (size // 2)),
    family("links", repeated('<u>; rel="x", ')),
    family("elements", repeated("for=1;")),
    family("semicolons", repeated(";")),
)

_MULTIPART_HEAD: Final = "content-type: multipart/mixed; boundary=b\n\n"
_MANY_PARAMETERS: Final = "--b\ncontent-type: text/plain" + "; " * 1000 + "\n\nx\n"
MAIL_BYTES: Final = (
    _raw("headers", lambda size: "".join(f"a{i}: b\n" for i in range(size // 9)) + "\nx"),
    _raw("one header again", repeated("a: b\n")),
    _raw("a long header", lambda size: "subject: " + "b" * size),
    _raw("a header of encoded words", lambda size: "subject: " + "=?utf-8?q?a?= " * (size // 14)),
    _raw("a header of addresses", lambda size: "to: " + "a@b.example, " * (size // 13)),
    _raw("a header of brackets", lambda size: "to: " + "(" * size),
    _raw("a header of commas", lambda size: "to: " + "<," * (size // 2)),
    _raw("a header of quotes", lambda size: "to: " + '"\\' * (size // 2)),
    _raw("parameters", lambda size: "content-type: text/plain" + "".join(f"; k{i}=v" for i in range(size // 8))),
    _raw("parts", lambda size: _MULTIPART_HEAD + "--b\n\nx\n" * (size // 7)),
    _raw("parts of many parameters", lambda size: _MULTIPART_HEAD + _MANY_PARAMETERS * (size // len(_MANY_PARAMETERS))),
    _raw("lists of addresses again", repeated("to: " + "a@" * 1000 + "\n")),
)


def _multipart(data: bytes) -> None:
    events = multipart._Events(b"b")
    for start in range(0, len(data), 65536):
        events.feed(data[start : start + 65536])


def _mask_text(given: Any) -> None:
    text, secret = (given["v"], given["w"]) if isinstance(given, dict) else (given, given[:100] + "!")
    masking.HiddenValues(("hunter2secret", "a" * 20, "abc", "9" * 6, secret)).mask_text(text)
    many = masking.HiddenValues((secret, *(secret[:length] for length in range(3, 60))))
    many.mask_text(text)


def _mask_excerpts(given: str) -> None:
    masking.HiddenValues(("hunter2secret" * 3, "a" * 50)).mask_excerpts(given)


def _mask(given: Any) -> None:
    hidden = masking.HiddenValues(("hunter2",))
    hidden.add(given)
    hidden.mask(given)
    hidden.mask_excerpts(kernel_json.encode(given).decode()[:1000])


def _address(given: str) -> None:
    """Raise the last rejection, so that one by length is known as such."""
    rejection: StepError | None = None
    for said in (given, f"{given} <a@b.example>", f'"{given}" <a@b.example', f"a@{given}"):
        try:
            addresses.mailbox(said, "to")
        except StepError as error:
            rejection = error
    if rejection is not None:
        raise rejection


@cache
def _schema() -> Any:
    made, _ = body_schema.compile_schema({"items": {"type": "boolean"}, "additionalProperties": {"type": "boolean"}})
    return made


def check_by_schema(given: Any) -> None:
    """Check a body as the event loop does. Raises SchemaViolation if it leaves that to another process."""
    if not _schema().surely_accepts(given):
        raise SchemaViolation(problems=())


_PAGE: Final = Page(
    "Page",
    "",
    tuple(FormField(f"a_{type}", type, type, values=("a", "b")) for type in get_args(FieldType)),
    tuple(Choice("Go", msgspec.Raw(b'{"go": [[1], {"a": 2}], "n": %d}' % number)) for number in range(20)),
)


def _page_input(given: Any) -> None:
    """Read a value as the whole input, as each field, and as what selects a choice."""
    fields = {field.name: given for field in _PAGE.fields}
    for one in (given, fields, {"_choice": given}, {"go": given, "n": given}):
        page_form_input.read_page_input(_PAGE, one, form=False, exact=False)


def _exact_fraction(given: str) -> None:
    with suppress(ValueError):
        kernel_json.exact_fraction(given)


def _nested_pairs(data: bytes) -> None:
    urlencoded.collect_nested([tuple((*one.split("=", 1), "")[:2]) for one in data.decode().split("&")])  # type: ignore[misc]


def _captured(data: bytes) -> None:
    """Mask bytes as the body of a captured request, as each type of body that is masked in its own way."""
    request = HookRequest("POST", "new", b"/hook/new", b"", [], _no_chunks())
    for media_type in ("application/json", "application/xml", "application/x-www-form-urlencoded", "text/plain"):
        info = CapturedInfo("1", "new", _AT, "POST", "new", None, media_type, len(data), "captured", 202)
        captured_request_masking.SeenRequest(info, request, data, None, None).masked()


async def _no_chunks() -> AsyncIterator[bytes]:
    return
    yield b""


_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SECRET_BYTES: Final = (
    _raw("members with the names of secrets", lambda size: "{" + ",".join(['"token":"a"'] * (size // 12)) + "}"),
    _raw("lists below the name of a secret", lambda size: '{"cookie":[' + ",".join(['["a"]'] * (size // 6)) + "]}"),
    _raw("JSON in texts", lambda size: "[" + ",".join([r'"{\"token\":\"a\"}"'] * (size // 24)) + "]"),
    _raw("parameters with the names of secrets", repeated("token=a&")),
    _raw("elements with the names of secrets", lambda size: "<a>" + "<token/>" * (size // 8) + "</a>"),
)
_DEEP_SKU: Final = (masking.Wildcard.DEEP, "sku")

#: By the function: what runs it, with which families, up to which length.
FUNCTIONS: Final[Mapping[Callable[..., Any], tuple[Callable[[Any], object], tuple[Family, ...], int]]] = {
    json.read_json: (json.read_json, (*JSON_BYTES, *TEXT_BYTES), 10 * 2**20),
    json.deeper_than: (lambda given: json.deeper_than(given, 128), VALUES, 10 * 2**20),
    urlencoded.read_form: (lambda given: urlencoded.read_form(given, None), (*FORM_BYTES, *TEXT_BYTES), 10 * 2**20),
    urlencoded.read_properties: (
        lambda given: urlencoded.read_properties(given, None, naming=urlencoded.Naming(nested=True)),
        FORM_BYTES,
        10 * 2**20,
    ),
    urlencoded.lenient_query: (urlencoded.lenient_query, FORM_BYTES, _URL),
    urlencoded.collect_nested: (_nested_pairs, FORM_BYTES, 2**20),
    xml.read_xml: (lambda given: xml.read_xml(given, None, ("b",)), (*XML_BYTES, *TEXT_BYTES), 10 * 2**20),
    media_types.read_media: (media_types.read_media.__wrapped__, HEADERS, _HEADER),
    text.decode_text: (lambda given: text.decode_text(given, "utf-16-le"), TEXT_BYTES, 10 * 2**20),
    text.known_charset: (text.known_charset, TEXTS, _HEADER),
    multipart._Events: (_multipart, (*MULTIPART_BYTES, *TEXT_BYTES), 10 * 2**20),
    decompression.content_codings: (decompression.content_codings, HEADERS, _HEADER),
    pagination.next_link: (pagination.next_link, HEADERS, _HEADER),
    sender._forwarded: (sender._forwarded, HEADERS, _HEADER),
    masking.is_secret_name: (masking.is_secret_name, TEXTS, 10 * 2**20),
    masking.names_a_key: (masking.names_a_key, TEXTS, 10 * 2**20),
    masking.has_secret_field: (
        masking.has_secret_field,
        (*TEXTS, family("names of secrets", repeated("token")), family("names and spaces", repeated("token    "))),
        10 * 2**20,
    ),
    captured_request_masking.SeenRequest.masked: (
        _captured,
        (*JSON_BYTES, *FORM_BYTES, *XML_BYTES, *MULTIPART_BYTES, *TEXT_BYTES, *_SECRET_BYTES),
        BODY_CAPTURED,
    ),
    masking.mask_log_fields: (
        lambda given: masking.mask_log_fields(None, "info", {"event": given}),
        (*TEXTS, *VALUES),
        10 * 2**20,
    ),
    masking.mask_path: (lambda given: masking.mask_path(given, _DEEP_SKU, []), VALUES, 10 * 2**20),
    masking.secret_values: (lambda given: list(masking.secret_values(given)), VALUES, 2**20),
    masking.HiddenValues.mask_text: (_mask_text, (*TEXTS, *TEXT_PAIRS), 10 * 2**20),
    masking.HiddenValues.mask_excerpts: (_mask_excerpts, TEXTS, 2**20),
    masking.HiddenValues.mask: (_mask, VALUES, 10 * 2**20),
    dead_letter_causes.normalised: (dead_letter_causes.normalised, TEXTS, 10 * 2**20),
    case_masking.mask_resume_urls: (case_masking.mask_resume_urls, TEXTS, 10 * 2**20),
    case_masking.mask_secrets: (case_masking.mask_secrets, VALUES, 2**20),
    kernel_json.encode: (kernel_json.encode, (*TEXTS, *VALUES), 10 * 2**20),
    kernel_json.encode_in_pieces: (kernel_json.encode_in_pieces, (*TEXTS, *VALUES), 10 * 2**20),
    kernel_json.canonical: (kernel_json.canonical, VALUES, 10 * 2**20),
    kernel_json.is_plain_json: (lambda given: kernel_json.is_plain_json(given, decimals=True), VALUES, 10 * 2**20),
    kernel_json.is_heavy: (kernel_json.is_heavy, JSON_BYTES, 10 * 2**20),
    kernel_json.is_heavy_value: (kernel_json.is_heavy_value, (*TEXTS, *VALUES), 10 * 2**20),
    kernel_json.is_large: (kernel_json.is_large, VALUES, 10 * 2**20),
    kernel_json.to_decimal: (kernel_json.to_decimal, VALUES, 10 * 2**20),
    kernel_json.to_binary64: (kernel_json.to_binary64, VALUES, 10 * 2**20),
    kernel_json.by_value: (kernel_json.by_value, VALUES, 10 * 2**20),
    kernel_json.exact_fraction: (
        _exact_fraction,
        tuple(
            family(f"{one} digits", lambda size, one=one: "1" * (size // 2) + one.join("11") + "1" * (size // 2))
            for one in ".e"
        ),
        10 * 2**20,
    ),
    pointers_and_patches.parts_of: (
        pointers_and_patches.parts_of,
        (*TEXTS, family("slashes", repeated("/~0"))),
        10 * 2**20,
    ),
    body_schema.compile_schema: (check_by_schema, VALUES, 2**20),
    addresses.mailbox: (_address, TEXTS, 2**20),
    read_mail.read_mail: (read_mail.read_mail, MAIL_BYTES, 2**20),
    pointers_and_patches.escape: (pointers_and_patches.escape, TEXTS, 10 * 2**20),
    page_form_input.read_page_input: (_page_input, (*TEXTS, *VALUES), 2**20),
}
#: Rooms whose public functions all have an entry above, or a reason here.
_ROOMS: Final = (
    *("hookline.bodies.json", "hookline.bodies.urlencoded", "hookline.bodies.xml", "hookline.bodies.media_types"),
    *(
        "hookline.bodies.text",
        "hookline.bodies.page_form_input",
        "hookline.bodies.received_body",
        "hookline.kernel.json",
        "hookline.kernel.pointers_and_patches",
    ),
    *("hookline.secrets.masking", "hookline.model.dead_letter_causes", "hookline.simulation.recordings.case_masking"),
    *("hookline.flows.schemas.body_schema", "hookline_email.addresses", "hookline_email.read_mail"),
)
WITHOUT: Final[Mapping[str, str]] = {
    "hookline_email.addresses.mailboxes": "`mailbox` does its work",
    "hookline.bodies.urlencoded.collect": "`read_properties` runs it",
    "hookline.bodies.page_form_input.field_value": "`read_page_input` does its work",
    "hookline.bodies.json.check_room": "`read_json` runs it",
    "hookline.bodies.json.decode_outside": "`read_json` does its work",
    "hookline.bodies.xml.decode_xml": "`read_xml` runs it",
    "hookline.kernel.json.decode": "`read_json` runs it",
    "hookline.kernel.json.within_bounds": "sees one number, whose length is bounded",
    "hookline.kernel.json.fraction": "reads what Hookline wrote itself",
    "hookline.kernel.json.reader": "makes a decoder for what Hookline wrote itself",
    "hookline.flows.schemas.body_schema.problems_of": "runs in a process with a time limit",
    "hookline.kernel.pointers_and_patches.adding": "makes a patch of what it is given",
    "hookline.kernel.pointers_and_patches.pointer_to": "`escape` does its work",
    "hookline.kernel.pointers_and_patches.removing": "makes a patch of what it is given",
    "hookline.kernel.pointers_and_patches.replacing": "makes a patch of what it is given",
    "hookline.kernel.pointers_and_patches.value_at": "sees an author's pointer",
    "hookline.model.dead_letter_causes.step_of": "sees a path of the engine's",
    "hookline.model.dead_letter_causes.cause_of": "`normalised` does its work",
    "hookline.model.dead_letter_causes.full_cause": "joins the id of a flow and a hash",
    "hookline.simulation.recordings.case_masking.public_headers": "`is_secret_name` does its work",
}


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def registries() -> Iterator[tuple[str, set[str], set[str]]]:
    """The public functions of the rooms, and those with entries here; the modules that read bodies, and the rooms."""
    public: set[str] = set()
    for name in _ROOMS:
        for attribute, value in vars(import_module(name)).items():
            plain = getattr(value, "__wrapped__", value)
            if isfunction(plain) and plain.__module__ == name and not attribute.startswith("_"):
                public.add(_name(plain))
    yield "FUNCTIONS", public, {*WITHOUT, *public.intersection(map(_name, FUNCTIONS))}
    modules = {f"hookline.bodies.{module.name}" for module in iter_modules(hookline.bodies.__path__)}
    yield "_ROOMS", modules, {name for name in _ROOMS if name.startswith("hookline.bodies.")}


def things() -> Iterator[Thing]:
    """Each function."""
    for function, (run, families, most) in FUNCTIONS.items():
        yield Thing("function", _name(function), run, families, most)
