"""semble's side, run by its own environment: answers requests that come as JSON lines.

{"do": "load"}                        imports and loads the model
{"do": "index", "folder": …}          indexes the folder anew; nothing is read from its cache
{"do": "save"}                        writes the index where semble's own programs keep it
{"do": "search", "queries": […], "limit": …}    asks each, hybrid; ten results unless it says
{"do": "unread"}                      names the settings of the model that its loader does not know
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

LIMIT = 10


class Peer:
    """semble, its model and one index."""

    def load(self) -> dict[str, float]:
        """Import semble and load the model, as every later call would by itself."""
        started = time.perf_counter()
        from semble.index import SembleIndex  # noqa: PLC0415 - timed
        from semble.index.dense import load_model  # noqa: PLC0415 - timed

        imported = time.perf_counter()
        load_model()
        self._type = SembleIndex
        return {"import_s": imported - started, "model_s": time.perf_counter() - imported}

    def index(self, folder: str) -> dict[str, float]:
        """Index a folder; semble's cache folder is empty, so nothing is reused."""
        used, started = _cpu_s(), time.perf_counter()
        self._index = self._type.from_path(folder)
        seconds = time.perf_counter() - started
        used = _cpu_s() - used
        if self._index.loaded_from_disk:
            sys.exit("semble read an index from its cache: nothing was measured")
        stats = self._index.stats
        return {
            "index_s": seconds,
            "cpu_s": used,
            "files": stats.indexed_files,
            "chunks": stats.total_chunks,
        }

    def save(self, folder: str) -> dict[str, float]:
        """Write the index as semble's command line and MCP server do after indexing."""
        from semble.cache import save_index_to_cache  # noqa: PLC0415 - first needed here

        started = time.perf_counter()
        save_index_to_cache(self._index, folder)
        return {"save_s": time.perf_counter() - started}

    def search(self, queries: list[str], limit: int = LIMIT) -> dict[str, list]:
        """Ask every query; return milliseconds and the paths found."""
        milliseconds, found = [], []
        for query in queries:
            started = time.perf_counter()
            results = self._index.search(query, top_k=limit)
            milliseconds.append((time.perf_counter() - started) * 1e3)
            found.append([result.chunk.file_path.replace(os.sep, "/") for result in results])
        return {"ms": milliseconds, "found": found}

    def unread(self) -> list[str]:
        """Name what the model's config says and model2vec, which reads it, does not know."""
        from model2vec.types import StaticModelConfig  # noqa: PLC0415 - as above

        config = Path(os.environ["SEMBLE_MODEL_NAME"], "config.json")
        known = StaticModelConfig.__annotations__
        return sorted(set(json.loads(config.read_text(encoding="utf-8"))) - set(known))

    def memory(self) -> dict[str, float]:
        """Return the most memory this process has had resident, without its workers'."""
        return {"max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}


def _cpu_s() -> float:
    """Return the processor seconds of this process and of workers that have ended."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    """Answer until standard input ends."""
    peer = Peer()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(peer, request.pop("do"))(**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":  # semble's worker processes import this file
    main()
