"""Repositories fetched for a job, with git itself, into a folder that is gone after it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from actors.engines.base import OnProgress
from actors.errors import NotFound
from cluster.ingest.sources import find_files
from cluster.ingest.walk import WalkLimits
from cluster.reaching import Reached, temporary_folder
from cluster.repository import PROTOCOLS, Repository, masked

_ANSWER_S = 60.0
"""For a host to say what it has; one behind a firewall that drops would be waited for in vain."""
_FETCH_S = 3600.0
_OPTIONS = (
    *("-c", "protocol.ext.allow=never"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.autocrlf=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"),
)
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS),
    "GIT_LFS_SKIP_SMUDGE": "1",
    "LC_ALL": "C",
}
_NOT_INHERITED = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"})


@asynccontextmanager
async def checked_out(
    wanted: Repository, temporary: Path, max_file_bytes: int, on_progress: OnProgress
) -> AsyncIterator[Reached]:
    """Have a revision in a folder of its own as long as the context lasts.

    Raises:
        NotFound: There is no git, no such repository or no such revision, or its host is away.
    """
    on_progress(f"fetching {wanted}@{wanted.revision}", 0, 0)
    async with temporary_folder(temporary) as folder:
        commit = await fetch(wanted, folder)
        source = f"{wanted}@{wanted.revision}#{commit}"
        find = partial(find_files, str(folder), ("",), WalkLimits(max_file_bytes))
        yield Reached(str(folder), source, find)


async def fetch(wanted: Repository, folder: Path) -> str:
    """Fetch a revision, without its history, into an empty folder; return its commit.

    Raises:
        NotFound: As for `checked_out`.
    """
    git = _Git(wanted, folder)
    await git.run("init", "--quiet", "--template=", ".")
    await git.run("ls-remote", "--quiet", "--", wanted.url, "HEAD", within_s=_ANSWER_S)
    shallow = ("--depth=1", "--no-tags", "--no-recurse-submodules", "--quiet")
    await git.run("fetch", *shallow, "--", wanted.url, wanted.revision)
    await git.run("checkout", "--quiet", "--detach", "FETCH_HEAD")
    return await git.run("rev-parse", "HEAD")


class _Git:
    """Runs git in a folder, for one repository."""

    def __init__(self, wanted: Repository, folder: Path) -> None:
        self._wanted = wanted
        self._folder = folder
        inherited = {name: os.environ[name] for name in os.environ if name not in _NOT_INHERITED}
        self._environment = {**inherited, **_ENVIRONMENT, **_credentials(wanted)}

    async def run(self, *arguments: str, within_s: float = _FETCH_S) -> str:
        """Return what git says; NotFound with its reason where it fails."""
        try:
            process = await asyncio.create_subprocess_exec(
                *("git", *_OPTIONS, *arguments),
                cwd=self._folder,
                env=self._environment,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                start_new_session=True,  # without a terminal nobody can be asked for a password
            )
        except FileNotFoundError as error:
            message = "there is no git on the gateway's machine; install it, or index a folder"
            raise NotFound(message) from error
        try:
            said, errors = await asyncio.wait_for(process.communicate(), within_s)
        except TimeoutError as error:
            raise self._error(f"git {arguments[0]} took over {within_s:.0f} s") from error
        finally:
            await _end(process)
        if process.returncode:
            raise self._error(_reason(errors.decode(errors="replace")))
        return said.decode(errors="replace").strip()

    def _error(self, why: str) -> NotFound:
        wanted = self._wanted
        if "find remote ref" in why:
            return NotFound(
                f"{wanted} has no revision {wanted.revision!r}; behind the @ stands a branch, a "
                "tag or a full commit id"
            )
        return NotFound(
            f"{wanted} cannot be fetched ({masked(why)}); check the address, and that the "
            "gateway's user may read it"
        )


def _reason(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line.startswith(("fatal:", "error:"))]
    return (lines or errors.splitlines() or ["git said nothing"])[0]


def _credentials(wanted: Repository) -> dict[str, str]:
    """Return the environment in which git takes the secret address for the plain one."""
    if not wanted.secret_url:
        return {}
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{wanted.secret_url}.insteadOf",
        "GIT_CONFIG_VALUE_0": wanted.url,
    }


async def _end(process: Process) -> None:
    """End git and what it started, where it still runs."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:  # on Windows
                process.kill()
        await process.wait()
