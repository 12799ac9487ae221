"""The HTML pages that the engine itself shows: they have no scripts, and only one style."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from html import escape
from typing import Final

from hookline.service.hook_request_and_response import HookResponse

_STYLE: Final = """
:root { color-scheme: light dark; --back: #f4f5f7; --card: #fff; --text: #1a1d23; --soft: #5a6372; --line: #8a93a3;
  --main: #1f5fbf; --on-main: #fff; --bad: #b3261e; --bad-back: #fdecea; }
@media (prefers-color-scheme: dark) { :root { --back: #14161a; --card: #1e2127; --text: #e8eaee; --soft: #a8b0bd;
  --line: #6b7483; --main: #8ab4f8; --on-main: #10141b; --bad: #ffb4ab; --bad-back: #3b1714; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem 1rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 38rem; margin: 0 auto; padding: 2rem; background: var(--card); border-radius: .75rem;
  box-shadow: 0 1px 3px rgb(0 0 0 / 20%); overflow-wrap: anywhere; }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25; }
h2 { margin: 0 0 .25rem; font-size: 1rem; }
p { margin: 0 0 1rem; }
.text { white-space: pre-wrap; }
.field { margin: 0 0 1.25rem; padding: 0; border: 0; min-width: 0; }
label, legend { display: block; padding: 0; font-weight: 600; }
.check label, fieldset label { display: flex; gap: .6rem; align-items: baseline; font-weight: 400; }
.check label { font-weight: 600; }
.note, .help { color: var(--soft); font-weight: 400; }
.help { margin: 0; font-size: .9rem; }
input, select, textarea { width: 100%; margin-top: .3rem; padding: .6rem .7rem; border: 1px solid var(--line);
  border-radius: .4rem; background: var(--card); color: inherit; font: inherit; }
input[type=checkbox], input[type=radio] { width: 1.15rem; height: 1.15rem; margin: 0; flex: none;
  align-self: center; accent-color: var(--main); }
textarea { min-height: 7rem; resize: vertical; }
[aria-invalid=true] { border-color: var(--bad); border-width: 2px; }
.error { margin: .2rem 0 0; color: var(--bad); font-weight: 600; }
.problems { margin: 0 0 1.5rem; padding: 1rem; border: 2px solid var(--bad); border-radius: .5rem;
  background: var(--bad-back); }
.problems ul { margin: 0; padding-left: 1.2rem; }
.problems a { color: var(--bad); }
.buttons { display: flex; flex-wrap: wrap; gap: .75rem; }
button { flex: 0 1 auto; padding: .65rem 1.4rem; border: 2px solid var(--main); border-radius: .4rem;
  background: var(--card); color: var(--main); font: inherit; font-weight: 600; cursor: pointer; }
button:first-of-type { background: var(--main); color: var(--on-main); }
:focus-visible { outline: 3px solid var(--main); outline-offset: 2px; }
@media (max-width: 30rem) { body { padding: 0; background: var(--card); } main { padding: 1.25rem 1rem;
  border-radius: 0; box-shadow: none; } button { flex: 1 1 100%; } }
"""
_HASH: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    # The URL is a secret: no other site may show the page, see its URL as a referrer, or receive the form.
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'".encode(),
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><main>
<h1 dir="auto">{title}</h1>
{content}
</main></body>
</html>
"""


def html_page(status: int, title: str, content: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> HookResponse:
    """A page with a heading; `content` is HTML, `title` a text. `headers`: further ones."""
    text = _PAGE.format(title=escape(title), style=_STYLE, content=content)
    return HookResponse(status, (*_HEADERS, *headers), text.encode())


def text_page(status: int, title: str, text: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> HookResponse:
    """A page with a heading and a text."""
    return html_page(status, title, f'<p class="text" dir="auto">{escape(text)}</p>', headers)
