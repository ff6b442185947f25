"""The stages of a batch job, as Ray Data runs them: read → embed → write, block after block.

Blocks are whole files of one shard, so a file's chunks stay together. Nothing waits for a stage to
be through: what is read is embedded, and what is embedded is written and recorded as a draft while
other blocks are still being read, and Ray Data keeps what lies between within its share of shared
memory. Each stage may be run again over what a process died of: summaries are told by block, and
of rows that were written twice the job takes one copy.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy, DataContext
from ray.data.block import BlockAccessor
from ray.data.datasource import Datasink
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from actors.embedder import Embedder, EmbedderConfig
from actors.errors import ShoalError
from actors.index.paged import matrix
from actors.index.writing import ChunkBlock, texts_of
from actors.memory import give_back
from actors.messages import FileError
from actors.priority import stand_aside
from actors.process import NAMESPACE
from actors.routing.place import shard_of
from cluster.embedding import patiently
from cluster.ingest.pipeline import (
    CANNOT_BE_PARSED,
    READ_TRIES,
    BlockOfFiles,
    BlockSummary,
    cut_block,
    halves,
    write_blocks,
)

_log = logging.getLogger("shoal.batch")

WRITE_ROWS = 1 << 13
"""Chunks that are written together: a transformer on one core takes two minutes for them, which is
what a job that is killed has to do again."""

_cut_block = ray.remote(num_returns=2, max_retries=0)(cut_block)


@dataclass(frozen=True, slots=True)
class Stages:
    """How a batch job's blocks are processed.

    Attributes:
        job: Actor name of the job, which is told how far they are.
        root: The storage root.
        collection: Where the segments go.
        shards: How many shards it has.
        drafts: The folder that names segments until they are published.
        reading: Ray's options of the tasks that read files.
        embedder: How a replica of the job's own is made; its name begins with this one's.
        replicas: How many of them there are.
    """

    job: str
    root: str
    collection: str
    shards: int
    drafts: str
    reading: dict[str, Any]
    embedder: EmbedderConfig
    replicas: int


def run(stages: Stages, blocks: Sequence[BlockOfFiles]) -> None:
    """Read, embed and write blocks; returns when all of it is recorded.

    Raises:
        ShoalError: What a stage raised.
    """
    DataContext.get_current().enable_progress_bars = False
    rows = [{"number": n, "block": pickle.dumps(block)} for n, block in enumerate(blocks)]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    dataset = dataset.map_batches(
        read,
        fn_args=(stages.job, stages.reading),
        batch_size=None,
        batch_format="pyarrow",
        **{"num_cpus": 1, "concurrency": _readers(stages), **stages.reading},
    )
    dataset = dataset.map_batches(
        Embedding,
        fn_constructor_args=(stages.embedder, stages.job),
        compute=ActorPoolStrategy(size=stages.replicas),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=0,
        memory=stages.embedder.memory.limit_bytes,
        scheduling_strategy="SPREAD",
    )
    try:
        dataset.write_datasink(
            Segments(stages), ray_remote_args={"num_cpus": 0}, concurrency=stages.replicas
        )
    except (RayError, ShoalError, OSError) as error:
        raise _root_of(error) from None


def _readers(stages: Stages) -> int | None:
    """Return how many read at once where Ray does not know: it was told of no cores there."""
    return None if stages.reading.get("num_cpus") != 0 else os.cpu_count()


def read(rows: pa.Table, job: str, options: dict[str, Any]) -> pa.Table:
    """Return the chunks of blocks of files as a table, and tell the job what became of them.

    Ray calls this again where its process died, be it of a file.
    """
    stand_aside()
    tables: list[pa.Table] = []
    for row in rows.to_pylist():
        block = pickle.loads(row["block"])  # noqa: S301 - our own
        was_begun = ray.get(_actor(job).begins.remote(row["number"]))
        summaries, cut = zip(
            *(_apart(block, options) if was_begun else _cut(block, options)), strict=True
        )
        tables += cut
        ray.get(_actor(job).read.remote(row["number"], _joined(summaries)))
    return pa.concat_tables(tables)


def _cut(block: BlockOfFiles, options: dict[str, Any]) -> Iterator[tuple[BlockSummary, pa.Table]]:
    try:
        yield cut_block(block)
    except MemoryError:
        yield from _apart(block, options)


def _apart(
    block: BlockOfFiles, options: dict[str, Any], tries: int = READ_TRIES
) -> Iterator[tuple[BlockSummary, pa.Table]]:
    """Cut a block in a process of its own; where that dies, find the file that it dies of."""
    try:
        yield tuple(ray.get(list(_cut_block.options(**options).remote(block))))
    except (WorkerCrashedError, OutOfMemoryError, NodeDiedError, MemoryError):
        if len(block.files) > 1:
            for half in halves(block):
                yield from _apart(half, options)
        elif tries > 1:
            yield from _apart(block, options, tries - 1)
        else:
            path = block.files[0].path
            _log.warning("parsing %s took too much memory; it is skipped", path)
            nothing = cut_block(replace(block, files=()))[1]
            errors = (FileError(path, CANNOT_BE_PARSED),)
            yield BlockSummary(0, {}, {}, {CANNOT_BE_PARSED: 1}, errors), nothing


def _joined(summaries: Sequence[BlockSummary]) -> BlockSummary:
    skipped: Counter[str] = Counter()
    for summary in summaries:
        skipped.update(summary.skipped)
    return BlockSummary(
        sum(summary.chunks for summary in summaries),
        dict(chain.from_iterable(summary.unchanged.items() for summary in summaries)),
        dict(chain.from_iterable(summary.changed.items() for summary in summaries)),
        dict(skipped),
        tuple(chain.from_iterable(summary.errors for summary in summaries)),
    )


class Embedding:
    """A replica of the job's own: adds vectors to tables of chunks.

    Ray starts it anew where it dies, and gives it the same table again; where its predecessor died
    at its memory limit over one, that ends the job, with what is to be done about it.

    Args:
        config: How it is made.
        job: Actor name of the job.
    """

    def __init__(self, config: EmbedderConfig, job: str) -> None:
        stand_aside()
        own = ray.get_runtime_context().get_actor_id()
        self._embedder = Embedder(replace(config, name=f"{config.name}-{own[:8]}"))
        self._job = _actor(job)
        self._loop = asyncio.new_event_loop()
        self._is_first = True

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the table with a column `vector`, float32 [d] each."""
        if not table.num_rows:
            return table
        vectors = self._loop.run_until_complete(self._embedded(texts_of(table)))
        files = len(set(table["path"].to_pylist()))
        self._job.embedded.remote(table["id"][0].as_py(), files, table.num_rows)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        return table.append_column("vector", column)

    async def _embedded(self, texts: Sequence[str]) -> NDArray[np.float32]:
        is_first, self._is_first = self._is_first, False
        if is_first and await self._embedder.last_death():
            answer = await self._embedder.embed(texts, "document", retried=True)
        else:
            answer = await patiently(lambda: self._embedder.embed(texts, "document"))
        return answer.vectors


class Segments(Datasink[None]):  # type: ignore[misc] # Ray Data has no types
    """Writes embedded chunks as segments, and names those in the job's drafts.

    Args:
        stages: What job they are of.
    """

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    @property
    def min_rows_per_write(self) -> int:
        """How many rows Ray Data collects before it writes them."""
        return WRITE_ROWS

    def write(self, blocks: Iterable[Any], ctx: Any) -> None:  # noqa: ANN401, ARG002 - Ray's
        """Write one segment for each shard that the blocks hold chunks of."""
        stand_aside()
        stages = self._stages
        by_shard: defaultdict[int, list[pa.Table]] = defaultdict(list)
        for block in blocks:
            for shard, rows in _by_shard(BlockAccessor.for_block(block).to_arrow(), stages.shards):
                by_shard[shard].append(rows)
        for shard, tables in by_shard.items():
            chunks = [ChunkBlock.of(table.drop_columns("vector")) for table in tables]
            vectors = [matrix(table["vector"]) for table in tables]
            write_blocks(stages.root, stages.collection, shard, stages.drafts, *chunks, *vectors)
        give_back()


def _by_shard(table: pa.Table, shards: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of each shard; a table of the pipeline's own is of one."""
    if not table.num_rows:
        return
    places: dict[str, int] = {}
    paths = table["path"].to_pylist()
    numbers: NDArray[np.int64] = np.array(
        [places.setdefault(path, shard_of(path, shards)) for path in paths]
    )
    for shard in np.unique(numbers).tolist():
        yield shard, table.filter(pa.array(numbers == shard))


@cache
def _actor(name: str) -> Any:  # noqa: ANN401 - an untyped Ray handle
    return ray.get_actor(name, namespace=NAMESPACE)


def _root_of(error: BaseException) -> BaseException:
    """Return the error of ours that Ray and Ray Data have wrapped, or the innermost one."""
    inner = getattr(error, "cause", None) or error.__cause__
    is_ours = isinstance(error, ShoalError) and not isinstance(error, RayTaskError)
    if is_ours or inner is None:
        return error
    return _root_of(inner)
