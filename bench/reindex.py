"""Whole corpora: batch jobs beside online indexing, a bare loop of the same functions, and semble.

    reindex.py                    standard library, installed packages, MiniLM, searches meanwhile
    reindex.py --million          one million chunks end to end, memory by kind of process

The bare loop reads, cuts, embeds and writes in one process with one thread, and publishes nothing:
what the other ways cost over it, or gain by the second core.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sysconfig
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import report
from chunks import shared_model
from corpus import copy_standard_library, queries
from index_stdlib import semble
from sides import gateway, timed

from actors.catalog import Catalog
from actors.engines.registry import BUILTIN, describe, open_engine
from actors.index.writing import ChunkBlock
from actors.storage import Storage
from cluster.client import ShoalClient
from cluster.ingest.pipeline import blocks_of_files, cut_block, write_blocks
from cluster.ingest.sources import find_files
from cluster.ingest.walk import MAX_FILE_BYTES, WalkLimits

_CHUNKS_OF_MINILM = 5_000
_SEGMENT_ROWS = 1 << 13
_QUERIES = 200
_SAMPLE_S = 1.0
_KINDS = ("BatchJob", "Embedding", "Embedder", "ShardHost", "Router", "Steward", "Map", "Write")
"""Of Ray's processes, by what they are called; the rest is Ray itself, the gateway, other tasks."""

Run = dict[str, Any]


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--million", action="store_true")
    parse.add_argument("--rounds", type=int, default=3)
    given = parse.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        if given.million:
            report.write(report.RESULTS / "reindex_million.json", million(Path(folder)))
        else:
            report.require_peer()
            report.write(report.RESULTS / "reindex.json", whole_corpora(Path(folder), given.rounds))


def whole_corpora(work: Path, rounds: int) -> Run:
    """Return all figures but the million's; `work` is an empty folder."""
    library, packages, small = work / "library", work / "packages", work / "small"
    copy_standard_library(library)
    copy_packages(packages)
    first_files(library, small, _CHUNKS_OF_MINILM)
    minilm = f"onnx:{shared_model('all-MiniLM-L6-v2-onnx')}"
    with gateway(work / "root") as client:
        return {
            "standard_library": sides(client, library, work, BUILTIN, rounds),
            "packages": sides(client, packages, work, BUILTIN, 1),
            "minilm_5000": sides(client, small, work, minilm, 1, with_semble=False),
            "searches_meanwhile": searches_meanwhile(client, library, packages),
        }


def sides(
    client: ShoalClient, corpus: Path, work: Path, model: str, rounds: int, with_semble: bool = True
) -> Run:
    """Index one corpus in every way, in turn."""
    ways = {
        "batch": lambda: through(client, corpus, model, "reindex"),
        "online": lambda: through(client, corpus, model, "index"),
        "bare_loop": lambda: bare_loop(corpus, work / "bare", model),
    }
    if with_semble:
        ways["semble"] = lambda: semble(corpus, work, 4)
    runs: defaultdict[str, list[Run]] = defaultdict(list)
    for _ in range(rounds):
        for name, way in ways.items():
            runs[name].append(way())
            print(corpus.name, name, runs[name][-1])
    size = {"files": len(files_of(corpus)), "mb": sum(f.size for f in files_of(corpus)) / 1e6}
    took = {name: [run["index_s"] for run in found] for name, found in runs.items()}
    return {
        **size,
        "runs": dict(runs),
        "over_bare_loop": {n: report.ratios(took["bare_loop"], took[n]) for n in took},
        "files_per_s": {n: round(size["files"] / report.median(s), 1) for n, s in took.items()},
        "mb_per_s": {n: round(size["mb"] / report.median(s), 2) for n, s in took.items()},
    }


def through(client: ShoalClient, corpus: Path, model: str, operation: str) -> Run:
    """Index into a fresh collection through the gateway: from the call to the job's end."""
    used, started = machine_cpu_s(), time.perf_counter()
    start = getattr(client, operation)
    job = client.wait(start([str(corpus)], collection="fresh", model=model))
    seconds = timed(started)
    run = {"index_s": seconds, "cpu_s": round(machine_cpu_s() - used, 2), "chunks": job.chunks}
    client.delete("fresh")
    return run


def machine_cpu_s() -> float:
    """Return the processor seconds spent on this machine: a job's processes come and go."""
    spent = psutil.cpu_times()
    return float(spent.user + getattr(spent, "nice", 0.0) + spent.system)


def bare_loop(corpus: Path, root: Path, model: str) -> Run:
    """Do the same work in this process, one step after the other."""
    shutil.rmtree(root, ignore_errors=True)
    storage = Storage(str(root))
    card = describe(model)
    engine = open_engine(card, 1)
    engine.embed(["warm"], "document")
    took: Counter[str] = Counter()
    chunks = 0
    started = time.perf_counter()
    base = Catalog(storage).new("bare", card.fingerprint, 1, str(corpus))
    waiting: list[tuple[ChunkBlock, Any]] = []
    for block in blocks_of_files(base, str(corpus), files_of(corpus), {}, MAX_FILE_BYTES):
        with lap(took, "cut"):
            summary, table = cut_block(block)
            ours = ChunkBlock.of(table)
        with lap(took, "embed"):
            waiting.append((ours, engine.embed(ours.texts, "document")))
        chunks += summary.chunks
        if sum(len(vectors) for _, vectors in waiting) >= _SEGMENT_ROWS:
            with lap(took, "write"):
                write(root, waiting)
    if waiting:
        with lap(took, "write"):
            write(root, waiting)
    seconds = timed(started)
    engine.close()
    return {
        "index_s": seconds,
        "chunks": chunks,
        **{f"{k}_s": round(v, 2) for k, v in took.items()},
    }


def write(root: Path, waiting: list[tuple[ChunkBlock, Any]]) -> None:
    """Write what waits as a segment."""
    blocks, vectors = zip(*waiting, strict=True)
    write_blocks(str(root), "bare", 0, "", *blocks, *vectors)
    waiting.clear()


@contextmanager
def lap(took: Counter[str], name: str) -> Iterator[None]:
    """Add the seconds that the block takes."""
    started = time.perf_counter()
    yield
    took[name] += time.perf_counter() - started  # type: ignore[assignment]


def searches_meanwhile(client: ShoalClient, library: Path, packages: Path) -> Run:
    """Ask one query after the other, alone, and while a batch job embeds something else."""
    client.wait(client.index([str(library)], collection="served"))
    asked = [query.text for query in queries(library, _QUERIES)]
    alone = ask_for(client, asked, lambda turn: turn >= 3 * len(asked))
    job = client.reindex([str(packages)], collection="meanwhile")
    until_embedding(client, job.id)
    during = ask_for(client, asked, lambda _: client.job(job.id).state != "running")
    return {
        "alone_ms": report.summary(alone),
        "during_ms": report.summary(during),
        "p99_over_alone": report.ratios(
            [report.summary(during)["p99"]], [report.summary(alone)["p99"]]
        )["median"],
    }


def ask_for(client: ShoalClient, asked: list[str], is_over: Any) -> list[float]:  # noqa: ANN401
    """Return the milliseconds of queries, asked in turn until it is over."""
    took = []
    for turn, query in enumerate(itertools.cycle(asked)):
        if turn % 50 == 0 and is_over(turn):
            return took
        started = time.perf_counter()
        client.search(query, collections=["served"])
        took.append((time.perf_counter() - started) * 1e3)
    raise AssertionError


def until_embedding(client: ShoalClient, job: str) -> None:
    """Wait until a batch job's processes have started, and it embeds."""
    while not client.job(job).chunks:
        time.sleep(0.1)


def million(work: Path) -> Run:
    """Index as many copies of the standard library, each unlike the others, as hold a million."""
    corpus = work / "corpus"
    copies = 23
    with gateway(work / "root") as client:
        copy_standard_library(work / "library")
        for number in range(copies):
            copy_marked(work / "library", corpus / f"copy_{number}", number)
        pid = client.status().gateway_pid
        with PeakByKind(pid) as peak:
            started = time.perf_counter()
            job = client.reindex([str(corpus)], collection="million")
            job = client.wait(job, lambda j: peak.note(j.phase.partition(" (")[0]))
            seconds = timed(started)
        served = report.summary(ask_served(client))
        found = client.collections()[0]
    return {
        "files": job.files_done,
        "chunks": job.chunks,
        "segments": found.segments,
        "seconds": seconds,
        "chunks_per_s": round(job.chunks / seconds, 1),
        "peak_mb_by_phase": peak.by_phase,
        "total_mb_every_tenth": peak.tenths(),
        "first_searches_ms": served,
    }


def ask_served(client: ShoalClient) -> list[float]:
    """Return the milliseconds of the first searches over what was published."""
    took = []
    for name in ("read a file line by line", "parse a date", "open a socket", "hash a password"):
        started = time.perf_counter()
        client.search(name, collections=["million"])
        took.append((time.perf_counter() - started) * 1e3)
    return took


class PeakByKind:
    """Samples the memory of a gateway's processes by what they do, and by the phase of a job.

    Attributes:
        by_phase: Phase → kind → the most MB (proportional set size) of its processes together.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._phase = "starting"
        self._totals: list[float] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.by_phase: dict[str, dict[str, float]] = {}

    def note(self, phase: str) -> None:
        """Note what the job is doing now."""
        self._phase = phase

    def tenths(self) -> list[float]:
        """Return the total at ten points of the run."""
        step = max(1, len(self._totals) // 10)
        return self._totals[::step]

    def __enter__(self) -> PeakByKind:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            held = held_by_kind(self._pid)
            self._totals.append(round(sum(held.values()), 1))
            held["all"] = self._totals[-1]
            most = self.by_phase.setdefault(self._phase, {})
            for kind, mb in held.items():
                most[kind] = max(most.get(kind, 0.0), round(mb, 1))


def held_by_kind(pid: int) -> Counter[str]:
    """Return the MB that each kind of process below a gateway holds, the gateway's own included."""
    held: Counter[str] = Counter()
    gateway_process = psutil.Process(pid)
    for process in (gateway_process, *gateway_process.children(recursive=True)):
        try:
            title = "".join(process.cmdline())
            mb = process.memory_full_info().pss / report.MB
        except psutil.Error:
            continue
        kind = next((k for k in _KINDS if f"ray::{k}" in title), "")
        ours = "gateway" if process.pid == pid else "other tasks" if "ray::" in title else "Ray"
        held[kind or ours] += mb  # type: ignore[assignment]
    return held


def files_of(corpus: Path) -> tuple[Any, ...]:
    """Return what Shoal indexes of a folder."""
    return find_files(str(corpus), ("",), WalkLimits(MAX_FILE_BYTES)).files


def copy_packages(to: Path) -> None:
    """Copy the files of all installed packages that Shoal would index."""
    source = Path(sysconfig.get_path("purelib"))
    for found in files_of(source):
        target = to / found.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / found.path, target)


def copy_marked(source: Path, to: Path, number: int) -> None:
    """Copy Python files with a line of their own before each definition."""
    for file in source.rglob("*.py"):
        target = to / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_bytes().replace(b"\ndef ", b"\n# copy %d\ndef " % number)
        target.write_bytes(b"# copy %d\n" % number + text)


def first_files(source: Path, to: Path, chunks: int) -> None:
    """Copy as many files as make so many chunks."""
    root = Catalog(Storage(str(to.parent / "counted"))).new(
        "c", describe(BUILTIN).fingerprint, 1, ""
    )
    counted = 0
    for block in blocks_of_files(root, str(source), files_of(source), {}, MAX_FILE_BYTES):
        for file in block.files:
            if counted >= chunks:
                return
            target = to / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file.path, target)
        counted += cut_block(block)[0].chunks


if __name__ == "__main__":
    main()
