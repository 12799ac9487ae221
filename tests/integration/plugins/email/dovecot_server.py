"""A real IMAP server, with a folder of its own."""

import imaplib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.services import need_program

USER, PASSWORD = "ada@example.com", "correct horse battery"

_SETTINGS = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = {ssl}
{certificate}
auth_allow_cleartext = yes
auth_failure_delay = 0
mail_driver = maildir
mail_path = {folder}/mail/%{{user}}
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {group}
{capability}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
passdb passwd-file {{
  passwd_file_path = {folder}/users
  default_password_scheme = plain
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {folder}/mail/%{{user}}
  }}
}}
"""


class Dovecot:
    """The server. `certificate`: files of a certificate and its key, with which it speaks STARTTLS."""

    def __init__(self, certificate: tuple[Path, Path] | None = None, capability: str = "") -> None:
        self._program = need_program("Dovecot", "dovecot")
        # Paths of sockets are short, and its own users have to get there.
        self.folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self.folder.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        root = os.getuid() == 0
        me = pwd.getpwuid(os.getuid()).pw_name
        keeper = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.getuid())
        cert = (
            ""
            if certificate is None
            else (f"ssl_server_cert_file = {certificate[0]}\nssl_server_key_file = {certificate[1]}")
        )
        (self.folder / "users").write_text(f"{USER}:{{plain}}{PASSWORD}:::::\n", encoding="utf-8")
        (self.folder / "mail").mkdir()
        os.chown(self.folder / "mail", keeper.pw_uid, keeper.pw_gid)
        settings = _SETTINGS.format(
            folder=self.folder,
            ssl="no" if certificate is None else "yes",
            certificate=cert,
            port=self.port,
            uid=keeper.pw_uid,
            gid=keeper.pw_gid,
            internal="dovecot" if root else me,
            login="dovenull" if root else me,
            group="dovecot" if root else me,
            capability=f"imap_capability {{\n  {capability}\n}}" if capability else "",
        )
        (self.folder / "dovecot.conf").write_text(settings, encoding="utf-8")
        with (self.folder / "stderr").open("wb") as stderr:
            self._process = subprocess.Popen(
                [self._program, "-F", "-c", str(self.folder / "dovecot.conf")],
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"dovecot doesn't run: {self.log()}") from error
                time.sleep(0.02)
            else:
                return

    def log(self) -> str:
        """What it has to say."""
        said = [self.folder / "stderr", self.folder / "log"]
        return "\n".join(one.read_text(errors="replace") for one in said if one.exists())

    def client(self) -> imaplib.IMAP4:
        """A client that is logged in."""
        made = imaplib.IMAP4("127.0.0.1", self.port)
        made.login(USER, PASSWORD)
        return made

    def add(self, mail: bytes, folder: str = "INBOX", at: datetime | None = None) -> None:
        """Put a mail into a folder."""
        with self.client() as client:
            done = client.append(folder, "", imaplib.Time2Internaldate(at or datetime.now(UTC)), mail)
            assert done[0] == "OK", done

    def flags(self, folder: str = "INBOX") -> list[bytes]:
        """What a folder has, one line of flags for each mail."""
        with self.client() as client:
            typ, count = client.select(f'"{folder}"', readonly=True)
            assert typ == "OK"
            if count == [b"0"]:
                return []
            found = client.fetch("1:*", "(FLAGS)")[1]
            return [line.replace(b"\\Recent", b"").replace(b" )", b")") for line in found if isinstance(line, bytes)]

    def make(self, folder: str) -> None:
        """Make a folder."""
        with self.client() as client:
            assert client.create(folder)[0] == "OK"

    def give_new_ids(self, folder: str = "INBOX") -> None:
        """Forget the ids of a folder's mails, as a server does whose index was lost."""
        place = self.folder / "mail" / USER / ("" if folder == "INBOX" else f".{folder}")
        for name in (
            "dovecot-uidlist",
            "dovecot-uidvalidity",
            "dovecot.index",
            "dovecot.index.log",
            "dovecot.index.cache",
        ):
            (place / name).unlink(missing_ok=True)

    def stop(self) -> None:
        """End it, and remove what it kept."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
