"""The commands of `shoal collections`: what there is, what was, whether it is sound, going back."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.settings import Settings
from cluster.shell import AsJson, client, print_json, with_settings

app = typer.Typer(help="List collections; see, verify and go back to their generations.")
Name = Annotated[str, typer.Argument(help="The collection's name.")]


@app.callback(invoke_without_command=True)
@with_settings
def collections(settings: Settings, context: typer.Context, as_json: AsJson = False) -> None:
    """List the collections; see, verify and go back to their generations."""
    from cluster import console  # noqa: PLC0415

    if context.invoked_subcommand:
        return
    with client(settings) as shoal:
        found = shoal.collections()
    if as_json:
        print_json([c.model_dump(mode="json") for c in found])
    else:
        console.show_collections(found)


@app.command()
@with_settings
def history(settings: Settings, collection: Name, as_json: AsJson = False) -> None:
    """List the generations that can be gone back to, the newest first."""
    from cluster import console  # noqa: PLC0415

    with client(settings) as shoal:
        found = shoal.history(collection)
    if as_json:
        print_json([generation.model_dump(mode="json") for generation in found])
    else:
        console.show_history(found)


@app.command()
@with_settings
def verify(
    settings: Settings,
    collection: Name,
    generation: Annotated[
        int | None, typer.Option(min=1, help="Its number; the newest if absent.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a generation from end to end; fail where anything is wrong with it."""
    from cluster import console  # noqa: PLC0415

    with client(settings) as shoal:
        found = shoal.verify(collection, generation)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        console.show_verification(found)
    if found.findings:
        raise typer.Exit(1)


@app.command()
@with_settings
def rollback(
    settings: Settings,
    collection: Name,
    generation: Annotated[int, typer.Argument(min=1, help="Its number; see `history`.")],
    as_json: AsJson = False,
) -> None:
    """Serve again what an old generation holds; it is verified first, and nothing is lost."""
    from cluster import console  # noqa: PLC0415

    with client(settings) as shoal:
        found = shoal.rollback(collection, generation)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        console.out.print(
            f"{collection}: generation {found.generation} holds what {generation} held, "
            f"{found.chunks} chunks",
            markup=False,
        )
