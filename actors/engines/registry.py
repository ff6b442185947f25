"""Model names to engines: `engine:reference`, as in `static:builtin` or `static:/models/mine`."""

from __future__ import annotations

from pathlib import Path

from actors.engines.base import Engine, Fingerprint
from actors.engines.static import StaticEngine
from actors.engines.static import fingerprint as static_fingerprint
from actors.errors import InvalidRequest

BUILTIN = "static:builtin"
_BUILTIN_FOLDER = Path(__file__).parent / "builtin"


def open_engine(model: str) -> Engine:
    """Load the model.

    Raises:
        InvalidRequest: The name is not `static:<folder>` or `static:builtin`.
        ModelLoadError: The folder does not hold such a model.
    """
    return StaticEngine(_folder(model))


def fingerprint(model: str) -> Fingerprint:
    """Return what tells this model's vectors from any other's, without loading it."""
    return static_fingerprint(_folder(model))


def _folder(model: str) -> Path:
    engine, _, reference = model.partition(":")
    if engine != "static" or not reference:
        message = f"unknown model {model!r}; take {BUILTIN} or static:<folder of a model2vec model>"
        raise InvalidRequest(message)
    return _BUILTIN_FOLDER if reference == "builtin" else Path(reference).expanduser()
