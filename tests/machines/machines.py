"""Machines made of namespaces: each has a network, processes, a home and memory files of its own.

They share the disk's system folders, and one folder at /srv/shoal as from a file server. It takes
root on Linux. A power cut takes all of a machine's processes at once, and its cable with them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import psutil

BRIDGE = "shoalbr0"
OUTSIDE = "10.87.43.1"
"""This machine, as they see it."""
_NEEDED = ("ip", "unshare", "sshd", "ssh-keygen", "rsync")
_SSHD = """
Port 22
ListenAddress {address}
HostKey /root/.machine/hostkey
AuthorizedKeysFile /root/.ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
StrictModes no
PidFile none
"""
_BOOT = """
set -e
hostname {name}
mount -t tmpfs -o size=2g tmpfs /dev/shm
mount -t tmpfs tmpfs /srv
mkdir /srv/shoal /run/sshd -p
mount --bind {folder}/shared /srv/shoal
mount --bind {folder}/{name}/root /root
mount --bind /root/.machine/tmp /tmp
cd /root
exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    sh -c '/usr/sbin/sshd -D -e -f /root/.machine/sshd_config & while :; do wait; sleep 1; done'
"""


def why_not() -> str:
    """Return why no machine can be made here, or ""."""
    if not hasattr(os, "getuid") or os.getuid() != 0:
        return "machines of namespaces take root"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in _NEEDED if shutil.which(name, path=path) is None]
    if missing:
        return f"machines of namespaces take {', '.join(missing)}: install them"
    made = _ip("netns", "add", "shoal-probe", check=False)
    _ip("netns", "del", "shoal-probe", check=False)
    return "" if made.returncode == 0 else f"no network namespace can be made: {made.stderr}"


class Machine:
    """One machine; it is off until it is switched on.

    Args:
        number: From 1; it makes the address.
        folder: Where the folders of all machines lie.
    """

    def __init__(self, number: int, folder: Path) -> None:
        self.name = f"machine{number}"
        self.address = f"10.87.43.{10 + number}"
        self.home = folder / self.name / "root"
        self._space = f"shoal-m{number}"
        self._cable = f"shoalv{number}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._lay_out()

    def switch_on(self) -> None:
        """Boot it, and return once it takes logins."""
        self.plug_in()
        script = _BOOT.format(name=self.name, folder=self._folder)
        apart = ["--mount", "--propagation", "private", "--mount-proc", "--pid", "--uts", "--ipc"]
        inside = ["ip", "netns", "exec", self._space, "unshare", *apart, "--fork", "--kill-child"]
        with (self._folder / self.name / "boot.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*inside, "bash", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        give_up = time.monotonic() + 30
        while self.run("true", check=False).returncode:
            assert time.monotonic() < give_up, f"{self.name} does not boot"
            time.sleep(0.2)

    def cut_power(self) -> None:
        """Take it down at once: nobody gets so much as a closed connection."""
        self.unplug()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def unplug(self) -> None:
        """Pull its network cable."""
        _ip("link", "set", self._cable, "down")

    def plug_in(self) -> None:
        """Put its network cable back."""
        _ip("link", "set", self._cable, "up")

    def run(self, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on it, over ssh."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=3"]
        given = [word for option in (*options, "LogLevel=ERROR") for word in ("-o", option)]
        return subprocess.run(
            ["ssh", "-i", key(self._folder), *given, f"root@{self.address}", command],
            check=check,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def processes(self) -> list[str]:
        """Return the command lines of what runs on it, beside what takes logins."""
        if self._process is None:
            return []
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found.append(" ".join(process.cmdline()))
        own = ("bash -c \nset -e", "sh -c /usr/sbin/sshd", "sshd", "/usr/sbin/sshd", "sleep 1")
        return [line for line in found if line and not line.startswith(own)]

    def remove(self) -> None:
        """Take it away for good."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.cut_power()
        _ip("netns", "del", self._space, check=False)
        _ip("link", "del", self._cable, check=False)

    def _lay_out(self) -> None:
        machine = self.home / ".machine"
        for folder in (machine / "tmp", self.home / ".ssh"):
            folder.mkdir(parents=True, exist_ok=True)
        (machine / "tmp").chmod(0o1777)
        (machine / "sshd_config").write_text(_SSHD.format(address=self.address))
        shutil.copy(f"{key(self._folder)}.pub", self.home / ".ssh" / "authorized_keys")
        _make_key(machine / "hostkey")
        _ip("netns", "add", self._space)
        _ip("link", "add", self._cable, "type", "veth", "peer", "eth0", "netns", self._space)
        _ip("link", "set", self._cable, "master", BRIDGE)
        for command in (
            "link set lo up",
            f"addr add {self.address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {OUTSIDE}",
        ):
            _ip("-n", self._space, *command.split())


class Machines:
    """Some machines on one network; `close` leaves nothing of them but their folders.

    Args:
        folder: For their files; the path must be short enough for sockets.
        count: How many.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.shared = folder / "shared"
        self.shared.mkdir(parents=True, exist_ok=True)
        _make_key(key(folder))
        _ip("link", "add", BRIDGE, "type", "bridge")
        self.all: list[Machine] = []
        try:
            _ip("addr", "add", f"{OUTSIDE}/24", "dev", BRIDGE)
            _ip("link", "set", BRIDGE, "up")
            for _ in range(count):
                self.add()
        except BaseException:
            self.close()
            raise

    def add(self) -> Machine:
        """Make one more, and switch it on."""
        machine = Machine(len(self.all) + 1, self.folder)
        self.all.append(machine)
        machine.switch_on()
        return machine

    def are_idle(self) -> bool:
        """Tell whether nothing runs on any of them, beside what takes logins."""
        return not any(machine.processes() for machine in self.all)

    def close(self) -> None:
        """End them all."""
        for machine in self.all:
            machine.remove()
        _ip("link", "del", BRIDGE, check=False)

    def __enter__(self) -> Machines:
        """Return them."""
        return self

    def __exit__(self, *exc: object) -> None:
        """End them all."""
        self.close()


def key(folder: Path) -> Path:
    """Return the private key that all machines let in."""
    return folder / "id_ed25519"


def _make_key(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not file.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)


def _ip(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"ip {' '.join(arguments)}: {done.stderr}"
    return done
