"""The pages of waiting steps: the form, the form with the problems of its input, and other responses to browsers."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.elements.wait_page import FORM
from hookline.kernel.errors import PossiblyStored, Problem, RequestRejected
from hookline.kernel.json import decode
from hookline.model.callbacks_and_pages import CHOICE, FormField, Page
from hookline.model.webhook import takes
from hookline.service.hook_request_and_response import HookResponse
from hookline.service.hooks.headers_and_masks import Headers
from hookline.service.html_page import html_page, text_page
from hookline.service.problem_documents import MEDIA_TYPE, rejection_response

FORMS: Final = (FORM, "multipart/form-data")
"""The media types of forms."""
_TITLES: Final[Mapping[int, str]] = {
    404: "Nothing waits here",
    409: "Already answered",
    410: "No longer open",
    413: "Too large",
    429: "Too many requests",
    503: "Not available right now",
}
_TEXTS: Final[Mapping[int, str]] = {
    404: "This address isn't known. Check that the link is complete.",
    409: "Another answer came first, and only one counts. Your answer was not recorded.",
    410: "The time to answer is over, or an answer isn't needed any more. Nothing was recorded.",
    503: "Please try again in a moment. Nothing was recorded.",
}
_POSSIBLY_RECORDED: Final = (
    "It isn't known whether your answer was recorded. Please open the link again in a moment: if it still asks, answer"
    " again."
)


def is_browser(headers: Headers) -> bool:
    """Return true if the sender reads HTML."""
    return "text/html" in headers.joined.get("accept", "")


def expects_page(headers: Headers) -> bool:
    """Return true if the sender of a form reads HTML, or doesn't say that it reads JSON."""
    form = headers.joined.get("content-type", "").startswith(FORMS)
    return is_browser(headers) or (form and "json" not in headers.joined.get("accept", ""))


def confirmation_page(flow: CompiledFlow, step: CompiledWait) -> HookResponse:
    """The page of a step that describes none. It has a button that sends an empty callback, if the step accepts it."""
    settings = step.settings
    by_form = (
        step.scheme is None
        and "POST" in settings.methods
        and (settings.media_types is None or takes(settings.media_types, FORM))
    )
    asks = (
        '<form method="post"><div class="buttons"><button>Go on</button></div></form>'
        if by_form
        else "<p>It waits for a call from another system: nothing can be done about it here.</p>"
    )
    text = f"<p>This flow waits at its step <strong>{escape(step.id)}</strong>.</p>\n{asks}"
    return html_page(200, flow.settings.title or flow.id, text)


def early_page(flow: CompiledFlow) -> HookResponse:
    """The page of a step that does not wait yet."""
    text = "There is nothing to answer yet. Please load this page again in a moment."
    return text_page(200, flow.settings.title or flow.id, text)


def recorded_page(flow: CompiledFlow, status: int) -> HookResponse:
    """The response to a form that was accepted."""
    text = f"Your answer has been recorded for: {flow.settings.title or flow.id}\nYou can close this page."
    return text_page(status, "Thank you", text)


def rejection_page(error: RequestRejected) -> HookResponse:
    """The response to any other request of a browser that was rejected."""
    headers = [header for header in rejection_response(error).headers if header != (b"content-type", MEDIA_TYPE)]
    text = _POSSIBLY_RECORDED if isinstance(error, PossiblyStored) else _TEXTS.get(error.status, error.message)
    return text_page(error.status, _TITLES.get(error.status, "Not accepted"), text, headers)


def form_page(
    page: Page, *, status: int = 200, given: Mapping[str, Any] | None = None, problems: Sequence[Problem] = ()
) -> HookResponse:
    """The page with its form. `given`: the values that were sent, with their problems."""
    parts = []
    if problems:
        listed = "\n".join(f"<li>{_linked(page, problem)}</li>" for problem in problems)
        parts.append(
            '<div class="problems" role="alert" tabindex="-1" autofocus>\n'
            f"<h2>Your answer was not recorded yet</h2>\n<ul>\n{listed}\n</ul></div>"
        )
    if page.text:
        parts.append(f'<p class="text" dir="auto">{escape(page.text)}</p>')
    found = {problem.pointer[1:]: problem.message for problem in problems}
    # The form's own checks would stop the browser before the server has told all problems.
    parts.append('<form method="post" novalidate>')
    if len(page.choices) > 1:
        # Without this, the key Enter would press the first button.
        parts.append('<button type="submit" disabled hidden></button>')
    for field in page.fields:
        value = decode(bytes(field.default), exact=True) if given is None else given.get(field.name)
        parts.append(_field(field, value, found.get(field.name)))
    buttons = [
        f'<button name="{CHOICE}" value="{number}" dir="auto">{escape(choice.label)}</button>'
        for number, choice in enumerate(page.choices)
    ]
    parts += ['<div class="buttons">', *(buttons or ["<button>Send</button>"]), "</div></form>"]
    return html_page(status, page.title, "\n".join(parts))


def _linked(page: Page, problem: Problem) -> str:
    name = problem.pointer[1:]
    label = next((field.label for field in page.fields if field.name == name), None)
    if label is None:
        return escape(problem.message)
    return f'<a href="#{name}">{escape(label)}</a>: {escape(problem.message)}'


def _field(field: FormField, value: Any, problem: str | None) -> str:
    name = field.name
    about = [*([f"{name}-help"] if field.help else []), *([f"{name}-error"] if problem else [])]
    marks = f' aria-describedby="{" ".join(about)}"' if about else ""
    marks += ' aria-invalid="true"' if problem else ""
    marks += ' aria-required="true"' if field.required else ""
    note = ' <span class="note">(required)</span>' if field.required else ""
    label = f'<span dir="auto">{escape(field.label)}</span>'
    below = f'<p class="help" id="{name}-help" dir="auto">{escape(field.help)}</p>\n' if field.help else ""
    error = f'\n<p class="error" id="{name}-error">{escape(problem)}</p>' if problem else ""
    text = "" if value is None else value if isinstance(value, str) else _json_text(value)
    if field.type == "boolean" and field.required:
        radios = "\n".join(
            f'<label><input type="radio" name="{name}" value="{answer}"{_id(name, answer)}'
            f"{' checked' if text == answer else ''}{marks}>{word}</label>"
            for answer, word in (("true", "Yes"), ("false", "No"))
        )
        return f'<fieldset class="field"><legend>{label}{note}</legend>\n{below}{radios}{error}</fieldset>'
    if field.type == "boolean":
        checked = " checked" if text == "true" else ""
        box = f'<input type="checkbox" id="{name}" name="{name}" value="true"{checked}{marks}>'
        return f'<div class="field check"><label for="{name}">{box}{label}</label>\n{below}{error}</div>'
    control = _control(field, text, f'id="{name}" name="{name}"{marks}')
    return f'<div class="field"><label for="{name}">{label}{note}</label>\n{below}{control}{error}</div>'


def _id(name: str, answer: str) -> str:
    """The first radio button is the target of the link in the summary of the problems."""
    return f' id="{name}"' if answer == "true" else ""


def _control(field: FormField, text: str, named: str) -> str:
    if field.type == "enum":
        options = "\n".join(
            f"<option{' selected' if value == text else ''}>{escape(value)}</option>" for value in field.values
        )
        return f'<select {named}>\n<option value=""></option>\n{options}</select>'
    if field.multiline:
        return f'<textarea {named} maxlength="{field.max_length}" dir="auto">\n{escape(text)}</textarea>'
    value = f' value="{escape(text)}"'
    if field.type in ("number", "integer"):
        # Not the type `number`: browsers hide from the server what isn't one, and change it by the mouse wheel.
        return f'<input type="text" inputmode="{_KEYBOARDS[field.type]}" {named}{value} autocomplete="off">'
    if field.type == "date":
        return f'<input type="date" {named}{value}>'
    return f'<input type="text" {named}{value} maxlength="{field.max_length}" dir="auto">'


_KEYBOARDS: Final = {"number": "decimal", "integer": "numeric"}


def _json_text(value: Any) -> str:
    """The text of a value in a form: a number, true or false; anything else wasn't sent by the form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if isinstance(value, list | dict) else str(value)
