"""`shoal config`: what is in force, where each value comes from, and the page about all of it."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cluster.configuration import PREFIX, config_file, misspelt
from cluster.settings import Settings, origins
from cluster.shell import FLAGS, AsJson, print_json, with_settings


@with_settings
def config(
    settings: Settings,
    docs: Annotated[
        bool, typer.Option("--docs", help="Print the page about all settings, as Markdown.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting, where it comes from, and what it is for."""
    from cluster import console  # noqa: PLC0415

    if docs:
        from cluster.configuration_page import page  # noqa: PLC0415

        sys.stdout.write(page())
        return
    found, file = origins(FLAGS.get()), config_file()
    if as_json:
        values = settings.model_dump(mode="json")
        told = {name: {"value": values[name], "from": where} for name, where in found.items()}
        print_json({"file": str(file) if file else None, "settings": told})
        return
    console.out.print(f"settings file: {file or 'none'}", markup=False)
    for name, field in Settings.model_fields.items():
        value = f"{PREFIX}{name.upper()}={getattr(settings, name)}"
        line = f"{value} ({found[name]})\n    {field.description}"
        console.out.print(line, markup=False)
    for variable, meant in misspelt(os.environ, Settings.model_fields).items():
        console.err.print(f"{variable} is not a setting; {meant} is", markup=False)
