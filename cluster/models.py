"""The gateway's view of models: which are there, who embeds with them, how far a load is."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actors.catalog import Catalog, Manifest
from actors.engines.base import EXTERNAL, OnProgress, silent
from actors.engines.hub import cached_models
from actors.engines.registry import describe, locate
from actors.errors import (
    CorruptData,
    ModelLoadError,
    ModelMismatch,
    NotFound,
    ShoalError,
    UnusableModel,
)
from actors.messages import Pool
from cluster.embedding import BlockEmbedder, OpenedModel
from cluster.protocol import LoadedModel, Model, Replica

GetPool = Callable[[str, str], Awaitable[Pool]]
"""Model's name and fingerprint → its pool, made where there is none."""


async def open_model(
    get_pool: GetPool,
    name: str,
    found: Manifest | None,
    on_progress: OnProgress = silent,
) -> OpenedModel:
    """Find a model, download it where it must, and have its pool made.

    Args:
        get_pool: Asks the steward.
        name: The model's name.
        found: The generation whose model it has to be, or None for a new collection.
        on_progress: Told how far a download is.

    Raises:
        InvalidRequest: It makes no vectors.
        ModelLoadError: It cannot be found or read.
        ModelMismatch: The generation's vectors are another model's.
        MemoryLimitExceeded: No node has the memory for a replica.
    """
    card = await asyncio.to_thread(describe, name, on_progress, task="embed")
    if found is not None and found.model != card.fingerprint:
        message = (
            f"the vectors of collection {found.collection!r} were made by {found.model}, and "
            f"{name} makes {card.fingerprint}: the two do not compare; index into another "
            f"--collection, or `shoal delete {found.collection}` first"
        )
        raise ModelMismatch(message)
    settled = str(card.spec)  # names the engine and the commit, so that it stays this very model

    async def current() -> Pool:
        return await get_pool(settled, str(card.fingerprint))

    pool = await current()
    embed = BlockEmbedder(pool, current)
    return OpenedModel(settled, card.fingerprint, pool.embedders, embed)


class KnownModels:
    """The names of the models that are there, which nothing has to be downloaded or made for.

    Args:
        catalog: Tells those of collections.
        default: The gateway's own.
        get_pools: Returns the pools that there are.
    """

    def __init__(
        self, catalog: Catalog, default: str, get_pools: Callable[[], Awaitable[tuple[Pool, ...]]]
    ) -> None:
        self._catalog = catalog
        self._default = default
        self._get_pools = get_pools
        self._names = frozenset({default})

    async def full_name(self, name: str) -> str:
        """Return a model's name, the default one's for "".

        Raises:
            NotFound: It is not among those that `models` tells of.
        """
        if name and name not in self._names:
            pools = await self._get_pools()
            self._names = await asyncio.to_thread(self._look, pools)
            if name not in self._names:
                there = ", ".join(sorted(self._names))
                message = f"no model {name!r} is here; there are: {there}"
                raise NotFound(message)
        return name or self._default

    @contextlib.asynccontextmanager
    async def named_by_a_caller(self, name: str | None) -> AsyncIterator[None]:
        """Run what loads a model that a caller chose; None or "" is the gateway's choice.

        Raises:
            UnusableModel: In place of ModelLoadError, where the model is none of those there.
        """
        try:
            yield
        except ModelLoadError as error:
            try:
                await self.full_name(name or "")
            except NotFound:
                raise UnusableModel(str(error)) from error
            raise

    def _look(self, pools: Sequence[Pool]) -> frozenset[str]:
        users = _collections_by_model(self._catalog, self._default)
        return frozenset((*_used(users, self._default, pools), *cached_models()))


def models(
    catalog: Catalog, default: str, pools: Sequence[Pool], replicas: Iterable[Replica]
) -> tuple[Model, ...]:
    """Return the default model, those of collections and pools, and those downloaded.

    Of the last, only name, path and size are told.
    """
    users = _collections_by_model(catalog, default)
    used = _used(users, default, pools)
    by_name = {replica.name: replica for replica in replicas}
    described = (_model(name, users.get(name, ()), pools, by_name) for name in used)
    unused = (name for name in dict.fromkeys(cached_models()) if name not in used)
    return (*described, *map(_unused, unused))


def load_under_way(replicas: Iterable[Replica]) -> str:
    """Return in words how far the first load among the replicas is, or "" where none loads."""
    for replica in replicas:
        loaded = _loaded(replica)
        if loaded.state == "loading":
            part = f" ({loaded.fraction:.0%})" if loaded.fraction else ""
            return f"{replica.detail['model']}: {loaded.phase}{part}"
    return ""


def _used(users: Iterable[str], default: str, pools: Sequence[Pool]) -> dict[str, None]:
    return dict.fromkeys((default, *users, *(pool.model for pool in pools)))


def _model(
    name: str, collections: Sequence[str], pools: Sequence[Pool], replicas: Mapping[str, Replica]
) -> Model:
    loaded = tuple(
        _loaded(replicas[embedder])
        for pool in pools
        if pool.model == name
        for embedder in pool.embedders
        if embedder in replicas
    )
    try:
        card = describe(name, offline=True)
    except ShoalError as error:
        return Model(name=name, collections=tuple(collections), replicas=loaded, problem=str(error))
    return Model(
        name=name,
        fingerprint=str(card.fingerprint),
        path=str(card.path),
        size_bytes=_size(card.path),
        footprint_bytes=card.footprint.total,
        collections=tuple(collections),
        replicas=loaded,
    )


def _unused(name: str) -> Model:
    """Tell what costs no hashing: the cache also holds what other programs put there."""
    try:
        path = locate(name)
    except ShoalError as error:
        return Model(name=name, problem=str(error))
    return Model(name=name, path=str(path), size_bytes=_size(path))


def _loaded(replica: Replica) -> LoadedModel:
    told: dict[str, Any] = replica.detail
    return LoadedModel(
        replica=replica.name,
        state=told.get("state", replica.problem),
        phase=told.get("phase", ""),
        fraction=told.get("fraction", 0.0),
        done_bytes=told.get("done_bytes", 0),
        pss_bytes=replica.pss_bytes,
        limit_bytes=replica.limit_bytes,
    )


def _collections_by_model(catalog: Catalog, default: str) -> dict[str, list[str]]:
    users: defaultdict[str, list[str]] = defaultdict(list)
    for name in catalog.names():
        with contextlib.suppress(CorruptData):
            manifest = catalog.find(name)
            if manifest and manifest.model.engine != EXTERNAL:
                users[manifest.model_name or default].append(name)
    return users


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())
