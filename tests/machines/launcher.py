"""Who runs `ray up`: a copy of this checkout, with the key of the machines, and a shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from machines import key

REPOSITORY = Path(__file__).resolve().parents[2]
VENV = Path(sys.prefix)
SECTION = "### On several machines"
UP = "ray up -y --no-config-cache cluster/local.yaml"
DOWN = "ray down -y cluster/local.yaml"
GATEWAY = "http://10.87.43.11:8750"


class Launcher:
    """A person at a computer from which the machines can be reached.

    Args:
        folder: That of the machines.

    Attributes:
        checkout: The copy; what is changed in it, changes nothing here.
    """

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self._folder = folder
        self._copy()
        cluster = self.checkout / "cluster" / "local.yaml"
        cluster.write_text(cluster.read_text().replace("~/.ssh/id_ed25519", str(key(folder))))

    def run(self, script: str, timeout_s: float = 600, **environment: str) -> str:
        """Run lines of shell in the checkout and return what they print; one that fails raises."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.checkout,
            env={**self._environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{script}\nended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    @property
    def token(self) -> str:
        """The token of the cluster's gateway."""
        return (self.checkout / "build/cluster/secrets/gateway_token").read_text()

    def _environment(self) -> dict[str, str]:
        path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin"
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("SHOAL_", "RAY_"))}
        own = {"PATH": path, "RAY_TMPDIR": str(self._folder / "ray")}
        return {**ours, **own, "MAKEFLAGS": f"VENV={VENV}"}

    def _copy(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=REPOSITORY,
            capture_output=True,
            check=True,
        )
        wheels = Path("build/cluster/bundle/wheels")
        if (REPOSITORY / wheels).is_dir():  # fetched before; `make bundle` sees whether they fit
            shutil.copytree(REPOSITORY / wheels, self.checkout / wheels)
        for name in filter(None, listed.stdout.decode().split("\0")):
            source, target = REPOSITORY / name, self.checkout / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)


def section(name: str = SECTION) -> str:
    """Return the first block of commands of a section of README."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition(f"\n{name}\n")[2]
    block = re.search(r"(?:^    .+\n)+", text, re.MULTILINE)
    assert block, f"README has no commands below {name!r}"
    return re.sub(r"^    ", "", block.group(), flags=re.MULTILINE)
