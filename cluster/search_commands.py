"""The commands that look things up: `search`, `similar`, `symbols`, `read`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from actors.errors import InvalidRequest
from cluster.settings import Settings
from cluster.shell import AsJson, client, print_json, with_settings

_MAX_LIMIT = 1000
_MAX_CONTEXT = 200
_PLACE = re.compile(r"(?P<path>.+?)(?::(?P<first>\d+)(?:-(?P<last>\d+))?)?")
_ID = re.compile(r"[0-9a-f]{16}")

Collections = Annotated[
    list[str] | None, typer.Option("--collection", help="Search this one; may be repeated.")
]
Limit = Annotated[int, typer.Option(min=1, max=_MAX_LIMIT, help="How many hits.")]
Offset = Annotated[int, typer.Option(min=0, max=_MAX_LIMIT - 1, help="How many to pass over.")]
Paths = Annotated[
    list[str] | None, typer.Option("--path", help="Glob that a hit's path matches; repeatable.")
]
Excluded = Annotated[
    list[str] | None, typer.Option("--exclude", help="Glob that no hit's path matches; repeatable.")
]
Languages = Annotated[
    list[str] | None, typer.Option("--language", help="Language of hits; may be repeated.")
]
Context = Annotated[int, typer.Option(min=0, max=_MAX_CONTEXT, help="Lines around each hit.")]


@with_settings
def search(
    settings: Settings,
    query: Annotated[str, typer.Argument(help="A question, an identifier, a piece of code.")],
    collection: Collections = None,
    limit: Limit = 10,
    offset: Offset = 0,
    mode: Annotated[str, typer.Option(help="hybrid, semantic or lexical.")] = "hybrid",
    path: Paths = None,
    exclude: Excluded = None,
    language: Languages = None,
    context: Context = 0,
    typos: Annotated[
        bool, typer.Option("--typos", help="Let unknown words stand for similar ones.")
    ] = False,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Have a cross-encoder order the best hits anew.")
    ] = False,
    require_full_coverage: Annotated[
        bool, typer.Option("--require-full-coverage", help="Fail where a shard does not answer.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what each hit's score is made of.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Search collections; without --collection, all of them."""
    from cluster import console  # noqa: PLC0415

    with client(settings) as shoal, console.model_loads(lambda: client(settings)):
        answer = shoal.search(
            query,
            collections=collection or (),
            mode=mode,  # type: ignore[arg-type]
            limit=limit,
            paths=path or (),
            exclude_paths=exclude or (),
            languages=_lower(language),
            offset=offset,
            context=context,
            typos=typos,
            rerank=rerank,
            require_full_coverage=require_full_coverage,
            explain=explain,
        )
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        console.show_answer(answer, limit_lines=not context)


@with_settings
def similar(
    settings: Settings,
    place: Annotated[str, typer.Argument(help="PATH:LINE as in a hit, or a hit's id.")],
    collection: Collections = None,
    limit: Limit = 10,
    offset: Offset = 0,
    path: Paths = None,
    exclude: Excluded = None,
    language: Languages = None,
    as_json: AsJson = False,
) -> None:
    """Find the chunks that are nearest in meaning to one that is stored."""
    from cluster import console  # noqa: PLC0415

    chunk_id, file, first, _ = _place_of(place)
    with client(settings) as shoal:
        answer = shoal.similar(
            chunk_id,
            path=file,
            line=None if file is None else first or 1,
            collection=_only(collection),
            collections=collection or (),
            paths=path or (),
            exclude_paths=exclude or (),
            languages=_lower(language),
            limit=limit,
            offset=offset,
        )
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        console.show_answer(answer, limit_lines=True)


@with_settings
def symbols(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="As in search, Router.search, 'Guide > Install'.")],
    kind: Annotated[
        str | None, typer.Option(help="function, method, class, heading, and so on.")
    ] = None,
    collection: Collections = None,
    language: Languages = None,
    limit: Limit = 20,
    offset: Offset = 0,
    as_json: AsJson = False,
) -> None:
    """Find where a name is defined."""
    from cluster import console  # noqa: PLC0415

    with client(settings) as shoal:
        found = shoal.symbols(
            name,
            kind=kind,  # type: ignore[arg-type]
            collections=collection or (),
            languages=_lower(language),
            limit=limit,
            offset=offset,
        )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        console.show_symbols(found)


@with_settings
def read(
    settings: Settings,
    place: Annotated[
        str, typer.Argument(help="PATH, PATH:LINE or PATH:FIRST-LAST as in a hit, or its id.")
    ],
    collection: Annotated[str | None, typer.Option(help="The one that holds it.")] = None,
    context: Context = 0,
    as_json: AsJson = False,
) -> None:
    """Show lines as they are stored."""
    from cluster import console  # noqa: PLC0415

    chunk_id, file, first, last = _place_of(place)
    with client(settings) as shoal:
        passage = shoal.read(
            chunk_id,
            path=file,
            collection=collection,
            start_line=first,
            end_line=last or first,
            context=context,
        )
    if as_json:
        print_json(passage.model_dump(mode="json"))
    else:
        console.show_passage(passage)


COMMANDS: Sequence[Any] = (search, similar, symbols, read)


def _place_of(place: str) -> tuple[str | None, str | None, int | None, int | None]:
    """Read `PATH:FIRST-LAST` or an id; return id, path, first and last line."""
    if _ID.fullmatch(place):
        return place, None, None, None
    parts = _PLACE.fullmatch(place)
    if parts is None:
        message = f"{place!r} is no place; give one as in src/app.py:10-20"
        raise InvalidRequest(message)
    first, last = parts["first"], parts["last"]
    return None, parts["path"], int(first) if first else None, int(last) if last else None


def _only(collections: Sequence[str] | None) -> str | None:
    """Return the one collection that is named; of several, none says where the chunk is."""
    return collections[0] if collections and len(collections) == 1 else None


def _lower(languages: Sequence[str] | None) -> list[str]:
    return [name.lower() for name in languages or ()]
