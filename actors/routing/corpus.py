"""What a search runs over: generations of collections, and their term statistics put together."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from threading import Lock

from actors.catalog import Catalog, Manifest
from actors.engines.base import EXTERNAL
from actors.errors import InvalidRequest, ModelMismatch, NotFound, ShoalError, StorageError
from actors.index.fusion import Mode
from actors.index.lexical import TermStatistics
from actors.index.segment import check_globs
from actors.index.stored import Tombstones, read_statistics, read_tombstones
from actors.index.typos import neighbours
from actors.messages import Coverage, SearchRequest
from actors.storage import Storage

FRESH_S = 1.0
"""How long a generation is taken for the newest; another gateway may publish to the same root."""

_UNANNOUNCED_S = 8.0
"""How long a newer generation is left to be announced, once its hosts have opened it.

The steward gives them 5 s for that. One that nobody announces is served after this long: it was
published by another cluster on the same root, or the steward died over it.
"""


@dataclass(frozen=True, slots=True)
class Generation:
    """A manifest with the term statistics of its segments."""

    manifest: Manifest
    statistics: tuple[tuple[TermStatistics, Tombstones], ...]

    def frequencies(self, wanted: Sequence[bytes]) -> list[int]:
        """Return how many living chunks hold each of some terms."""
        totals = [0] * len(wanted)
        for statistics, tombstones in self.statistics:
            for place, number in enumerate(statistics.vocabulary.find_all(wanted)):
                if number is not None:
                    totals[place] += statistics.frequency(number) - tombstones.lost_by(number)
        return totals

    def neighbours(self, word: bytes) -> set[bytes]:
        """Return the terms that are one typing mistake away from `word`."""
        found = (neighbours(statistics.vocabulary, word) for statistics, _ in self.statistics)
        return set(chain.from_iterable(found))


class Corpora:
    """Opens generations and keeps the newest of each collection at hand; several threads may ask.

    Args:
        storage: The root.
        on_change: Told whenever others are at hand.
    """

    def __init__(self, storage: Storage, on_change: Callable[[], object] = lambda: None) -> None:
        self._storage = storage
        self._on_change = on_change
        self._catalog = Catalog(storage)
        self._open: dict[str, Generation] = {}
        self._seen: dict[str, float] = {}
        self._failures: dict[str, Callable[[], StorageError]] = {}
        self._newer_since: dict[str, float] = {}
        self._names: tuple[float, list[str]] = (float("-inf"), [])
        self._looking = Lock()

    def names(self) -> list[str]:
        """Return the names of all collections."""
        listed_at, names = self._names
        if time.monotonic() - listed_at < FRESH_S:
            return names
        return self._list()

    def get(self, collection: str) -> Generation:
        """Return the generation of a collection that is served.

        Raises:
            NotFound: There is no such collection.
            CorruptData: Its manifest or statistics are damaged, or were within the last `FRESH_S`.
            StorageError: Likewise, where they could not be read.
        """
        return self._known(collection) or self._look(collection, only_if_old=True)

    def age_s(self, collections: Sequence[str]) -> float:
        """Return how old the oldest of what is at hand for these is; for all, where none is named.

        Up to `FRESH_S`, a plan for them is made without a look at storage. What a look
        failed with is at hand too.
        """
        listed_at, there = self._names
        seen = [self._seen.get(name, float("-inf")) for name in collections or there]
        return time.monotonic() - min(seen if collections else (listed_at, *seen))

    def look(self, collections: Sequence[str]) -> None:
        """Look at storage for what is newest of these, or of all where none is named."""
        for name in collections or self._list():
            with contextlib.suppress(ShoalError):
                self._look(name)

    def _forget(self) -> None:
        with self._looking:
            self._seen = {}
            self._failures = {}
            self._newer_since = dict.fromkeys(self._open, float("-inf"))
            self._names = (float("-inf"), [])

    def reopen(self) -> None:
        """Serve the newest of every collection that can be read: it was announced."""
        self._forget()
        there = self.names()
        with self._looking:
            self._open = {name: g for name, g in self._open.items() if name in there}
        for name in there:
            with contextlib.suppress(ShoalError):
                self.get(name)
        self._on_change()

    def fingerprints(self) -> frozenset[str]:
        """Return the vector spaces of the generations at hand."""
        return frozenset(str(generation.manifest.model) for generation in self._open.values())

    def served(self) -> dict[str, int]:
        """Return the numbers of the generations at hand, by collection."""
        at_hand = list(self._open.items())  # another thread may add one
        return {name: generation.manifest.generation for name, generation in at_hand}

    def segments(self) -> frozenset[str]:
        """Return the ids of all segments in the generations at hand."""
        return frozenset(
            ref.id for generation in self._open.values() for ref in generation.manifest.segments
        )

    def _known(self, collection: str) -> Generation | None:
        """Return the generation at hand, or raise the error, if that is what was found just now."""
        failure = self._failures.get(collection)
        if not self._is_fresh(collection):
            return None
        if failure:
            raise failure()
        return self._open.get(collection)

    def _is_fresh(self, collection: str) -> bool:
        return time.monotonic() - self._seen.get(collection, float("-inf")) < FRESH_S

    def _list(self) -> list[str]:
        with self._looking:
            asked_at = time.monotonic()
            names = self._catalog.names()
            self._names = (asked_at, names)
            return names

    def _look(self, collection: str, only_if_old: bool = False) -> Generation:
        with self._looking:
            if only_if_old and (known := self._known(collection)):
                return known  # another thread was first
            asked_at = time.monotonic()  # what is published from here on may not be seen
            before = self._open.get(collection)
            try:
                self._open[collection] = found = self._newest(collection, asked_at)
            except StorageError as error:
                self._note_failure(collection, error, asked_at)
                raise
            self._failures.pop(collection, None)
            self._seen[collection] = asked_at
            if found is not before:
                self._on_change()
            return found

    def _note_failure(self, collection: str, error: StorageError, now: float) -> None:
        """Keep an error, unless what is at hand can still be served: the next look may succeed."""
        if collection in self._failures or not self._is_fresh(collection):
            # To be made anew: one error raised by several threads would gather all their frames.
            self._failures[collection] = partial(type(error), *error.args)
            self._seen[collection] = now

    def _newest(self, collection: str, now: float) -> Generation:
        manifest = self._catalog.get(collection)
        served = self._open.get(collection)
        if served is None or self._is_due(manifest, served.manifest, now):
            return self._opened(manifest)
        return served

    def _is_due(self, newest: Manifest, served: Manifest, now: float) -> bool:
        """Tell whether the newest generation takes the place of the one that is served."""
        since = self._newer_since.setdefault(newest.collection, now)
        due = newest != served and now - since >= _UNANNOUNCED_S
        if due or newest == served:
            del self._newer_since[newest.collection]
        return due

    def _opened(self, manifest: Manifest) -> Generation:
        storage, collection = self._storage, manifest.collection
        return Generation(
            manifest,
            tuple(
                (
                    read_statistics(storage, collection, ref.id),
                    read_tombstones(storage, collection, ref),
                )
                for ref in manifest.segments
            ),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request searches.

    Attributes:
        generations: One for each collection that is searched.
        left_out: The collections that are not, and why.
    """

    generations: tuple[Generation, ...]
    left_out: tuple[Coverage, ...]

    @property
    def spaces(self) -> dict[str, tuple[str, ...]]:
        """The vector spaces by their fingerprints, each with the names of models that make it."""
        names: defaultdict[str, list[str]] = defaultdict(list)
        for generation in self.generations:
            names[str(generation.manifest.model)].append(generation.manifest.model_name)
        return {space: tuple(dict.fromkeys(known)) for space, known in names.items()}

    def without(self, errors: Mapping[str, ShoalError]) -> Plan:
        """Leave out the collections in whose space, by fingerprint, there is no query vector."""

        def error_of(generation: Generation) -> ShoalError | None:
            return errors.get(str(generation.manifest.model))

        lost = [
            Coverage(g.manifest.collection, g.manifest.generation, 0.0, str(error_of(g)))
            for g in self.generations
            if error_of(g)
        ]
        kept = tuple(g for g in self.generations if not error_of(g))
        return Plan(kept, (*self.left_out, *lost))


def make_plan(corpora: Corpora, request: SearchRequest) -> Plan:
    """Choose the generations that can answer.

    A collection that was asked for by name and cannot be searched is an error. Where all are
    searched, it is left out and named, unless nothing else is there.
    """
    check_globs((*request.filter.paths, *request.filter.excluded))
    usable, left_out, first_error = [], [], None
    for name in dict.fromkeys(request.collections) or corpora.names():
        try:
            generation = corpora.get(name)
            _check(generation.manifest, request)
            usable.append(generation)
        except ShoalError as error:
            if request.collections:
                raise
            first_error = first_error or error
            left_out.append(Coverage(name, 0, 0.0, str(error)))
    if first_error and not usable:
        raise first_error
    if not usable:
        message = "nothing is indexed yet; index a folder first"
        raise NotFound(message)
    return Plan(tuple(usable), tuple(left_out))


def _check(manifest: Manifest, request: SearchRequest) -> None:
    """Raise where the query's vector would not lie in the collection's space."""
    if request.mode is Mode.LEXICAL:
        return
    if request.vector is not None and request.space in {"", str(manifest.model)}:
        _check_dimension(manifest, len(request.vector))
    elif manifest.model.engine == EXTERNAL:
        message = (
            f"the vectors of collection {manifest.collection!r} were handed in ({manifest.model}), "
            "and no model here embeds a query for them; give the query's vector, or search with "
            "mode lexical"
        )
        raise ModelMismatch(message)


def _check_dimension(manifest: Manifest, dimension: int) -> None:
    if manifest.model.dimension != dimension:
        message = (
            f"the query's vector has {dimension} dimensions, those of collection "
            f"{manifest.collection!r} have {manifest.model.dimension}"
        )
        raise InvalidRequest(message)
