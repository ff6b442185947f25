"""Chunks that a caller made, with vectors of their own or embedded here, published in one go."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import numpy as np
import ray
from numpy.typing import NDArray
from pydantic import ValidationError

from actors.catalog import Catalog, Manifest
from actors.engines.base import EXTERNAL, Fingerprint
from actors.errors import InvalidRequest, ModelMismatch
from actors.index.writing import copy_numbers
from actors.messages import Chunk, SegmentRef
from actors.routing.place import shard_of
from actors.storage import Storage
from cluster.embedding import Embed, OpenedModel
from cluster.ingest.held import publish_change, stored_files
from cluster.ingest.pipeline import hand_made_block
from cluster.jobs import SegmentWriter
from cluster.protocol import IngestChunk, Vector

_BLOCK_CHUNKS = 1000

_hand_made_block = ray.remote(hand_made_block)


OpenModel = Callable[[Manifest | None, str | None], Awaitable[OpenedModel]]
"""Opens the model of a generation, or of a new collection: the one named, or the default."""


class Upload:
    """Takes chunks as they arrive and publishes them together.

    Args:
        collection: Where they go; made if it is not there.
        storage: The root.
        shards: Shards of a new collection.
        open_model: Gives the model of a generation, or a new one's, and the means to embed.
        wanted: The model that makes the vectors, if the caller chose one.
    """

    def __init__(
        self,
        collection: str,
        storage: Storage,
        shards: int,
        open_model: OpenModel,
        wanted: str | None = None,
    ) -> None:
        self._storage = storage
        self._wanted = wanted
        catalog = Catalog(storage)
        self._open_model = open_model
        self._embed: Embed | None = None
        self._found = catalog.find(collection)
        if self._found and self._found.source:
            message = (
                f"collection {collection!r} mirrors {self._found.source}, and chunks handed in "
                "would go with its next indexing; take another collection"
            )
            raise InvalidRequest(message)
        self._base = self._found or catalog.new(collection, external(0), shards, "")
        self._writer = SegmentWriter(storage, collection)
        self._waiting: dict[int, list[tuple[Chunk, NDArray[np.float32] | None]]] = {}
        self._paths: set[str] = set()
        self._seen: Counter[bytes] = Counter()
        self._own: int | None = None
        self.chunks = 0

    async def take(self, lines: AsyncIterator[str]) -> None:
        """Take chunks, one JSON document a line.

        Raises:
            InvalidRequest: A line is no chunk, or its vector is unlike the others.
            ModelMismatch: The collection holds vectors of another model.
        """
        number = 0
        async for line in lines:
            number += 1
            if line.strip():
                await self._add(_parsed(line, number), number)
        for shard in list(self._waiting):
            await self._flush(shard)

    async def publish(self, writer: str) -> Manifest:
        """Publish what was taken; the collection stays as it was where this fails.

        Raises:
            InvalidRequest: Nothing was taken.
            Conflict: Another writer was first.
        """
        if not self.chunks:
            message = "no chunks were given; send at least one"
            raise InvalidRequest(message)
        written = await self._writer.finish()
        return await asyncio.to_thread(self._publish, written, writer)

    def _publish(self, written: dict[int, list[SegmentRef]], writer: str) -> Manifest:
        stored = stored_files(self._storage, self._base)
        gone = {path: file for path, file in stored.items() if path in self._paths}
        return publish_change(self._storage, self._base, gone, written, writer)

    async def _add(self, chunk: IngestChunk, number: int) -> None:
        vector = None if chunk.vector is None else _unpacked(chunk.vector, number)
        dimension = None if vector is None else len(vector)
        if self.chunks == 0:
            await self._decide(dimension)
        elif dimension != self._own:
            message = (
                f"line {number}: {_described(dimension)}, and the first had {_described(self._own)}"
            )
            raise InvalidRequest(message)
        shard = shard_of(chunk.path, len(self._base.shards))
        plain = Chunk(**chunk.model_dump(exclude={"vector"}))
        self._waiting.setdefault(shard, []).append((plain, vector))
        self._paths.add(chunk.path)
        self.chunks += 1
        if len(self._waiting[shard]) >= _BLOCK_CHUNKS:
            await self._flush(shard)

    async def _decide(self, dimension: int | None) -> None:
        """Fix whose vectors these are by the first chunk, and check that the collection agrees."""
        self._own = dimension
        if dimension is not None and self._wanted:
            message = f"these chunks have vectors of their own: leave the model {self._wanted} out"
            raise InvalidRequest(message)
        if dimension is None and (self._found is None or self._found.model.engine != EXTERNAL):
            opened = await self._open_model(self._found, self._wanted)
            self._embed = opened.embed
            model, name = opened.fingerprint, opened.name
        else:
            model, name = external(dimension or 0), ""
        if self._found is None:
            self._base = replace(self._base, model=model, model_name=name)
        elif self._found.model != model:
            message = (
                f"collection {self._found.collection!r} holds vectors of {self._found.model}, and "
                f"these chunks have {_described(dimension)}; take another collection, or delete it"
            )
            raise ModelMismatch(message)

    async def _flush(self, shard: int) -> None:
        taken = self._waiting.pop(shard)
        chunks = [chunk for chunk, _ in taken]
        copies = await asyncio.to_thread(copy_numbers, chunks, self._seen)
        block = _hand_made_block.remote(self._base.collection, chunks, copies)
        if self._embed is not None:
            vectors = await self._embed(block)
        else:
            vectors = ray.put(np.stack([vector for _, vector in taken if vector is not None]))
        self._writer.add(shard, block, vectors, len(chunks))


def external(dimension: int) -> Fingerprint:
    """Return the fingerprint of vectors that were handed in."""
    return Fingerprint(EXTERNAL, "own", "float32", "none", "", "", dimension)


def unpacked(vector: Vector) -> NDArray[np.float32]:
    """Return the vector's numbers, float32 [d].

    Raises:
        InvalidRequest: It is not base64 of whole, finite float32 numbers.
    """
    try:
        numbers = np.frombuffer(base64.b64decode(vector.data, validate=True), "<f4")
    except (binascii.Error, ValueError) as error:
        message = f"a vector must be base64 of little-endian float32 ({error})"
        raise InvalidRequest(message) from error
    if len(numbers) == 0 or not np.isfinite(numbers).all():
        message = "a vector must have at least one number, and only finite ones"
        raise InvalidRequest(message)
    return numbers


def packed(vectors: NDArray[np.float32]) -> str:
    """Return the numbers of vectors as base64 of little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(vectors, "<f4").data).decode()


def _unpacked(vector: Vector, number: int) -> NDArray[np.float32]:
    try:
        return unpacked(vector)
    except InvalidRequest as error:
        message = f"line {number}: {error}"
        raise InvalidRequest(message) from error


def _parsed(line: str, number: int) -> IngestChunk:
    try:
        return IngestChunk.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the line"
        message = f"line {number}: {where}: {first['msg']}"
        raise InvalidRequest(message) from error


def _described(dimension: int | None) -> str:
    return "no vector" if dimension is None else f"a vector of {dimension}"
