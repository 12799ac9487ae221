"""The reach of settings: the files, servers, headers and programs that they may name, and the bounds.

The table of reach in `docs/reference/security.md` is made of these declarations.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr

ReachKind: TypeAlias = Literal[
    "http_url",
    "service_path",
    "database_url",
    "sql",
    "table",
    "file",
    "attachment",
    "object",
    "broker",
    "mailbox",
    "recipient",
    "passed_url",
    "callback_url",
    "request_header",
    "response_header",
    "read_header",
    "expression",
    "settings",
    "pattern",
    "json_schema",
    "flow",
    "credential",
    "environment",
    "service_url",
    "pem",
    "host_server",
    "host_folder",
    "host_address",
    "host_trust",
]


@dataclass(frozen=True, slots=True)
class BoundedReach:
    """The reach of all settings of one kind."""

    reaches: str
    """The things that a value of the setting may name."""
    bounded_by: str
    """The rules that keep it from more than that."""


_ADDRESSES: Final = "Addresses inside the network are rejected at each connection, unless `egress_allow` names them"
_CREDENTIAL: Final = (
    "a credential goes only to the hosts of its type and to those in its `hosts`; if it has neither, to those in "
    "the flow's text and its `vars`"
)
_HOST: Final = "Only who starts the server can set it, neither a flow nor the API"

REACHES: Final[Mapping[ReachKind, BoundedReach]] = MappingProxyType(
    {
        "http_url": BoundedReach(
            "any HTTP server",
            f"{_ADDRESSES}, also after a redirect; {_CREDENTIAL}.",
        ),
        "service_path": BoundedReach(
            "any path of the service that the credential names",
            "The request goes to the origin of the credential's `base_url` and nowhere else.",
        ),
        "database_url": BoundedReach(
            "a database server, or a SQLite file below `files`",
            f"An expression may read only `vars`. Drivers and options are those of a list. {_ADDRESSES}. The server's "
            "own database is recognised after connecting, and rejected. A SQLite file ends in `.db`, `.sqlite` or "
            f"`.sqlite3`, and no link leads out of `files`; {_CREDENTIAL}.",
        ),
        "sql": BoundedReach(
            "all that the user of the database may do there",
            "An expression may read only `vars`; values of a message are parameters. The rights of the database's "
            "user are the bound. A statement can't open another SQLite file or load an extension.",
        ),
        "table": BoundedReach(
            "a table or a column of the database",
            "An expression may read only `vars`. The name is quoted; the rights of the database's user are the bound.",
        ),
        "file": BoundedReach(
            "a file or a folder below `files`",
            "The path is relative, has no `..`, and no link leads out of `files`, which contains no flows, keys, "
            "blobs, logs or databases of the server.",
        ),
        "attachment": BoundedReach(
            "a file that came with the message",
            "Only attachments of the current message are found, whatever id is given.",
        ),
        "object": BoundedReach(
            "an object of the bucket, or another bucket if the credential names none",
            "The rights of the credential's key are the bound; a credential with `bucket` allows no other. "
            "If the server has an address inside the network, it is rejected before each use, unless `egress_allow` "
            "names it.",
        ),
        "broker": BoundedReach(
            "a queue, an exchange or a topic of the broker that the credential names",
            f"The rights of the credential's user at the broker are the bound. {_ADDRESSES}.",
        ),
        "mailbox": BoundedReach(
            "a folder of the mailbox that the credential names",
            f"The rights of the mailbox's user are the bound. {_ADDRESSES}.",
        ),
        "recipient": BoundedReach(
            "any mail address, by the mail server that the credential names",
            "An address has no line breaks. The mail server decides to whom it sends for this user.",
        ),
        "passed_url": BoundedReach(
            "nothing: it is data for the service, which shows it or sends people there",
            "Hookline sends no request to it.",
        ),
        "callback_url": BoundedReach(
            "one kind of URL of the service itself",
            "Its host must be the one that the connector names.",
        ),
        "request_header": BoundedReach(
            "a header of the outgoing request",
            "Names and values have no line breaks. Headers that frame a request are never set, and no message chooses "
            "`Host`. A redirect to another origin drops them.",
        ),
        "response_header": BoundedReach(
            "a header of the answer to the sender",
            "The names are those in the flow's text. Headers of the server itself can't be set, and headers that steer "
            "proxies or browsers take no value of a message.",
        ),
        "read_header": BoundedReach(
            "a header or a parameter of the received request",
            "It is only read, and compared.",
        ),
        "expression": BoundedReach(
            "the values in scope: the message, earlier results, the flow's `vars`",
            "Expressions are sandboxed: they reach no files, network, environment or clock. Steps, output and nesting "
            "are bounded.",
        ),
        "settings": BoundedReach("what the settings of the component reach", "Each of them is in this table."),
        "pattern": BoundedReach(
            "the names that are compared with it",
            "It is compared in time in proportion to its length and that of the name.",
        ),
        "json_schema": BoundedReach(
            "the body that is checked",
            "References to other documents are rejected; the check runs with limits on time and memory.",
        ),
        "flow": BoundedReach(
            "another flow, which is started with a message",
            "The called flow's `callable_by` has to allow it.",
        ),
        "credential": BoundedReach(
            "a stored secret, which goes to the service, and which the flow can't read",
            f"The credential's `flows` have to cover the flow; {_CREDENTIAL}.",
        ),
        "environment": BoundedReach(
            "the variables `HOOKLINE_VARS_<FLOW>__<NAME>` of the flow's own name",
            "Names that the flow doesn't declare, and variables of other flows, are not read.",
        ),
        "service_url": BoundedReach(
            "the server of this credential",
            f"Only administrators set credentials. {_ADDRESSES}.",
        ),
        "pem": BoundedReach(
            "nothing: it is the certificate or the key itself",
            "The text is decoded, and never read as the name of a file.",
        ),
        "host_server": BoundedReach("a server of the host's own", f"{_HOST}; inside addresses are allowed."),
        "host_folder": BoundedReach("a folder or a bucket of the host's own", f"{_HOST}."),
        "host_address": BoundedReach(
            "the address at which the server listens, or under which it is reached", f"{_HOST}."
        ),
        "host_trust": BoundedReach("who is trusted beyond the defaults", f"{_HOST}."),
    }
)


@dataclass(frozen=True, slots=True)
class Reach:
    """Marks a setting that names a path, a URL, a host, a header, a template or a program.

    As in `path: Annotated[str, Reach("file")]`. Raises ValueError for an unknown kind.
    """

    kind: ReachKind

    def __post_init__(self) -> None:
        if self.kind not in REACHES:
            raise ValueError(f"{self.kind!r} is no kind of reach; the kinds are {', '.join(REACHES)}")


_TEXTS: Final = (str, bytes, dict, list, Mapping, SecretStr, SecretBytes, PurePath)
NAMES_A_PLACE: Final = re.compile(
    r"url|uri|path|file|folder|dir|host|server|addr|endpoint|port|header|template|sql|statement|command|program|"
    r"expression|bucket|proxy|origin|redirect|cert|database|table|topic|exchange|queue|mailbox|recipient|email|socket|"
    r"location|link|image|target|prefix|pattern"
)
"""The words in the name of a setting that say that it may reach something."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A setting of a model, and its declaration."""

    path: str
    """The names of the setting and of those around it, as in `accepted.headers`."""
    reach: Reach | None
    description: str
    annotation: Any

    @property
    def takes_text(self) -> bool:
        """True if a value may be, or may contain, a text of any kind."""
        return _takes_text(self.annotation)


def declared_settings(model: type[BaseModel]) -> Iterator[Declared]:
    """Yield each setting of a model, and those of models in it, unless a declaration around them holds for them."""
    yield from _declared(model, "", frozenset())


def _declared(model: type[BaseModel], prefix: str, around: frozenset[type[BaseModel]]) -> Iterator[Declared]:
    for name, info in model.model_fields.items():
        path = prefix + (info.alias or name)
        reach = next((mark for mark in info.metadata if isinstance(mark, Reach)), None)
        yield Declared(path, reach, info.description or "", info.annotation)
        if reach is None:
            # Steps have steps in them, without end.
            for inner in set(_models(info.annotation)) - around:
                yield from _declared(inner, f"{path}.", around | {model, inner})


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _takes_text(annotation: Any) -> bool:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return False
    if origin is Annotated:
        return _takes_text(arguments[0])
    if arguments:
        return any(_takes_text(argument) for argument in arguments if argument is not ...)
    return annotation is Any or not isinstance(annotation, type) or issubclass(annotation, _TEXTS)
