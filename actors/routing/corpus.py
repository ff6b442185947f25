"""What a search runs over: generations of collections, and their term statistics put together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from actors.catalog import Catalog, Manifest
from actors.engines.base import EXTERNAL
from actors.errors import InvalidRequest, ModelMismatch, NotFound, ShoalError
from actors.index.fusion import Mode
from actors.index.lexical import TermStatistics, WeightedTerms, weigh
from actors.index.segment import Tombstones, check_globs, read_tombstones, segment_folder
from actors.index.tokens import terms
from actors.messages import Coverage, SearchRequest
from actors.storage import Storage

_FRESH_S = 1.0
"""How long a generation is taken for the newest; another gateway may publish to the same root."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A manifest with the term statistics of its segments."""

    manifest: Manifest
    statistics: tuple[tuple[TermStatistics, Tombstones], ...]

    def frequency(self, term: bytes) -> int:
        """Return how many living chunks hold `term`."""
        total = 0
        for statistics, tombstones in self.statistics:
            number = statistics.vocabulary.find(term)
            if number is not None:
                total += statistics.frequency(number) - tombstones.lost_by(number)
        return total


def weigh_query(query: str, generations: Sequence[Generation]) -> WeightedTerms:
    """Weigh the query's terms with the statistics of all generations taken as one corpus."""
    return weigh(
        terms(query),
        lambda term: sum(generation.frequency(term) for generation in generations),
        sum(generation.manifest.chunks for generation in generations),
        sum(generation.manifest.total_length for generation in generations),
    )


class Corpora:
    """Opens generations and keeps the newest of each collection at hand; several threads may ask.

    Args:
        storage: The root.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._catalog = Catalog(storage)
        self._open: dict[str, Generation] = {}
        self._seen: dict[str, float] = {}
        self._names: tuple[float, list[str]] = (float("-inf"), [])
        self._looking = Lock()

    def names(self) -> list[str]:
        """Return the names of all collections."""
        listed_at, names = self._names
        if time.monotonic() - listed_at <= _FRESH_S:
            return names
        with self._looking:
            asked_at = time.monotonic()
            names = self._catalog.names()
            self._names = (asked_at, names)
            return names

    def get(self, collection: str) -> Generation:
        """Return the newest generation of a collection.

        Raises:
            NotFound: There is no such collection.
            CorruptData: Its manifest or statistics are damaged.
        """
        known = self._open.get(collection)
        if known and time.monotonic() - self._seen[collection] < _FRESH_S:
            return known
        with self._looking:
            asked_at = time.monotonic()  # what is published from here on may not be seen
            manifest = self._catalog.get(collection)
            known = self._open.get(collection)
            if known is None or known.manifest != manifest:
                known = self._opened(manifest)
            self._seen[collection] = asked_at
            self._open[collection] = known
            return known

    def _forget(self) -> None:
        with self._looking:
            self._seen = dict.fromkeys(self._seen, float("-inf"))
            self._names = (float("-inf"), [])

    def reopen(self) -> None:
        """Look at storage again and open the newest of every collection that can be read."""
        self._forget()
        there = self.names()
        with self._looking:
            self._open = {name: g for name, g in self._open.items() if name in there}
        for name in there:
            with contextlib.suppress(ShoalError):
                self.get(name)

    def segments(self) -> frozenset[str]:
        """Return the ids of all segments in the generations at hand."""
        return frozenset(
            ref.id for generation in self._open.values() for ref in generation.manifest.segments
        )

    def _opened(self, manifest: Manifest) -> Generation:
        def statistics(segment: str) -> TermStatistics:
            folder = f"{segment_folder(manifest.collection, segment)}/lexical"
            return TermStatistics(self._storage.folder(folder))

        return Generation(
            manifest,
            tuple(
                (statistics(ref.id), read_tombstones(self._storage, manifest.collection, ref))
                for ref in manifest.segments
            ),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request searches.

    Attributes:
        generations: One for each collection that is searched.
        left_out: The collections that are not, and why.
        terms: The weighed query, or None where the lexical side does not answer.
    """

    generations: tuple[Generation, ...]
    left_out: tuple[Coverage, ...]
    terms: WeightedTerms | None


def make_plan(corpora: Corpora, model: str, request: SearchRequest) -> Plan:
    """Choose the generations that can answer, and weigh the query's terms over them.

    A collection that was asked for by name and cannot be searched is an error. Where all are
    searched, it is left out and named, unless nothing else is there.
    """
    check_globs(request.filter.paths)
    usable, left_out, first_error = [], [], None
    for name in dict.fromkeys(request.collections) or corpora.names():
        try:
            generation = corpora.get(name)
            _check(generation.manifest, model, request)
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
    terms = None if request.mode is Mode.SEMANTIC else weigh_query(request.query, usable)
    return Plan(tuple(usable), tuple(left_out), terms)


def _check(manifest: Manifest, model: str, request: SearchRequest) -> None:
    """Raise where the query's vector would not lie in the collection's space."""
    if request.mode is Mode.LEXICAL:
        return
    if request.vector is not None:
        _check_dimension(manifest, len(request.vector))
    elif str(manifest.model) != model:
        own = manifest.model.engine == EXTERNAL
        way_out = "give the query's vector" if own else "delete and index it again"
        message = (
            f"the vectors of collection {manifest.collection!r} were made by {manifest.model}, and "
            f"queries here are embedded by {model}; {way_out}, or search with mode lexical"
        )
        raise ModelMismatch(message)


def _check_dimension(manifest: Manifest, dimension: int) -> None:
    if manifest.model.dimension != dimension:
        message = (
            f"the query's vector has {dimension} dimensions, those of collection "
            f"{manifest.collection!r} have {manifest.model.dimension}"
        )
        raise InvalidRequest(message)
