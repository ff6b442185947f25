"""The generations of a collection: which there are, whether they are sound, going back to one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import ray
from ray.exceptions import WorkerCrashedError

from actors.asking import unwrapped
from actors.catalog import Catalog, Manifest
from actors.errors import CorruptData, InvalidRequest, MemoryLimitExceeded
from actors.index.verify import Damage, verify_segment
from actors.leases import Leases
from actors.memory import data_limit, give_back
from actors.messages import SegmentRef
from actors.priority import step_back
from actors.retention import go_back
from actors.storage import Storage
from cluster.holding import Holding
from cluster.protocol import Finding, Generation, Verification

_HEADROOM_BYTES = 1 << 30
"""What verifying a segment may take: it is read a few rows at a time, by Lance's many threads."""
_RETRY_S = 5.0


class Generations:
    """Tells of generations, verifies them, and goes back to them.

    Args:
        storage: The root.
    """

    def __init__(self, storage: Storage) -> None:
        self._root = storage.root
        self._catalog = Catalog(storage)
        self._leases = Leases(storage)
        self._holding = Holding(storage)

    def history(self, collection: str) -> tuple[Generation, ...]:
        """Return the generations since the last deletion, newest first; damaged ones say so.

        Raises:
            NotFound: There is no such collection.
        """
        numbers = self._catalog.numbers(collection)
        held = self._leases.held(collection)
        found: list[Generation] = []
        for number in reversed(numbers):
            try:
                manifest = self._catalog.read(collection, number)
            except CorruptData as error:
                told = Generation(generation=number, problem=str(error))
            else:
                if manifest is None:
                    continue
                if manifest.deleted:
                    break
                told = _generation(manifest)
            state = {"served": number == numbers[-1], "leases": held[number]}
            found.append(told.model_copy(update=state))
        if not found:
            self._catalog.get(collection)
        return tuple(found)

    async def verify(self, collection: str, generation: int | None) -> Verification:
        """Read a generation (None: the newest) from end to end, each segment in a Ray task.

        Raises:
            NotFound: It is not retained.
            MemoryLimitExceeded: A task ran out of memory.
        """
        if generation is None:
            generation = (await asyncio.to_thread(self._catalog.get, collection)).generation
        async with self._holding.leased(collection, generation, "verify") as manifest:
            found = await self._findings(manifest)
        way_out = await asyncio.to_thread(_way_out, self._catalog, manifest, found) if found else ""
        return Verification(
            collection=collection,
            generation=generation,
            segments=sum(1 for _ in manifest.segments),
            chunks=manifest.chunks,
            findings=tuple(Finding(segment=f.segment, what=f.what, way_out=way_out) for f in found),
        )

    async def rollback(self, collection: str, generation: int) -> Generation:
        """Publish what an old generation holds as a new one, if it is sound.

        Raises:
            InvalidRequest: It is the newest.
            NotFound: It is not retained, or the collection was deleted since.
            CorruptData: It is damaged.
            Conflict: Another writer published meanwhile.
        """
        numbers = await asyncio.to_thread(self._catalog.numbers, collection)
        async with self._holding.leased(collection, generation, "verify") as manifest:
            if generation == numbers[-1]:
                message = f"generation {generation} of {collection!r} is what is served already"
                raise InvalidRequest(message)
            found = await self._findings(manifest)
            if found:
                way_out = await asyncio.to_thread(_way_out, self._catalog, manifest, found)
                message = (
                    f"generation {generation} of {collection!r} is damaged, and nothing was "
                    f"changed: segment {found[0].segment}: {found[0].what}; {way_out}"
                )
                raise CorruptData(message)
            published = await asyncio.to_thread(go_back, self._catalog, manifest, numbers[-1])
        return _generation(published).model_copy(update={"served": True})

    async def _findings(self, manifest: Manifest) -> list[Damage]:
        found = await asyncio.gather(*(self._verify(manifest, ref) for ref in manifest.segments))
        return [finding for findings in found for finding in findings]

    async def _verify(self, manifest: Manifest, ref: SegmentRef) -> Sequence[Damage]:
        task = _verify_segment.remote(
            self._root, manifest.collection, ref, manifest.model.dimension
        )
        try:
            findings: Sequence[Damage] = await unwrapped(task)
        except WorkerCrashedError:
            what = "the process that read it died of it, or of want of memory; its node's log says"
            return [Damage(ref.id, what)]
        except MemoryError as error:
            message = (
                f"verifying segment {ref.id} of {manifest.collection!r} ran out of memory; try "
                "again when less is going on"
            )
            raise MemoryLimitExceeded(message, _RETRY_S) from error
        return findings


def _way_out(catalog: Catalog, hurt: Manifest, findings: Sequence[Damage]) -> str:
    """Say what to do: go back to the newest generation without what is damaged, or begin anew."""
    collection = hurt.collection
    damaged = {finding.tombstones or finding.segment for finding in findings}
    others = [m for m in catalog.all(collection) if m.generation != hurt.generation]
    for other in reversed(others):
        if other.deleted:
            break
        if not any({ref.id, ref.tombstones} & damaged for ref in other.segments):
            number = other.generation
            if number > hurt.generation and number == others[-1].generation:
                return f"generation {number}, which is served, does without it"
            return f"roll back with `shoal collections rollback {collection} {number}`"
    again = f"`shoal index {hurt.source}`" if hurt.source else "hand its chunks in again"
    return f"no generation does without it: `shoal delete {collection}`, then {again}"


def _generation(manifest: Manifest) -> Generation:
    return Generation(
        generation=manifest.generation,
        created_at=manifest.created_at.isoformat(timespec="seconds"),
        writer=manifest.writer,
        chunks=manifest.chunks,
        segments=sum(1 for _ in manifest.segments),
        model=str(manifest.model),
    )


def _verified(root: str, collection: str, ref: SegmentRef, dimension: int) -> tuple[Damage, ...]:
    step_back()
    try:
        with data_limit(_HEADROOM_BYTES):
            return tuple(verify_segment(Storage(root), collection, ref, dimension))
    finally:
        give_back()


_verify_segment = ray.remote(num_cpus=1, max_retries=0)(_verified)
