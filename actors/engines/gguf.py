"""The GGUF engine: quantised models on CPU, by llama.cpp (package xllamacpp).

Weights stay in the mapped file, which replicas share; repacked copies of them, faster for some
quantisations by up to twice, would be private memory of the same size again.

xllamacpp embeds by way of llama.cpp's server, which computes in this process and also listens: here
on a Unix socket in a folder that only this user can enter. There its tokenizer can be asked.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.engines.base import (
    Counts,
    Fingerprint,
    Footprint,
    Kind,
    ModelCard,
    OnProgress,
    Vectors,
)
from actors.engines.batching import batches, cut
from actors.engines.conventions import DEFAULT_TOKENS, Family, family_of, kept_dimension
from actors.engines.files import digest, read_through
from actors.engines.gguf_header import Values, read_header
from actors.engines.pooling import unit
from actors.engines.spec import ModelSpec
from actors.errors import InvalidRequest, ModelLoadError

if TYPE_CHECKING:
    from xllamacpp import CommonParams, Server  # type: ignore[import-untyped]

HUB_PATTERNS = ("*.gguf",)
LIBRARIES: tuple[str, ...] = ("xllamacpp",)
# The file that is taken where there are several: nearly lossless at a quarter of float32.
PREFERRED = "*[qQ]8_0.gguf"

# Tokens that go into one call; llama.cpp computes one text after the other.
BATCH_TOKENS = 2_048
# llama.cpp's own size of one computation, which a longer text makes larger.
_COMPUTED_TOKENS = 512

# general.file_type (llama_ftype in llama.cpp's llama.h).
_DTYPES = dict(enumerate(("F32", "F16", "Q4_0", "Q4_1"))) | {
    7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L",
    14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 25: "IQ4_NL",
    30: "IQ4_XS", 32: "BF16",
}  # fmt: skip
_POOLINGS = {1: "mean", 2: "cls", 3: "last"}  # llama_pooling_type in llama.h
_RERANKER = 4
_NO_MEMORY = "Compute error"
_ERRORS = 1  # llama.cpp's level of logging; it writes to stderr
_MOST = 1 << 20  # larger sizes are damage

# Private bytes, measured as dirty pages with 256 to 2,048 tokens of models of width 384 and 768:
# the library, a token of the vocabulary, and a token of the text for each token of the vocabulary,
# for each number of its vector, and for each of those in each layer that keeps keys and values.
_LIBRARY, _PER_ENTRY = 24_000_000, 300
_PER_LOGIT, _PER_NUMBER, _PER_CACHED = 4, 64, 4


def holds(path: Path) -> bool:
    """Tell whether this is a GGUF file, or a folder with one that can be chosen."""
    return model_file(path) is not None


def model_file(path: Path) -> Path | None:
    """Return the GGUF file that a path stands for: itself, the preferred one, or the only one."""
    if path.is_file():
        return path if path.suffix == ".gguf" else None
    for pattern in (PREFERRED, "*.gguf"):
        if len(found := list(path.glob(pattern))) == 1:
            return found[0]
    return None


def describe(spec: ModelSpec, path: Path) -> ModelCard:
    """Read the head of the file and hash the whole.

    Raises:
        ModelLoadError: There is no such file, it is unreadable or no embedding model.
        InvalidRequest: The spec sets something that this model cannot do.
    """
    file = _require_file(path)
    head = read_header(file)
    family = family_of(file.stem, head.get("general.name"), head.get("general.architecture"))
    query, document = spec.query_prefix, spec.document_prefix
    max_tokens = _max_tokens(spec, file, head)
    return ModelCard(
        spec=spec,
        path=file,
        fingerprint=Fingerprint(
            engine="gguf",
            weights=digest([file]),
            dtype=_dtype(head),
            pooling=_pooling(spec, file, head, family),
            query_prefix=family.query if query is None else query,
            document_prefix=family.document if document is None else document,
            dimension=kept_dimension(spec, _number(file, head, "embedding_length")),
        ),
        max_tokens=max_tokens,
        footprint=Footprint(file.stat().st_size, _private(file, head, max_tokens)),
    )


def open_model(card: ModelCard, threads: int, on_progress: OnProgress) -> GgufEngine:
    """Load the model; one text at a time is computed, by `threads` threads.

    Raises:
        ModelLoadError: llama.cpp cannot read the file, or xllamacpp is not installed.
        MemoryError: There was no memory for it.
    """
    # Reading goes ahead of the load, all through which llama.cpp holds Python's lock.
    if card.prefault:
        read_through([card.path], on_progress)
    on_progress("loading", 0, 0)
    folder = TemporaryDirectory(prefix="shoal-gguf-")
    try:
        return GgufEngine(card, folder, threads)
    except BaseException:
        folder.cleanup()
        raise


class GgufEngine:
    """A model in llama.cpp. Safe to call from several threads; texts are computed in turn."""

    def __init__(self, card: ModelCard, folder: TemporaryDirectory[str], threads: int) -> None:
        self.batch_tokens = BATCH_TOKENS
        self._path = card.path
        self._name = card.fingerprint
        self._max_tokens = card.max_tokens
        self._folder = folder
        self._socket = Path(folder.name) / "llama.sock"  # the suffix makes it a Unix socket
        server = _server(card, threads, self._socket)
        self._server: Server | None = server
        self._end = self._learn_end()
        self._check(server)

    @property
    def dimension(self) -> int:
        """Numbers in one vector."""
        return self._name.dimension

    def embed(self, texts: Sequence[str], kind: Kind, counts: Counts | None = None) -> Vectors:
        """Embed texts, each after the prefix of its kind; see `Engine.embed`."""
        if self._server is None:
            message = "this engine is closed: open the model again to embed with it"
            raise RuntimeError(message)
        prefix = self._name.query_prefix if kind == "query" else self._name.document_prefix
        ids = [self._ids(prefix + cut(text, self._max_tokens)) for text in texts]
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        lengths = [len(text) for text in ids]
        if counts is not None:
            counts[:] = lengths
        for batch in batches(lengths, self.batch_tokens):
            if known := [index for index in batch if ids[index]]:
                rows[known] = self._compute(self._server, [ids[index] for index in known])
        return rows

    def drop_caches(self) -> None:
        """Do nothing: llama.cpp keeps nothing that it could compute again."""

    def close(self) -> None:
        """End llama.cpp's threads and unmap the file. Closing twice is harmless."""
        self._server = None
        self._folder.cleanup()

    def _learn_end(self) -> list[int]:
        """Return the token that ends every text, if there is one."""
        empty, letter = self._tokenize(""), self._tokenize("a")
        return letter[-1:] if empty[-1:] == letter[-1:] else []

    def _check(self, server: Server) -> None:
        """Compute one vector; a server that ends before its loop began would hang for ever."""
        found = self._compute(server, [self._tokenize("a")]).shape[1]
        if found != self.dimension:
            message = f"its vectors have {found} numbers, not the {self.dimension} that it tells"
            raise _refuse(self._path, message)

    def _ids(self, text: str) -> list[int]:
        """Return the tokens of a text, cut to what the model reads; what ends it stays."""
        ids = self._tokenize(text)
        if len(ids) <= self._max_tokens:
            return ids
        return ids[: self._max_tokens - len(self._end)] + self._end

    def _tokenize(self, text: str) -> list[int]:
        connection = _UnixConnection(self._socket)
        body = json.dumps({"content": text, "add_special": True})
        try:
            connection.request("POST", "/tokenize", body)
            answer = json.load(connection.getresponse())
        finally:
            connection.close()
        tokens: list[int] = _checked(answer)["tokens"]
        return tokens

    def _compute(self, server: Server, ids: Sequence[list[int]]) -> Vectors:
        answer = _checked(server.handle_embeddings({"input": ids}))
        vectors = np.array([entry["embedding"] for entry in answer["data"]], dtype=np.float32)
        return unit(vectors, self.dimension)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def _checked(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an answer of llama.cpp, which tells of errors by values."""
    if "error" not in answer:
        return answer
    said = f"llama.cpp says: {answer['error'].get('message')}"
    # What it says of a batch for which it could not allot memory; the next one may fit.
    raise MemoryError(said) if _NO_MEMORY in said else RuntimeError(said)


def _server(card: ModelCard, threads: int, path: Path) -> Server:
    import xllamacpp  # noqa: PLC0415

    try:
        return xllamacpp.Server(_parameters(card, threads, path))
    except RuntimeError as error:
        reason = "it is damaged, of a kind unknown to llama.cpp, or there was no memory for it"
        raise _refuse(card.path, f"{reason}; the log says which") from error


def _parameters(card: ModelCard, threads: int, path: Path) -> CommonParams:
    import xllamacpp  # noqa: PLC0415

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(card.path)
    parameters.embedding = True
    parameters.pooling_type = getattr(
        xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{card.fingerprint.pooling.upper()}"
    )
    parameters.n_ctx = card.max_tokens
    parameters.n_ubatch = parameters.n_batch = max(_COMPUTED_TOKENS, card.max_tokens)
    for processor in (parameters.cpuparams, parameters.cpuparams_batch):
        processor.n_threads, processor.poll = threads, 0
    parameters.n_gpu_layers = parameters.cache_ram_mib = 0
    parameters.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_MMAP
    parameters.no_extra_bufts = True
    parameters.fit_params = parameters.warmup = False
    parameters.hostnames = [str(path)]
    parameters.n_threads_http = 1
    parameters.ui = parameters.endpoint_slots = False
    parameters.verbosity = _ERRORS
    return parameters


def _max_tokens(spec: ModelSpec, file: Path, head: Values) -> int:
    context = _number(file, head, "context_length")
    if spec.max_tokens > context:
        message = f"{spec} asks for {spec.max_tokens} tokens and the model has {context} positions"
        raise InvalidRequest(message)
    return spec.max_tokens or min(context, DEFAULT_TOKENS)


def _pooling(spec: ModelSpec, file: Path, head: Values, family: Family) -> str:
    kind = _own(head, "pooling_type")
    if kind == _RERANKER:
        raise _refuse(file, "it ranks pairs of texts and embeds none")
    own = _POOLINGS.get(kind) if isinstance(kind, int) else None
    return spec.pooling or own or family.pooling


def _dtype(head: Values) -> str:
    kind = head.get("general.file_type")
    return _DTYPES.get(kind, f"type{kind}") if isinstance(kind, int) else "unknown"


def _private(file: Path, head: Values, max_tokens: int) -> int:
    entries = int(head.get("tokenizer.ggml.tokens", 0))
    width = _number(file, head, "embedding_length")
    layers = (
        _number(file, head, "block_count") if _own(head, "attention.causal") is not False else 0
    )
    a_token = _PER_LOGIT * entries + width * (_PER_NUMBER + _PER_CACHED * layers)
    return _LIBRARY + _PER_ENTRY * entries + max_tokens * a_token


def _number(file: Path, head: Values, key: str) -> int:
    number = _own(head, key)
    if not isinstance(number, int) or not 0 < number <= _MOST:
        raise _refuse(file, f"its {key} is {number!r}")
    return number


def _own(head: Values, key: str) -> int | float | bool | str | None:
    """Return what the head says under the architecture's own name."""
    return head.get(f"{head.get('general.architecture')}.{key}")


def _require_file(path: Path) -> Path:
    if (file := model_file(path)) is None:
        raise _refuse(path, f"there is no {PREFERRED}, nor just one other *.gguf")
    return file


def _refuse(path: Path, reason: str) -> ModelLoadError:
    way_out = "give a GGUF file of a text embedding model"
    return ModelLoadError(f"cannot load a GGUF model from {path}: {reason}; {way_out}")
