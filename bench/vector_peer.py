"""The peers of searches over vectors, run by their own environment: `vector_peer.py NAME FOLDER`.

FOLDER holds vectors.npy and queries.npy, and takes what a peer writes. Requests come as JSON lines:
{"do": "build"}                                  stores and indexes the vectors
{"do": "one_by_one", "truth": […]}               asks every query once
{"do": "together", "callers": n, "seconds": s}   many callers at once, for so long
"""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import callers

K = 10
_BATCH = 5_000


class Chroma:
    """Chroma's HTTP server, and clients of it in this process."""

    def __init__(self, folder: Path) -> None:
        self._queries = np.load(folder / "queries.npy")
        self._vectors = folder / "vectors.npy"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        chroma = Path(sys.executable).with_name("chroma")
        where = ["--path", folder / "chroma", "--host", "127.0.0.1", "--port", str(self._port)]
        self.process = subprocess.Popen([chroma, "run", *where], stdout=subprocess.DEVNULL)

    def build(self) -> None:
        """Add the vectors; Chroma indexes them as they come."""
        collection = self._collection()
        vectors = np.load(self._vectors)
        for first in range(0, len(vectors), _BATCH):
            rows = range(first, min(first + _BATCH, len(vectors)))
            collection.add(ids=[str(r) for r in rows], embeddings=vectors[first : first + _BATCH])

    def new_caller(self) -> callers.Ask:
        """Return a caller with a client of its own."""
        collection = self._collection()

        def ask(number: int) -> list[int]:
            found = collection.query(
                query_embeddings=self._queries[number : number + 1], n_results=K, include=[]
            )
            return [int(row) for row in found["ids"][0]]

        return ask

    def _collection(self):  # noqa: ANN202 - untyped
        import chromadb  # noqa: PLC0415 - of this peer alone

        give_up = time.monotonic() + 60
        while True:
            try:
                client = chromadb.HttpClient("127.0.0.1", self._port)
                break
            except ValueError:  # it is starting
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
        space = {"hnsw": {"space": "cosine"}}
        return client.get_or_create_collection(
            "bench", configuration=space, embedding_function=None
        )


class LanceDB:
    """LanceDB in this process, with the index that its documentation proposes for such sizes."""

    process = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._queries = np.load(folder / "queries.npy")

    def build(self) -> None:
        """Write a table and make its index."""
        import lancedb  # noqa: PLC0415 - of this peer alone
        import pyarrow as pa  # noqa: PLC0415

        vectors = np.load(self._folder / "vectors.npy")
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        table = pa.table({"id": np.arange(len(vectors)), "vector": column})
        self._table = lancedb.connect(self._folder / "lancedb").create_table("bench", table)
        self._table.create_index(metric="cosine", vector_column_name="vector", index_type="IVF_PQ")

    def new_caller(self) -> callers.Ask:
        """Return a caller; all share the table."""

        def ask(number: int) -> list[int]:
            query = self._table.search(self._queries[number]).metric("cosine").nprobes(64)
            return (
                query.refine_factor(10)
                .select(["id", "_distance"])
                .limit(K)
                .to_arrow()["id"]
                .to_pylist()
            )

        return ask


class Faiss:
    """FAISS in this process: the library's speed without any service."""

    process = None

    def __init__(self, folder: Path) -> None:
        self._queries = np.load(folder / "queries.npy")
        self._vectors = folder / "vectors.npy"

    def build(self) -> None:
        """Train and fill the index that Shoal's resident tier is of, too."""
        import faiss  # noqa: PLC0415 - of this peer alone

        vectors = np.load(self._vectors)
        pq = f"PQ{vectors.shape[1] // 4}x4fs,Refine(SQfp16)"
        self._index = faiss.index_factory(vectors.shape[1], pq, faiss.METRIC_INNER_PRODUCT)
        self._index.train(vectors)
        self._index.add(vectors)
        self._index.k_factor = 30
        faiss.omp_set_num_threads(1)

    def new_caller(self) -> callers.Ask:
        """Return a caller; all share the index."""

        def ask(number: int) -> list[int]:
            _, rows = self._index.search(self._queries[number : number + 1], K)
            return rows[0].tolist()

        return ask


def main() -> None:
    """Answer requests until they end."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    peer = {"chroma": Chroma, "lancedb": LanceDB, "faiss": Faiss}[name](folder)
    try:
        for line in sys.stdin:
            print(json.dumps(_answer(peer, json.loads(line))), flush=True)
    finally:
        if peer.process:
            peer.process.terminate()
            peer.process.wait()


def _answer(peer, request):  # noqa: ANN001, ANN202 - any peer, JSON
    match request["do"]:
        case "build":
            started = time.perf_counter()
            peer.build()
            return {"build_s": round(time.perf_counter() - started, 1)}
        case "one_by_one":
            return callers.one_by_one(peer.new_caller, np.array(request["truth"]))
        case "together":
            queries = len(peer._queries)
            many, seconds = request["callers"], request["seconds"]
            return callers.together(peer.new_caller, queries, many, seconds)


if __name__ == "__main__":
    main()
