"""Pages of waiting steps: their texts are templates, which are evaluated when the wait begins."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from hookline.bodies.page_form_input import field_value
from hookline.flows.elements.expressions import Template
from hookline.kernel.errors import Problem
from hookline.kernel.json import encode
from hookline.kernel.pointers_and_patches import adding, escape, parts_of, removing
from hookline.model.callbacks_and_pages import MAX_PAGE, Choice, FormField, Page
from hookline.model.webhook import PageField, PageSettings, WaitSettings, takes

FORM: Final = "application/x-www-form-urlencoded"
_NULL: Final = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class PageTemplate:
    """A compiled page."""

    settings: PageSettings
    templates: Mapping[str, Template]
    """Its texts, defaults and bodies, by their pointers in the settings of the page."""

    def evaluated(self, values: Mapping[str, Any], *, title: str, exact: bool) -> Page:
        """Return the page with the values of its templates, by pointer. `title` is that of a page without a title.

        Raises ValueError if a value doesn't fit its place, or if the page is too large.
        """
        fields = tuple(_field(name, field, values, exact=exact) for name, field in self.settings.fields.items())
        choices = tuple(
            Choice(_text(values, f"/choices/{number}/label"), _body(values, f"/choices/{number}/body"))
            for number, _ in enumerate(self.settings.choices)
        )
        page = Page(_text(values, "/title") or title, _text(values, "/text"), fields, choices)
        if len(encode(page)) > MAX_PAGE:
            raise ValueError(f"the page is larger than {MAX_PAGE // 1024} KB")
        return page

    def before_the_wait(self, *, exact: bool) -> Page | None:
        """Return the page without the texts that must be evaluated; None if a default or a choice must be."""
        values = {pointer: template.value for pointer, template in self.templates.items() if template.constant}
        evaluated = [pointer for pointer, template in self.templates.items() if not template.constant]
        if any(pointer.endswith(("/default", "/body")) for pointer in evaluated):
            return None
        return self.evaluated(values, title="", exact=exact)


def compile_page(page: PageSettings, pointer: str, template: Callable[[Any, str], Template]) -> PageTemplate:
    """Compile a page. `template` compiles the value at a pointer, and reports its problems."""
    values: dict[str, Any] = {"/title": page.title, "/text": page.text}
    for name, field in page.fields.items():
        at = f"/fields/{escape(name)}"
        values |= {f"{at}/label": field.label, f"{at}/help": field.help, f"{at}/default": field.default}
    for number, choice in enumerate(page.choices):
        values |= {f"/choices/{number}/label": choice.label, f"/choices/{number}/body": choice.body}
    return PageTemplate(page, {at: template(value, f"{pointer}{at}") for at, value in values.items()})


def page_problems(settings: WaitSettings, page: PageTemplate, pointer: str, *, exact: bool) -> list[Problem]:
    """The problems of a page whose form can't be sent, and those of its constant parts. `pointer`: of the settings."""
    problems = [
        Problem(message, pointer + at, "page_unusable", remedy, fix=fix)
        for wrong, at, message, remedy, fix in (
            (
                settings.verify.scheme != "none",
                "/verify",
                "a browser can't sign the form of the page",
                'remove "verify": the URL of the step is a secret',
                removing(f"{pointer}/verify"),
            ),
            (
                settings.correlate is not None,
                "/correlate",
                "a call that finds its execution by a key has no page",
                'remove "correlate" or "page"',
                removing(f"{pointer}/correlate"),
            ),
            (
                "POST" not in settings.methods,
                "/methods",
                "the form of the page is sent by POST",
                'add "POST"',
                adding(f"{pointer}/methods/-", "POST"),
            ),
            (
                settings.media_types is not None and not takes(settings.media_types, FORM),
                "/media_types",
                f"the form of the page is sent as {FORM}",
                f'add "{FORM}"',
                adding(f"{pointer}/media_types/-", FORM),
            ),
            (
                settings.body != "auto",
                "/body",
                f'"body": "{settings.body}" doesn\'t read the form of the page',
                'write "auto", or remove it',
                removing(f"{pointer}/body"),
            ),
        )
        if wrong
    ]
    values = {at: template.value for at, template in page.templates.items() if template.constant}
    for at in [at for at, value in values.items() if value is not None]:
        try:
            _check(page.settings, values, at, exact=exact)
        except ValueError as error:
            problems.append(Problem(str(error), f"{pointer}/page{at}", "page_value", "correct the value"))
    return problems


def _check(page: PageSettings, values: Mapping[str, Any], at: str, *, exact: bool) -> None:
    """Raise ValueError if a constant part doesn't fit its place."""
    parts = parts_of(at)
    if parts[-1] == "body":
        _body(values, at)
    elif parts[-1] == "default":
        _field(parts[1], page.fields[parts[1]], values, exact=exact)
    else:
        _text(values, at)


def _field(name: str, field: PageField, values: Mapping[str, Any], *, exact: bool) -> FormField:
    at = f"/fields/{escape(name)}"
    form_field = FormField(
        name=name,
        type=field.type,
        label=_text(values, f"{at}/label") or name.replace("_", " ").capitalize(),
        help=_text(values, f"{at}/help"),
        required=field.required,
        values=field.values or (),
        min=field.min,
        max=field.max,
        multiline=field.multiline,
        max_length=field.max_length,
    )
    default = values.get(f"{at}/default")
    if default is None or default == "":
        return form_field
    try:
        default = field_value(form_field, default, exact=exact)
    except ValueError as error:
        raise ValueError(f"the default of the field {name!r}: {error}") from None
    return msgspec.structs.replace(form_field, default=msgspec.Raw(encode(default)))


def _text(values: Mapping[str, Any], at: str) -> str:
    value = values.get(at)
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return encode(value).decode()
    raise ValueError(f"page{at.replace('/', '.')} must be a text")


def _body(values: Mapping[str, Any], at: str) -> msgspec.Raw:
    value = values.get(at, {})
    if isinstance(value, Mapping):
        return msgspec.Raw(encode(value))
    raise ValueError(f"page{at.replace('/', '.')} must be an object, which is merged over the fields")
