"""The commands of `shoal models`: what is there, what it needs, and smaller versions of it."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Annotated

import typer

from cluster.settings import Settings
from cluster.shell import AsJson, client, print_json, with_settings

app = typer.Typer(help="List models, where each is loaded, and what it needs.")


@app.callback(invoke_without_command=True)
@with_settings
def models(settings: Settings, context: typer.Context, as_json: AsJson = False) -> None:
    """List the models that are there, where each is loaded, and what it needs."""
    from cluster import console  # noqa: PLC0415

    if context.invoked_subcommand:
        return
    with client(settings) as shoal:
        found = shoal.models()
    if as_json:
        print_json([model.model_dump(mode="json") for model in found])
    else:
        console.show_models(found)


@app.command()
def quantize(
    model: Annotated[str, typer.Argument(help="ONNX model: its folder or file.")],
    as_json: AsJson = False,
) -> None:
    """Write an int8 version beside an ONNX model; tell its size, speed and likeness."""
    from actors.engines.quantize import quantize as run  # noqa: PLC0415
    from cluster import console  # noqa: PLC0415

    logging.getLogger().setLevel(logging.ERROR)  # ONNX Runtime warns of what the report answers
    with console.phases() as on_phase:
        report = run(model, lambda phase, _done, _total: on_phase(phase))
    if as_json:
        paths = {"source": str(report.source), "target": str(report.target)}
        print_json({**asdict(report), **paths})
    else:
        console.show_quantized(report)
