"""From a model's name to its files, its engine and its vector space."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from actors.engines.base import (
    Engine,
    EngineModule,
    Fingerprint,
    Loaded,
    ModelCard,
    OnProgress,
    Task,
    silent,
)
from actors.engines.spec import BUILTIN as BUILTIN_REFERENCE
from actors.engines.spec import ModelSpec, parse
from actors.errors import InvalidRequest, ModelLoadError

if TYPE_CHECKING:
    from actors.engines.hub import Snapshot

BUILTIN = f"static:{BUILTIN_REFERENCE}"
_BUILTIN_FOLDER = Path(__file__).parent / "builtin"

# In the order in which they are tried: what runs everywhere first, then what is smallest.
_TRIED = ("static", "onnx", "gguf", "vllm")
# Those whose library is an extra of the package.
_EXTRAS = ("gguf", "vllm")
# The order for a repository, where static and vLLM both come as safetensors.
_DOWNLOADED = ("onnx", "gguf", "vllm")

# What a repository's name stood for when this process first asked: it stands for that to the end.
_snapshots: dict[ModelSpec, Snapshot] = {}


def describe(
    model: str,
    on_progress: OnProgress = silent,
    offline: bool = False,
    task: Task | None = None,
) -> ModelCard:
    """Find a model's files, downloading them where they are not here, and read what they say.

    Args:
        model: Its name; see `actors/engines/spec.py`.
        on_progress: Told how far a download is.
        offline: Download nothing.
        task: What the model has to be for, or None for whatever it is for.

    Returns:
        The card, whose spec names the engine and the commit that were found.

    Raises:
        InvalidRequest: The name is none, or asks for something that the model cannot do.
        ModelLoadError: The files cannot be had, or no engine can load them.
    """
    spec, path = _located(parse(model), on_progress, offline)
    spec = replace(spec, engine=spec.engine or _engine_of(path))
    card = _module(spec.engine).describe(spec, path)
    if task is not None:
        check_task(model, card.fingerprint, task)
    return card


def check_task(model: str, fingerprint: Fingerprint, task: Task) -> None:
    """Raise where a model is not for what it is to do.

    Raises:
        InvalidRequest: It embeds and is to score, or the other way round.
    """
    if fingerprint.task == task:
        return
    message = (
        f"{model} is a cross-encoder, which scores pairs of texts and makes no vectors; name an "
        "embedding model here, and this one as SHOAL_RERANKER"
        if task == "embed"
        else f"{model} is an embedding model, which makes vectors and scores no pairs of texts; "
        "set SHOAL_RERANKER to a cross-encoder: its config.json tells of an architecture "
        "…ForSequenceClassification with one label"
    )
    raise InvalidRequest(message)


def locate(model: str) -> Path:
    """Return where a model's files lie on this machine, unread.

    Raises:
        InvalidRequest: The name is none.
        ModelLoadError: They are not here.
    """
    _, path = _located(parse(model), silent, offline=True)
    return path


def open_engine(card: ModelCard, threads: int = 1, on_progress: OnProgress = silent) -> Engine:
    """Load an embedding model; see `open_model`.

    Raises:
        InvalidRequest: The model is a cross-encoder.
    """
    check_task(str(card.spec), card.fingerprint, "embed")
    return cast("Engine", open_model(card, threads, on_progress))


def open_model(card: ModelCard, threads: int = 1, on_progress: OnProgress = silent) -> Loaded:
    """Load the model, whatever it is for; computations use `threads` threads.

    Raises:
        ModelLoadError: The files cannot be loaded, or the engine's library is not installed.
        MemoryError: There was no memory for it.
    """
    engine = card.spec.engine
    try:
        return _module(engine).open_model(card, threads, on_progress)
    except ImportError as error:
        package = f"'shoal[{engine}]'" if engine in _EXTRAS else error.name
        message = f"the {engine} engine needs {error.name}: pip install {package}"
        raise ModelLoadError(message) from error


def import_libraries(model: str) -> None:
    """Import what a model's engine computes with; where it is missing, `open_model` says so."""
    engine = parse(model).engine
    for library in _module(engine).LIBRARIES if engine else ():
        with contextlib.suppress(ImportError):
            import_module(library)


def _located(spec: ModelSpec, on_progress: OnProgress, offline: bool) -> tuple[ModelSpec, Path]:
    if spec.reference == BUILTIN_REFERENCE:
        return replace(spec, engine=spec.engine or "static"), _BUILTIN_FOLDER
    if spec.is_local:
        return spec, Path(spec.reference).expanduser()
    from actors.engines import hub  # noqa: PLC0415 - few processes download

    snapshot = _snapshots.get(spec)
    if snapshot is None or not snapshot.folder.is_dir():
        needed = (spec.engine,) if spec.engine else _DOWNLOADED
        patterns = {engine: _module(engine).HUB_PATTERNS for engine in needed}
        snapshot = hub.download(spec, patterns, on_progress, offline)
        _snapshots[spec] = snapshot
    return replace(spec, revision=snapshot.revision), snapshot.folder


def _engine_of(path: Path) -> str:
    for engine in _TRIED:
        if _module(engine).holds(path):
            return engine
    message = (
        f"no engine can load {path}: looked for a folder that model2vec saved (static), an .onnx "
        "file beside a tokenizer.json (onnx), one .gguf file (gguf), and a transformer's "
        "config.json with .safetensors (vllm); name the folder or the file that holds one of these"
    )
    raise ModelLoadError(message)


def _module(engine: str) -> EngineModule:
    return cast("EngineModule", import_module(f"actors.engines.{engine}"))
