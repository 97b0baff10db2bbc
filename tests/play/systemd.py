"""systemd itself, as the first process of a box, with our units and nobody else's.

The box gets a `nexus` user, the checkout in /opt/nexus, the units, and the example files with what
has to be replaced replaced: what docs/operate.md tells an operator to do.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from runtime.host.layout import HOME
from tests.play.boxes import STAGE, Box, NoBoxes, mount
from tests.play.deployment import SECRETS, Deployment
from tests.play.doors import look, serves
from tests.play.stage import READY_SECONDS, Failed, Played, catches

UNITS = HOME / "deploy/systemd"
PROGRAM = "/lib/systemd/systemd"
NODES = ("null", "zero", "full", "random", "urandom", "tty")
WORDS = {
    "POSTGRES_DSN": SECRETS["POSTGRES_PASSWORD"],
    "REDIS_URL": SECRETS["REDIS_PASSWORD"],
    **{name: SECRETS[name] for name in ("ENCRYPTION_KEY", "INTERNAL_API_TOKEN", "ADMIN_TOKEN")},
}
LOGGED = "[Service]\nStandardOutput=append:/var/log/nexus/%n.log\nStandardError=inherit\n"


def read(path: Path, form: str) -> Deployment:
    """Say what the play needs to know; the rest is systemd's business."""
    return Deployment(form, "/opt/nexus", [], resolver="127.0.0.53")


class Systemd:
    """A booted systemd."""

    def __init__(self, deployment: Deployment, checkout: Path) -> None:
        if not Path(PROGRAM).exists():
            raise NoBoxes("systemd is not installed")
        self.deployment = deployment
        self.played: dict[str, Played] = {}
        self.box = Box(
            "systemd", "/opt/nexus", checkout, {}, resolver=deployment.resolver, read_only=False
        )
        self.root = self.box.root
        self.cgroup = _hierarchy() / f"nexus-play-{secrets.token_hex(4)}"
        self.logs = self.root / "var/log/nexus"
        self.logs.mkdir()
        self._install()

    def _install(self) -> None:
        """Do what docs/operate.md says, on a system that has no other unit."""
        shutil.rmtree(self.root / "lib/systemd/system-generators")
        for folder in ("etc/systemd/system", "lib/systemd/system"):
            for wants in (self.root / folder).glob("*.wants"):
                shutil.rmtree(wants)
        units = self.root / "etc/systemd/system"
        for unit in UNITS.glob("nexus*"):
            if unit.is_dir():
                shutil.copytree(unit, units / unit.name)
            elif not unit.name.endswith(".example"):
                shutil.copy(unit, units)
        (units / "nexus-.service.d/play.conf").write_text(LOGGED + _python_in_a_home())
        settings = self.root / "etc/nexus"
        settings.mkdir(mode=0o755)
        for name in ("nexus.env", "secrets.env"):
            lines = (UNITS / f"{name}.example").read_text().splitlines()
            (settings / name).write_text("\n".join(map(_replaced, lines)) + "\n")
        (settings / "secrets.env").chmod(0o600)

    def start(self) -> None:
        """Boot, and wait until it serves."""
        devices = self.root / "dev"
        mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(devices))
        for node in NODES:
            (devices / node).touch()
            mount("--bind", f"/dev/{node}", str(devices / node))
        (devices / "ptmx").symlink_to("pts/ptmx")
        (devices / "pts").mkdir()
        mount("--bind", "/dev/pts", str(devices / "pts"))
        (devices / "shm").mkdir(mode=0o1777)
        (devices / "shm").chmod(0o1777)
        mount("-t", "tmpfs", "tmpfs", str(self.root / "sys"))
        control = self.root / "sys/fs/cgroup"
        control.mkdir(parents=True)
        self.cgroup.mkdir()
        steps = [
            f"echo 0 > {self.cgroup}/cgroup.procs",
            "exec unshare --cgroup --mount --pid --fork --kill-child --propagation private sh -ec '"
            f"mount -t cgroup2 cgroup2 {control}; mount -t proc proc {self.root}/proc;"
            f"cd {self.root}; pivot_root . mnt; umount --lazy /mnt; exec env container=play"
            f" {PROGRAM} --unit=nexus.target --log-target=null --show-status=no'",
        ]
        began = time.monotonic()
        with (STAGE / "systemd.log").open("wb") as output:
            self.process = subprocess.Popen(
                ["sh", "-ec", "\n".join(steps)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PATH": os.environ["PATH"]},
                start_new_session=True,
            )
        while not (serves(self.deployment) and self._all_obey()):
            if self.process.poll() is not None or time.monotonic() - began > READY_SECONDS:
                raise Failed(f"not ready after {time.monotonic() - began:.0f} s\n{self.output()}")
            time.sleep(0.1)
        for unit in self._units():
            self.played[unit] = Played(unit, ready_seconds=time.monotonic() - began)

    def ask(self) -> None:
        """Look from outside; and ask systemd what it thinks of the units."""
        for problem in look(self.deployment):
            raise Failed(f"{problem}\n{self.output()}")
        if said := self.inside("systemd-analyze", "verify", *self._paths()):
            raise Failed(f"systemd-analyze verify: {said}")
        for unit in self.played:
            if self.told("show", unit, "--property=NRestarts", "--value") != "0":
                raise Failed(f"{unit} was restarted\n{self.output()}")

    def stop(self) -> None:
        """Stop one unit after the other with `systemctl stop`, within TimeoutStopSec."""
        for unit, played in reversed(self.played.items()):
            limit = self.told("show", unit, "--property=TimeoutStopUSec", "--value")
            played.limit_seconds = _seconds(limit)
            began = time.monotonic()
            self.told("stop", unit)
            played.stop_seconds = time.monotonic() - began
            lines = self.told("show", unit, "--property=Result,ExecMainStatus,ActiveState")
            said = dict(line.split("=", 1) for line in lines.splitlines())
            played.code = int(said["ExecMainStatus"])
            if said["Result"] != "success" or played.code or said["ActiveState"] != "inactive":
                raise Failed(f"{unit}: {said} after {played.stop_seconds:.1f} s\n{self.output()}")

    def _units(self) -> list[str]:
        listed = self.told("show", "nexus.target", "--property=Wants", "--value")
        return sorted(name for name in listed.split() if name.endswith(".service"))

    def _all_obey(self) -> bool:
        """Say whether every process has come so far that it knows its stop signal."""
        for unit in self._units():
            pid = self.told("show", unit, "--property=MainPID", "--value")
            status = self.inside("cat", f"/proc/{pid}/status")
            if "SigCgt:" not in status or not catches(status, signal.SIGTERM):
                return False
        return True

    def _paths(self) -> list[str]:
        found = (self.root / "etc/systemd/system").glob("nexus*")
        return [f"/etc/systemd/system/{each.name}" for each in found if each.is_file()]

    def strays(self) -> list[str]:
        """Return what our units wrote outside of their state folder."""
        ours = ("var/lib/nexus/", "var/log/nexus/")
        users = (self.box.written / path for path in self.box.strays() if not path.startswith(ours))
        return [str(path) for path in users if path.lstat().st_uid not in (0,)]

    def end(self) -> None:
        """End systemd with everything in it."""
        if process := getattr(self, "process", None):
            process.kill()
            process.wait()
        for _ in range(100):  # the kernel takes a moment to empty them
            folders = sorted(self.cgroup.rglob("*/"), reverse=True)
            try:
                for folder in [*(each for each in folders if each.is_dir()), self.cgroup]:
                    folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.05)

    @property
    def first(self) -> int:
        """The process id of systemd, seen from outside of its box."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def told(self, *words: str) -> str:
        """Run systemctl."""
        return self.inside("systemctl", *words)

    def inside(self, *words: str) -> str:
        """Run a command in the box as root, and return what it printed."""
        done = subprocess.run(
            ["nsenter", f"--target={self.first}", "--mount", "--pid", "--root", "--wd=/", *words],
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=READY_SECONDS,
            check=False,
        )
        return done.stdout.strip()

    def output(self) -> str:
        """Return the last lines of every log."""
        files = [STAGE / "systemd.log", *sorted(self.logs.glob("*.log"))]
        return "\n".join(f"--- {each.stem}\n{each.read_text()[-1500:]}" for each in files)


def _hierarchy() -> Path:
    """Return where this machine has the second version of control groups."""
    for path in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        if (path / "cgroup.procs").exists() and (path / "cgroup.controllers").exists():
            return path
    raise NoBoxes("no control groups, version 2")


def _python_in_a_home() -> str:
    """Show the units this machine's Python where it is in somebody's home; theirs is in /usr."""
    python = Path(sys.base_prefix).resolve()
    if python.parts[1] not in ("root", "home"):
        return ""
    return f"ProtectHome=tmpfs\nBindReadOnlyPaths={python}\n"


def _replaced(line: str) -> str:
    name, _, value = line.partition("=")
    return f"{name}={value.replace('replace-me', WORDS.get(name, ''))}" if value else line


def _seconds(text: str) -> float:
    """Read systemd's way to write a time.

    >>> _seconds("40s"), _seconds("1min 30s")
    (40.0, 90.0)
    """
    sizes = {"min": 60, "s": 1}
    found = re.findall(r"([0-9.]+)(min|s)", text)
    return sum(float(number) * sizes[unit] for number, unit in found)
