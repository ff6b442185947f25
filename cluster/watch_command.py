"""`shoal watch`: a line for each publish, until Ctrl-C, which ends it with exit code 130."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.settings import Settings
from cluster.shell import client, with_settings

if TYPE_CHECKING:
    from cluster.watch import Published


@with_settings
def watch(
    settings: Settings,
    paths: Annotated[list[Path], typer.Argument(help="Folders to watch.")],
    collection: Annotated[str | None, typer.Option(help="Collection's name.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document a line on stdout, nothing else.")
    ] = False,
) -> None:
    """Keep a collection current with folders until Ctrl-C; a line tells of each publish."""
    from cluster.watch import AttachedClient, Watch  # noqa: PLC0415

    client(settings).close()  # starts this machine's gateway; the watch itself never does

    async def run() -> None:
        token = settings.token.get_secret_value()
        async with AttachedClient(settings.url, token=token, root=settings.root) as shoal:
            await Watch(shoal, paths, collection, _AsJson() if as_json else _AsText()).run()

    asyncio.run(run())


class _AsText:
    """Tells a person."""

    def watching(self, collection: str, folders: Sequence[str]) -> None:
        self._say(f"{collection} is up to date; watching {', '.join(folders)}")

    def published(self, news: Published) -> None:
        job = news.job
        self._say(
            f"{job.collection}: generation {job.generation}, {job.files_changed} files changed, "
            f"{job.files_removed} removed, {job.chunks} chunks, {news.behind_s:.1f} s behind"
        )

    def trouble(self, problem: str) -> None:
        sys.stderr.write(f"{_now()} {problem}\n")
        sys.stderr.flush()

    def _say(self, line: str) -> None:
        from cluster import console  # noqa: PLC0415

        console.out.print(f"{_now()} {line}", markup=False)


class _AsJson:
    """Tells a program."""

    def watching(self, collection: str, folders: Sequence[str]) -> None:
        _line(event="watching", collection=collection, folders=folders)

    def published(self, news: Published) -> None:
        job = news.job.model_dump(mode="json")
        _line(event="published", behind_s=round(news.behind_s, 3), job=job)

    def trouble(self, problem: str) -> None:
        _line(event="trouble", problem=problem)


def _line(**document: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    at = datetime.now().astimezone().isoformat(timespec="milliseconds")
    sys.stdout.write(json.dumps({"at": at, **document}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _now() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
