"""The options of an engine and of its hooks, made from the settings."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import hookline
from hookline.engine_options import EngineOptions
from hookline.kernel.errors import ConfigError
from hookline.secrets.encryption import generate_key, keep_key, load_or_create_key, read_keys
from hookline.server_settings import DATABASE, FILE, Settings
from hookline.service.hooks.hook_endpoint import HookOptions


def key_file(settings: Settings) -> Path:
    """The file of the key if the settings have none."""
    return settings.data_dir / "secret.key"


def keys_of(settings: Settings) -> tuple[tuple[bytes, ...], Callable[[], None] | None]:
    """Return the keys of the settings, or else of a file beside the database.

    If it doesn't exist, return a new key, and the function that creates the file with it. Raises CredentialError if the
    keys can't be used.
    """
    if settings.secret_key is not None:
        return read_keys(settings.secret_key.get_secret_value()), None
    file = key_file(settings)
    if file.exists():
        return load_or_create_key(file), None
    text = generate_key()
    return read_keys(text), partial(keep_key, file, text)


def check_files_folder(settings: Settings) -> None:
    """Raise ConfigError if the folder for files is a place where flows must not read or write."""
    folder = settings.files_dir.resolve()
    apart = {
        "the code of the server": Path(hookline.__file__).parent,
        "its Python": Path(sys.prefix),
        "the Python below it": Path(sys.base_prefix),
        "its configuration": FILE,
        "its keys": key_file(settings),
        "the token of its administrator": settings.data_dir / "admin.token",
    }
    if settings.sqlite_file is not None:
        apart["its database"] = settings.sqlite_file
    if settings.flows != DATABASE:
        apart["its flows"] = settings.flows_dir
    if settings.blobs_url.startswith("file:"):
        apart["its blobs"] = Path(unquote(urlsplit(settings.blobs_url).path))
    for stream, name in ((sys.stdout, "its output"), (sys.stderr, "its log")):
        # Where the system tells which file that is.
        with suppress(OSError, ValueError, AttributeError):
            apart[name] = Path(f"/proc/self/fd/{stream.fileno()}").readlink()
    for name, place in apart.items():
        real = place.resolve()
        if real.is_relative_to(folder) or (folder.is_relative_to(real) and not real.is_file()):
            raise ConfigError(
                f"the folder for files, {folder}, and {name}, {real}, are in each other, so flows could change it; "
                "set HOOKLINE_FILES to a folder that contains nothing of the server"
            )


def make_files_folder(settings: Settings) -> None:
    """Make the folder for files, unless the settings name one, which may be a volume. Raises ConfigError."""
    if settings.files is None:
        try:
            settings.files_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the folder for files, {settings.files_dir}, can't be made: {error.strerror}") from error


def local_url(host: str, port: int) -> str:
    """Return the URL at which this machine reaches a server that listens there."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def engine_options(
    settings: Settings, url: str, *, secret_keys: tuple[bytes, ...] | None = None, worker: int | None = None
) -> EngineOptions:
    """Return the options of the engine of a server at `url`; the settings' own keys by default.

    `worker`: the number of this process among the workers of a server.

    Raises ConfigError for settings that can't be used yet, and CredentialError if the keys can't be used.
    """
    check_files_folder(settings)
    keys, keep_new_key = keys_of(settings) if secret_keys is None else (secret_keys, None)
    key = key_file(settings)
    return EngineOptions(
        db=settings.db,
        db_listen=settings.db_listen,
        blobs=settings.blobs_url,
        queue=None if settings.queue == settings.db else settings.queue,
        intake_stale=settings.intake_stale,
        flows=None if settings.flows == DATABASE else settings.flows_dir,
        secret_keys=keys,
        keep_new_key=keep_new_key,
        drop_new_key=lambda: key.unlink(missing_ok=True),
        role=settings.role,
        node_name=settings.node(worker),
        public_url=settings.public_url or url,
        public_url_set=settings.public_url is not None,
        unverified_flows=unverified_flows(settings),
        egress_allow=settings.egress_allow,
        files_root=settings.files_dir.absolute(),
        file_retention=settings.file_retention,
        retention=settings.retention,
        audit_retention=settings.audit_retention,
        disk_budget=int(settings.disk_budget),
        max_request_time=settings.max_request_time,
        max_backlog=settings.max_backlog,
        max_backlog_total=settings.max_backlog_total,
        step_timeout=settings.step_timeout,
        grace=settings.grace,
        environment=dict(os.environ),
    )


def unverified_flows(settings: Settings) -> tuple[str, ...] | None:
    """Return patterns of the ids of the flows that may accept unverified requests; None for all."""
    return settings.unverified_flows if settings.require_verification else None


def hook_options(settings: Settings, url: str) -> HookOptions:
    """Return the options of the hooks of a server at `url`."""
    return HookOptions(
        public_url=settings.public_url or url,
        max_body=int(settings.max_body),
        max_file=int(settings.max_file),
        max_file_total=None if settings.max_file_total is None else int(settings.max_file_total),
        max_body_total=None if settings.max_body_total is None else int(settings.max_body_total),
        max_request_time=settings.max_request_time.total_seconds(),
        trusted_proxies=settings.trusted_proxies,
        forwarded_header=settings.forwarded_header,
    )
