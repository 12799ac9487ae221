"""The client of the admin API: that of a remote server, of the server on this machine, or of this process.

`admin_api_choice` is the one place that decides between them. Commands call `connect` or `call` without knowing which
it is.
"""

from hookline.cli.client.admin_api_choice import call, connect
from hookline.cli.client.admin_client import ApiError, Client
from hookline.cli.client.in_process import Missing, NoServer
from hookline.cli.client.missing_database import NoDatabase, check_exists, created_for, is_new

__all__ = [
    "ApiError",
    "Client",
    "Missing",
    "NoDatabase",
    "NoServer",
    "call",
    "check_exists",
    "connect",
    "created_for",
    "is_new",
]
