"""The client of the admin API: of a remote server, the one that runs on this machine, or the API in this process.

`connection` is the one place that decides between them. Commands call `connect` or `call`, and do the same for all.
"""

from hookline.cli.client.connection import NoDatabase, call, connect, created_for, is_new
from hookline.cli.client.in_process import Missing, NoServer
from hookline.cli.client.requests import ApiError, Client

__all__ = ["ApiError", "Client", "Missing", "NoDatabase", "NoServer", "call", "connect", "created_for", "is_new"]
