"""What a job finds out about the files of a collection, and the generation that follows from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version

from actors.catalog import Manifest
from actors.drafts import Drafted, Drafts
from actors.errors import Conflict, NothingToIndex
from actors.messages import SegmentRef
from actors.storage import Storage
from cluster.ingest.held import (
    Extent,
    StoredFile,
    bury_files,
    following,
    in_scope,
    living_files,
    publish_change,
    stored_files,
)
from cluster.ingest.pipeline import BlockOfFiles, BlockSummary, blocks_of_files
from cluster.ingest.walk import FoundFile
from cluster.naming import Target

_Shards = Mapping[int, Sequence[SegmentRef]]


def drafts_of(storage: Storage, target: Target, base: Manifest) -> Drafts:
    """Return what earlier tries at this very work have written: same files, model and chunks."""
    return Drafts(
        storage,
        target.collection,
        target.root,
        *target.scopes,
        base.model,
        len(base.shards),
        version("shoal"),
    )


class Comparison:
    """Compares what was read with what a generation and earlier tries hold.

    Blocks for storage where it is made, and in `publish`.

    Args:
        storage: The root.
        target: What is indexed.
        base: The generation that is built on.
        rebuilds: The base stands for an empty one that replaces another; see `publish_change`.
        source: What the next generation says of where its files come from; as the base if absent.

    Attributes:
        base: The generation that is built on.
        choice: Which files the next generation takes of its source.
        drafts: What tries at this work have written.
        found: Path → content hash of all files that were read.
        removed: How many of the collection's files were there no more, once it is published.
    """

    def __init__(
        self,
        storage: Storage,
        target: Target,
        base: Manifest,
        rebuilds: bool = False,
        source: str = "",
    ) -> None:
        self._storage = storage
        self._target = target
        self._rebuilds = rebuilds
        self._source = source or base.source
        self.choice = target.choice or base.choice
        self.base = base
        self.drafts = drafts_of(storage, target, base)
        self.found: dict[str, str] = {}
        self.removed = 0
        self._earlier = self.drafts.taken_up()
        self._stored = stored_files(storage, base)

    def keep(self, unchanged: Mapping[str, str]) -> None:
        """Take files whose content, by its hash, somebody found to be held already.

        Raises:
            Conflict: It is not held any more.
        """
        for path, content_hash in unchanged.items():
            if path not in self._stored or self._stored[path].content_hash != content_hash:
                message = (
                    f"collection {self._target.collection!r} was changed while its files were on "
                    "their way; run this again"
                )
                raise Conflict(message)
        self.found.update(unchanged)

    def blocks(
        self, root: str, files: Sequence[FoundFile], max_file_bytes: int
    ) -> Iterator[BlockOfFiles]:
        """Group files, below where they can be read, into blocks that tell which are known."""
        known: dict[str, set[str]] = {
            file.path: {self._stored[file.path].content_hash}
            for file in files
            if file.path in self._stored
        }
        for drafted in self._earlier:
            for path, content_hash, _ in self._files_of(drafted.segment):
                known.setdefault(path, set()).add(content_hash)
        hashes = {path: frozenset(some) for path, some in known.items()}
        return blocks_of_files(self.base, root, files, hashes, max_file_bytes)

    def take(self, summary: BlockSummary) -> None:
        """Take what became of a block's files."""
        self.found.update(summary.unchanged)
        self.found.update(summary.changed)

    def usable(self, drafts: Iterable[Drafted] | None = None) -> dict[int, list[SegmentRef]]:
        """Return the segments of each shard among some drafts, what is stale in them buried.

        Of a file that the base or several of them hold, one copy is kept.

        Args:
            drafts: The drafts; None for those of earlier tries.
        """
        kept: defaultdict[int, list[SegmentRef]] = defaultdict(list)
        taken = {p for p, file in self._stored.items() if self.found.get(p) == file.content_hash}
        for drafted in self._earlier if drafts is None else drafts:
            stale = []
            for path, content_hash, extent in self._files_of(drafted.segment):
                if self.found.get(path) == content_hash and path not in taken:
                    taken.add(path)
                else:
                    stale.append(StoredFile(content_hash, (extent,)))
            buried = self._buried(drafted.segment, stale)
            if buried is not None:
                kept[drafted.shard].append(buried)
        return kept

    def following(self, written: _Shards) -> Manifest:
        """Return what would be published, as far as the hosts have to know: its new segments."""
        return following(self.base, {}, written)

    def publish(self, written: _Shards, writer: str, skipped: Mapping[str, int]) -> Manifest:
        """Publish new segments in place of what is gone; where nothing changed, return the base.

        Args:
            written: The new segments of each shard.
            writer: Names the job.
            skipped: Reason → files left out.

        Raises:
            NothingToIndex: The collection would be empty.
            Conflict: Another writer changed it after `base`.
        """
        gone = self._gone()
        self._refuse_to_empty(gone, skipped)
        self.removed = sum(path not in self.found for path in gone)
        base = replace(self.base, source=self._source, choice=self.choice)
        changed = self._rebuilds or base != self.base
        if not gone and not any(written.values()) and not changed:
            return self.base
        published = publish_change(self._storage, base, gone, written, writer, self._rebuilds)
        self.drafts.clear()
        return published

    def _files_of(self, ref: SegmentRef) -> Iterator[tuple[str, str, Extent]]:
        return living_files(self._storage, self._target.collection, ref)

    def _buried(self, ref: SegmentRef, stale: Sequence[StoredFile]) -> SegmentRef | None:
        """Return the segment without some files, or None where nothing is left of it."""
        if not stale:
            return ref
        alone = replace(self.base, shards=((ref,),))
        return bury_files(self._storage, alone, stale)[ref.id]

    def _gone(self) -> dict[str, StoredFile]:
        """Return the stored files whose chunks no longer hold, by path."""
        found, scopes = self.found, frozenset(self._target.scopes)
        return {
            path: file
            for path, file in self._stored.items()
            if found.get(path) != file.content_hash and (path in found or in_scope(path, scopes))
        }

    def _refuse_to_empty(self, gone: Mapping[str, StoredFile], skipped: Mapping[str, int]) -> None:
        if self.found or len(gone) < len(self._stored):
            return
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        way_out = (
            f"`shoal delete {self._target.collection}` empties the collection"
            if self._stored
            else "check the path, its ignore rules, and what is included and excluded"
        )
        message = (
            f"nothing to index in {self._target.root} (skipped: {reasons or 'nothing'}); {way_out}"
        )
        raise NothingToIndex(message)
