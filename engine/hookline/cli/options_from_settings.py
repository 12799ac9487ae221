"""The options of an engine and of its hooks, made from the settings."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hookline.engine_options import EngineOptions
from hookline.secrets.encryption import generate_key, keep_key, load_or_create_key, read_keys
from hookline.server_settings import DATABASE, Settings
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
        egress_allow=settings.egress_allow,
        files_root=settings.files,
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
