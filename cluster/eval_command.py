"""`shoal eval`: how good answers are, on questions whose right answers are known."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actors.errors import InvalidRequest
from cluster.settings import Settings
from cluster.shell import AsJson, client, print_json, with_settings

if TYPE_CHECKING:
    from rich.console import Console

    from cluster.evaluation.run import Evaluation

_HEADINGS = ("nDCG@10", "recall@10", "MRR@10", "p50 ms", "p90 ms")


@with_settings
def evaluate_sets(
    settings: Settings,
    folders: Annotated[
        list[str],
        typer.Argument(help="Each with corpus.jsonl, queries.jsonl and qrels.tsv, or of such."),
    ],
    model: Annotated[
        list[str] | None, typer.Option(help="Model, as [engine:]reference; may be repeated.")
    ] = None,
    mode: Annotated[
        list[str] | None, typer.Option(help="hybrid, semantic or lexical; all if absent.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write there what --json prints.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how good answers are on labelled questions; your collections are left alone."""
    from actors.engines.spec import parse  # noqa: PLC0415
    from cluster import console  # noqa: PLC0415
    from cluster.evaluation.labelled import read_sets  # noqa: PLC0415
    from cluster.evaluation.run import MODES, evaluate  # noqa: PLC0415

    modes = [known for known in MODES if not mode or known in mode]
    _check(mode or (), MODES, out)
    models: list[str | None] = [str(parse(name).located()) for name in model or ()] or [None]
    sets = read_sets(folders)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends it lets it clean up
    with client(settings) as shoal, console.phases() as on_phase:
        done = [
            evaluate(shoal, labelled, name, modes, on_phase) for labelled in sets for name in models
        ]
    document = {"evaluations": [each.model_dump(mode="json") for each in done]}
    if out:
        Path(out).write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        print_json(document)
    else:
        show_evaluations(done, console.out)


def show_evaluations(done: Sequence[Evaluation], out: Console) -> None:
    """Print a line for each set, model and mode."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table("set", "questions", "documents", "model", "mode", box=None, pad_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for each in done:
        what: tuple[str, ...] = (
            each.name,
            str(each.questions),
            str(each.documents),
            each.model,
        )
        for mode, found in each.modes.items():
            worth = (found.ndcg_at_10, found.recall_at_10, found.mrr_at_10)
            table.add_row(
                *map(Text, what),
                mode,
                *(f"{value:.4f}" for value in worth),
                *(f"{ms:.1f}" for ms in (found.p50_ms, found.p90_ms)),
            )
            what = ("",) * len(what)
    out.print(table)


def _check(modes: Sequence[str], known: Sequence[str], out: str | None) -> None:
    """Refuse before the work what would fail in the middle of it, or after."""
    for mode in modes:
        if mode not in known:
            message = f"{mode!r} is no mode; there are: {', '.join(known)}"
            raise InvalidRequest(message)
    if out and not Path(out).resolve().parent.is_dir():
        message = f"{out} cannot be written: {Path(out).resolve().parent} is no folder; make it"
        raise InvalidRequest(message)
