"""Mails are read however broken they are, and the credential says what it lacks."""

import subprocess
import sys
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hookline.api import StepError
from hookline.kernel.json import encode
from hookline_email.addresses import mailbox
from hookline_email.connector import EmailCredential, _unavailable
from hookline_email.read_mail import MAX_TEXT, read_mail


def test_charsets_are_read_even_where_they_are_wrong() -> None:
    def text(charset: str, body: bytes) -> object:
        return read_mail(f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + body).body["text"]

    assert text("iso-8859-1", "Straße".encode("latin-1")) == "Straße"
    assert text("utf-16", "Straße".encode("utf-16")) == "Straße"
    assert text("iso-2022-jp", "日本語".encode("iso-2022-jp")) == "日本語"
    assert text("no-such-charset", "Straße".encode()) == "Straße"
    assert text("us-ascii", "Straße".encode("cp1252")) == "Straße"
    assert text("utf-8", b"a\0b") == "a\ufffdb"


def test_headers_are_decoded_whatever_they_hold() -> None:
    read = read_mail(
        b"Subject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n =?utf-8?B?IMOk?=\r\n"
        b"From: =?utf-8?Q?M=C3=BCller=2C_Zo=C3=AB?= <zoe@example.org>\r\n"
        b"To: raw \xc3\xbc <a@example.org>, undisclosed-recipients:;\r\n"
        b"X-Broken: =?no-such?Q?=C3=BC?=\r\n"
        b"X-Twice: a\r\nX-Twice: b\r\nDate: Thu, 99 Foo 2026\r\n\r\n"
    )
    assert read.body["subject"] == "Grüße ä"
    assert read.body["from"] == {"name": "Müller, Zoë", "address": "zoe@example.org"}
    assert read.body["to"] == [{"name": "raw ü", "address": "a@example.org"}]
    assert read.headers["x-broken"] == "ü"
    assert read.headers["x-twice"] == "a, b"
    assert read.body["date"] is None


def test_a_mail_in_a_mail_is_a_file() -> None:
    inner, outer = EmailMessage(), EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("inner text")
    outer.set_content("outer text")
    outer.add_attachment(inner)
    read = read_mail(outer.as_bytes())
    assert read.body["text"] == "outer text\n"
    (file,) = read.files
    assert (file.type, file.name) == ("message/rfc822", "attachment")
    assert b"Subject: inner" in file.content


def test_a_text_that_is_too_long_for_the_body_is_a_file() -> None:
    read = read_mail(b"Content-Type: text/html\r\n\r\n" + b"x" * (MAX_TEXT + 1))
    assert read.body["html"] is None
    assert [(file.type, len(file.content)) for file in read.files] == [("text/html", MAX_TEXT + 1)]
    assert "longer" in read.problems[0]


def test_what_nests_without_end_comes_as_far_as_it_can_be_read() -> None:
    parts = [f'Content-Type: multipart/mixed; boundary="{number}"\r\n\r\n--{number}\r\n' for number in range(5000)]
    read = read_mail(("Subject: deep\r\n" + "".join(parts)).encode())
    assert "deep" in (read.body["subject"], "deep")
    assert encode(read.body)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"\0" * 100,
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n--a\r\n\r\n--a',
        b"Content-Type: text/plain; charset*=utf-8'en'%FF%FF\r\n\r\na",
        b"Content-Disposition: attachment; filename*0*=utf-8''a; filename*2=b\r\n\r\nx",
        b"Content-Disposition: attachment; filename*=no-such'en'%e4\r\n\r\nx",
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!===",
        b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 666 a\r\n\xff\xff\r\nend",
        b'From: <<>>@@@\r\nTo: "\r\nDate: \xff\r\nMessage-ID: [\r\n\r\nx',
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: \xff/\xff; =;;\r\n\r\nx",
    ],
    ids=range(13),
)
def test_a_broken_mail_comes_with_what_can_be_read(raw: bytes) -> None:
    read = read_mail(raw)
    assert {"subject", "from", "text"} <= read.body.keys()
    assert encode([read.body, read.headers, read.problems])


_LINES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: text/plain; charset=utf-7",
        b"Content-Type: message/rfc822",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Disposition: attachment; filename==?utf-8?Q?=FF?=",
        b"Subject: =?utf-8?B?/w==?=",
        b"From: a <",
        b"--b",
        b"--b--",
        b"",
    ]
)


@settings(max_examples=150)
@given(st.lists(_LINES | st.binary(max_size=20), max_size=12))
def test_no_mail_fails_the_reader(lines: list[bytes]) -> None:
    read = read_mail(b"\r\n".join(lines))
    assert encode([read.body, read.headers, read.problems, [file.filename for file in read.files]])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "smtp_host"),
        ({"smtp_host": "a", "smtp_username": "b"}, "smtp_password"),
        ({"imap_host": "a"}, "imap_username"),
        ({"smtp_host": "a", "smtp_security": "ssl"}, "starttls"),
        ({"smtp_host": "a", "ca_certificate": "none"}, "PEM"),
    ],
)
def test_a_credential_says_what_it_lacks(values: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        EmailCredential.model_validate(values)


def test_ports_follow_from_the_security() -> None:
    assert EmailCredential(smtp_host="a").smtp() == ("a", 587)
    assert EmailCredential(smtp_host="a", smtp_security="tls").smtp() == ("a", 465)
    assert EmailCredential(smtp_host="a", smtp_security="none", smtp_port=2525).smtp() == ("a", 2525)


def test_without_its_libraries_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookline_email.connector.find_spec", lambda name: None)
    assert _unavailable() == "pip install 'hookline[email]'"


def test_a_server_starts_without_its_libraries_and_imports_none_of_them() -> None:
    program = """
import sys
for name in ("aiosmtplib", "email_validator", "imapclient"):
    sys.modules[name] = None
import hookline_email
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.rule(16)
def test_of_a_long_header_the_beginning_is_read_and_of_many_headers_the_first() -> None:
    read = read_mail(b"To: " + b"ada@example.com, " * 10_000 + b"\r\nSubject: x\r\n\r\ntext")
    assert (len(read.headers["to"]), read.body["subject"], read.body["text"]) == (65_536, "x", "text")
    assert read.problems == ["a header has more than 65536 characters or 20 parameters; it is cut off"]
    read = read_mail(b"".join(b"X-%d: y\r\n" % number for number in range(1001)) + b"\r\ntext")
    assert (len(read.headers), read.body["text"]) == (1000, "text")
    assert read.problems == ["it has more than 1000 headers; the others are left out"]


@pytest.mark.rule(16)
def test_of_the_many_parameters_of_a_part_and_of_many_lists_of_addresses_the_first_are_read() -> None:
    part = b"Content-Type: text/plain" + b"; x=y" * 30 + b"; charset=latin-1\r\n\r\n\xe9"
    read = read_mail(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + part + b"\r\n--b--\r\n")
    assert read.body["text"] == "\u00e9"
    assert read.problems == ["a header has more than 65536 characters or 20 parameters; it is cut off"]
    read = read_mail(b"To: ada@example.com\r\n" * 5000 + b"\r\ntext")
    assert read.body["to"][0]["address"] == "ada@example.com"
    assert len(read.body["to"]) < 5000


@pytest.mark.rule(16)
def test_a_mail_of_too_many_parts_comes_as_it_is_with_its_headers() -> None:
    head = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    read = read_mail(head + b"--b\r\n\r\n" * 6000)
    assert (read.body["subject"], [part.type for part in read.files]) == ("x", ["multipart/mixed"])
    assert read.problems == ["the mail can't be parsed (MessageError)"]


def test_of_a_mail_of_too_many_lines_the_beginning_is_read() -> None:
    read = read_mail(b"Subject: lines\r\n\r\nfirst\r\n" + b"\r\n" * 500_000)
    assert read.headers["subject"] == "lines"
    assert str(read.body["text"]).startswith("first\n")
    assert read.problems[0] == "it has more than 500000 lines; it is cut off after 1048576 bytes"


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "nope"])
def test_a_text_in_a_codec_that_is_no_charset_is_read_as_utf_8(charset: str) -> None:
    read = read_mail(f"Content-Type: text/plain; charset={charset}\r\n\r\né".encode())
    assert read.body["text"] == "é"


@pytest.mark.rule(16)
def test_an_address_has_a_bounded_length() -> None:
    with pytest.raises(StepError, match="an address may have 1,000") as caught:
        mailbox("a" + " " * 1000 + "b", "to")
    assert caught.value.error_code == "email.address"
