"""The server settings: from `hookline.toml`, the environment (`HOOKLINE_*`) and options of the command line."""

import difflib
import os
import re
import socket
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from hookline.kernel.errors import ConfigError, Problem
from hookline.kernel.plugin_model_validation import error_text
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.model.durations import Duration
from hookline.model.reach import Reach
from hookline.model.webhook import Network

PREFIX = "HOOKLINE_"
FILE = Path("hookline.toml")
_LAST_PORT = 65535
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
DATABASE = "database"
"""The value of `flows` for flows that are served from the database."""


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


FlowPatterns = Annotated[tuple[str, ...], Reach("host_trust"), NoDecode, BeforeValidator(_split)]
TextList = Annotated[tuple[str, ...], Reach("host_trust"), NoDecode, BeforeValidator(_split)]
"""A list in TOML; in the environment, its items are separated by commas."""


class Settings(BaseSettings):
    """The settings of a server or a command. Relative paths start at the current directory."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    _sources: Mapping[str, str] = PrivateAttr(default_factory=dict)

    db: Annotated[str, Reach("host_server")] = Field(
        default="sqlite:///.hookline/hookline.db",
        description="The database of executions: the URL of a backend, `sqlite:///…` or `postgresql://…`.",
    )
    db_listen: Annotated[str | None, Reach("host_server")] = Field(
        default=None,
        description="The URL of the same PostgreSQL database without a pooler in between, for the session that hears "
        "the wake-ups of other nodes. It is needed only if `db` leads to a pooler of transactions such as pgbouncer; "
        "by default `db`.",
    )
    queue: Annotated[str | None, Reach("host_server")] = Field(
        default=None,
        description="The queue in front of the database, which accepts messages also while the database can't: "
        "`nats://host:4222,host:4222`, see the how-to guide about a NATS cluster. By default there is none.",
    )
    intake_stale: Duration = Field(
        default=timedelta(minutes=5),
        ge=timedelta(seconds=1),
        le=timedelta(hours=24),
        description="With a `queue`, the time for which messages are accepted after the database has answered last, "
        "with the flows and credentials that were known then; after that they get 503.",
    )
    flows: Annotated[str, Reach("host_folder")] = Field(
        default="flows",
        min_length=1,
        description="The directory of the flows, or `database` to serve the flows from the database.",
    )
    host: Annotated[str, Reach("host_address")] = Field(
        default="127.0.0.1", min_length=1, description="The address to listen on."
    )
    port: int = Field(default=8080, ge=0, le=_LAST_PORT, description="The port to listen on; 0 chooses a free one.")
    server: Literal["hypercorn", "uvicorn"] = Field(
        default="hypercorn", description="The HTTP server; `uvicorn` needs the extra `fast`."
    )
    workers: int = Field(default=1, ge=1, le=256, description="The number of server processes. SQLite allows one.")
    role: Literal["all", "webhook", "worker"] = Field(
        default="all",
        description="The work of this process: `webhook` accepts messages, `worker` runs flows, `all` does both.",
    )
    node_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$",
        description="The name of this node in logs and metrics; the name of the host by default. With `workers`, `-1`, "
        "`-2` and so on are appended.",
    )
    public_url: Annotated[str | None, Reach("host_address")] = Field(
        default=None,
        pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$",
        description="The URL under which senders reach the server, such as `https://hooks.example.com`.",
    )
    admin_bind: Annotated[str | None, Reach("host_address")] = Field(
        default=None,
        pattern=r"^([^\s:/\[\]]+|\[[0-9A-Fa-f:.]+(%\w+)?\]):\d{1,5}$",
        description="The address of the admin API, such as `127.0.0.1:8081`; port 0 chooses a free one. The other "
        "address then answers only hooks, callbacks, OAuth redirects and probes. Without `admin_bind`, one address "
        "answers everything.",
    )
    admin_url: Annotated[str | None, Reach("host_address")] = Field(
        default=None,
        pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$",
        description="The URL under which people reach the console and the admin API, such as "
        "`https://hookline.internal`. It has no path. The API answers only requests to its host, to its own address, "
        "or to localhost; changes in the console need exactly its origin. By default `public_url`, unless "
        "`admin_bind` is set or `public_url` has a path.",
    )
    metrics_public: bool = Field(
        default=False, description="Serve `/metrics` without a token; by default it needs one with the scope `read`."
    )
    admin_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="The bearer token of the admin API, at least 16 characters. Without one, a token is generated and "
        "stored in `admin.token` beside the database.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="The key that encrypts credentials and redacted values. Of several, separated by commas, the first "
        "encrypts and all decrypt. Without one, a key is generated and stored in `secret.key` beside the database.",
    )
    require_verification: bool = Field(
        default=False,
        description='Serve no flow whose trigger or waiting step says `"verify": "none"`, except for those in '
        "`unverified_flows`.",
    )
    unverified_flows: FlowPatterns = Field(
        default=(),
        description="With `require_verification`: the flows that may accept unverified requests, by their ids or by "
        "patterns such as `public-*`.",
    )
    egress_allow: TextList = Field(
        default=(),
        description="Private networks (CIDR), addresses or hosts, each with or without a port, that steps and triggers "
        "may reach: by HTTP, and as databases, brokers, mail servers and S3, such as `127.0.0.1:5432`.",
    )
    max_body: ByteSize = Field(
        default=ByteSize(10_000_000), gt=0, description="The largest body of a request, in bytes or as `10MB`."
    )
    max_file: ByteSize = Field(
        default=ByteSize(1_000_000_000), gt=0, description="The largest uploaded file, in bytes or as `1GB`."
    )
    max_file_total: ByteSize | None = Field(
        default=None,
        gt=0,
        description="The total size of the files that all present requests may upload, such as `20GB`; more get 503. "
        "Ten times `max_file` by default.",
    )
    max_body_total: ByteSize | None = Field(
        default=None,
        gt=0,
        description="The total size of the bodies that all present requests may hold in memory, such as `1GB`, with "
        "60 bytes added for each value in them; more get 503. Fifty times `max_body` by default.",
    )
    max_request_time: Duration = Field(
        default=timedelta(minutes=30),
        ge=timedelta(minutes=1),
        le=timedelta(hours=12),
        description="The longest time in which a request must arrive completely; after it, the sender gets 408. Unused "
        "files are removed at twice that age, but not before one hour.",
    )
    files: Annotated[Path | None, Reach("host_folder")] = Field(
        default=None,
        description="The directory to which `file.*` steps and SQLite databases of steps are limited. It contains "
        "nothing of the server: no flows, keys, blobs or databases. By default the directory `files` beside the "
        "database.",
    )
    blobs: Annotated[str | None, Reach("host_folder")] = Field(
        default=None,
        description="The store of uploaded files: the URL of a blob store. By default the directory `blobs` beside the "
        "database.",
    )
    file_retention: Duration = Field(
        default=timedelta(days=30),
        ge=timedelta(hours=1),
        description="The retention of uploaded files after the executions that use them have ended, such as `30d`.",
    )
    retention: Duration = Field(
        default=timedelta(days=30),
        ge=timedelta(minutes=1),
        description="The retention of executions after their end, such as `30d`, unless their flow sets another. With "
        "PostgreSQL, executions with the longest retention of all flows stay for up to a day longer: up to a "
        "week if that retention is over 45 days, and up to four weeks if it is over 315 days.",
    )
    audit_retention: Duration = Field(
        default=timedelta(days=400),
        ge=timedelta(days=1),
        description="The retention of audit entries, such as `400d`. They don't count towards the disk budget.",
    )
    disk_budget: ByteSize = Field(
        default=ByteSize(5_000_000_000),
        ge=1_000_000,
        description="The largest size of executions and their files on disk, such as `5GB`. Above it, ended "
        "executions are removed, the oldest first; if that can't free enough, messages get 503.",
    )
    max_backlog: int = Field(
        default=1_000_000, ge=1, description="The largest number of queued messages of one flow; more get 429."
    )
    max_backlog_total: int = Field(
        default=5_000_000, ge=1, description="The largest number of queued messages of all flows; more get 429."
    )
    max_connections: int = Field(
        default=1000,
        ge=1,
        description="The largest number of open connections of a process; another one gets 503 and is closed. One "
        "address may have half of them, except a trusted proxy. All HTTP/2 connections together may have the same "
        "number of streams.",
    )
    trusted_proxies: Annotated[tuple[Network, ...], Reach("host_trust"), NoDecode, BeforeValidator(_split)] = Field(
        default=(),
        description="Networks (CIDR) of the proxies in front of the server. Only their `forwarded_header` is trusted, "
        "and only they may have more than half of `max_connections`.",
    )
    forwarded_header: Annotated[Literal["x-forwarded-for", "forwarded"], Reach("read_header")] = Field(
        default="x-forwarded-for", description="The header in which trusted proxies name the address of the client."
    )
    step_timeout: Duration = Field(
        default=timedelta(hours=1),
        ge=timedelta(milliseconds=100),
        description="The time limit of a step without its own `timeout`; after it, the step fails with `timed_out`.",
    )
    plugin_timeout: Duration = Field(
        default=timedelta(seconds=30),
        ge=timedelta(milliseconds=100),
        description="The time limit for loading a plugin at the start; after it, the plugin is left out and reported.",
    )
    grace: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="Seconds within which running executions must finish when the server stops.",
    )
    drain_delay: float = Field(
        default=2.0,
        ge=0,
        le=300,
        description="Seconds for which a stopping server still accepts messages while `/readyz` is 503. Choose a "
        "longer time than a load balancer takes to notice.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The lowest level of log messages."
    )
    log_format: Literal["json", "console"] = Field(
        default="console", description="`json` logs one JSON object per line, `console` readable text."
    )

    @field_validator(
        "db_listen",
        "queue",
        "node_name",
        "public_url",
        "admin_bind",
        "admin_url",
        "blobs",
        "files",
        "admin_token",
        "secret_key",
        "max_file_total",
        "max_body_total",
        mode="before",
    )
    @classmethod
    def _unset(cls, value: Any) -> Any:
        # `HOOKLINE_QUEUE=` in a unit file or a compose file means that the setting is not set.
        return None if value == "" else value

    @field_validator("admin_bind")
    @classmethod
    def _has_port(cls, value: str | None) -> str | None:
        if value is not None and int(value.rpartition(":")[2]) > _LAST_PORT:
            raise ValueError(f"the port is a number up to {_LAST_PORT}")
        return value

    @field_validator("public_url", "admin_url")
    @classmethod
    def _without_slash(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            _ = urlsplit(value).port
        except ValueError:
            raise ValueError(f"the port is a number up to {_LAST_PORT}") from None
        return value.rstrip("/")

    @field_validator("admin_url")
    @classmethod
    def _has_no_path(cls, value: str | None) -> str | None:
        if value is not None and (path := urlsplit(value).path):
            raise ValueError(
                f"the console can't be served below the path {path}: give it a host name of its own, such as "
                "https://hookline.internal"
            )
        return value

    @field_validator("db", "queue", "blobs")
    @classmethod
    def _is_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        # A queue may have several servers, which `urlsplit` can't read; its plugin does.
        if value is not None and info.field_name != "queue":
            try:
                urlsplit(value)
            except ValueError:
                # The message of `urlsplit` may have a part of a password.
                raise ValueError(
                    f"{info.field_name} can't be read as a URL; write %5B for [ in a password, and so on"
                ) from None
        if value is not None and not _SCHEME.match(value):
            examples = {"blobs": "file:///srv/blobs or s3://bucket", "queue": "nats://127.0.0.1:4222"}
            example = examples.get(info.field_name or "", "sqlite:///hookline.db")
            raise ValueError(f"{info.field_name} is a URL, such as {example}")
        return value

    @field_validator("db_listen")
    @classmethod
    def _is_of_postgresql(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if not str(info.data.get("db", "")).startswith("postgresql:"):
            raise ValueError("only a postgresql:// database has sessions that listen; leave db_listen out")
        if not value.startswith("postgresql://"):
            raise ValueError("db_listen is the direct URL of the database, such as postgresql://db.internal/hookline")
        return value

    @field_validator("workers")
    @classmethod
    def _one_worker(cls, value: int, info: ValidationInfo) -> int:
        if value > 1 and str(info.data.get("db", "")).startswith("sqlite"):
            raise ValueError("SQLite allows only one writing process; use a postgresql:// database, or workers = 1")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load` reads the other sources itself, to know the source of each value.
        return (init_settings,)

    def source(self, name: str) -> str | None:
        """The source of a setting: a file, `the environment` or `the command line`; None if it has its default."""
        return self._sources.get(name)

    def node(self, worker: int | None = None) -> str:
        """The name of this process, or of its worker of that number, which begin at 1."""
        name = self.node_name or socket.gethostname()
        return name if worker is None else f"{name}-{worker}"

    @property
    def sqlite_file(self) -> Path | None:
        """The file of a SQLite database; None for other databases."""
        parts = urlsplit(self.db)
        path = unquote(parts.path[1:])
        return Path(path) if parts.scheme.partition("+")[0] == "sqlite" and path not in ("", ":memory:") else None

    @property
    def admin_address(self) -> tuple[str, int] | None:
        """The host and the port of `admin_bind`."""
        if self.admin_bind is None:
            return None
        host, _, port = self.admin_bind.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def flows_dir(self) -> Path:
        """The directory of the flows. Raises ConfigError if they are in the database."""
        if self.flows == DATABASE:
            raise ConfigError("the flows are in the database; name a directory with --flows, or the files themselves")
        return Path(self.flows)

    @property
    def data_dir(self) -> Path:
        """The directory of generated keys and files: that of a SQLite database, otherwise `.hookline`."""
        return self.sqlite_file.parent if self.sqlite_file else Path(".hookline")

    @property
    def files_dir(self) -> Path:
        """The directory of files of steps."""
        return self.files or self.data_dir / "files"

    @property
    def blobs_url(self) -> str:
        """The URL of the blob store of uploaded files."""
        return self.blobs or f"file://{(self.data_dir / 'blobs').absolute()}"


#: Beginnings of environment variables under our prefix that aren't settings.
_NO_SETTINGS = (
    "HOOKLINE_VARS_",
    "HOOKLINE_TEST_",
    "HOOKLINE_FAULT",
    "HOOKLINE_REQUIRE_",
    "HOOKLINE_CONFIG",
    "HOOKLINE_REMOTE",
    "HOOKLINE_TOKEN",
)


def load(options: Mapping[str, Any] | None = None, file: Path | None = None) -> Settings:
    """Load the settings from a file, the environment and a command's options, of which the later ones win.

    `options` that are None weren't given. `file` is `hookline.toml` in the current directory by default, and then it
    needn't exist. Raises ConfigError with every problem, each with the source of the value.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    path = FILE if file is None else file
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    problems: list[Problem] = []
    for name, value in _read(path, required=file is not None).items():
        if name in Settings.model_fields:
            values[name], places[name] = value, str(path)
        else:
            problems.append(_unknown(name, sorted(Settings.model_fields), str(path)))
    for name, value in EnvSettingsSource(Settings)().items():
        values[name], places[name] = value, "the environment"
    problems += _misspelt(os.environ)
    for name, value in given.items():
        values[name], places[name] = value, "the command line"
    try:
        settings = Settings(**values)
        settings._sources = places
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            name = str(detail["loc"][0]) if detail["loc"] else ""
            problems.append(
                Problem(f"{_named(name, places.get(name, ''))}: {error_text(detail)}", file=places.get(name))
            )
        raise _invalid(problems) from None
    if problems:
        raise _invalid(problems)
    return settings


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"there is no file {path}") from None
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error


def _named(name: str, place: str) -> str:
    """Return the name of a setting as it is written in its source."""
    if place == "the environment":
        return f"{PREFIX}{name.upper()}"
    return f"--{name.replace('_', '-')}" if place == "the command line" else name


def _unknown(name: str, known: list[str], place: str) -> Problem:
    return Problem(
        f"there is no server setting {name}",
        code="config.unknown",
        remedy=did_you_mean(name, known, f"the settings are {', '.join(known)}"),
        file=place,
    )


def _misspelt(environment: Mapping[str, str]) -> list[Problem]:
    """Report names that are similar to a setting's. Other programs may use the prefix for their own purposes."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    strange = sorted(
        name
        for name in environment
        if name.startswith(PREFIX) and name not in known and not name.startswith(_NO_SETTINGS)
    )
    return [
        _unknown(name, known, "the environment")
        for name in strange
        if difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    ]


def _invalid(problems: list[Problem]) -> ConfigError:
    return ConfigError("the server settings are invalid", problems=problems)
