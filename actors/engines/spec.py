"""How a model is named: `engine:reference@revision?option=value&…`.

    static:builtin
    onnx:sentence-transformers/all-MiniLM-L6-v2@refs/pr/21
    /models/nomic-embed-text-v1.5.Q8_0.gguf?dimension=256
    onnx:/models/e5-small?query_prefix=query:%20&document_prefix=passage:%20

Where the engine is left out, it is found out from what the reference holds. One line names a model
everywhere: in settings, on the command line, in manifests.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, quote, urlencode

from actors.errors import InvalidRequest

ENGINES = ("static", "onnx", "gguf", "vllm")
Pooling = Literal["mean", "cls", "last", ""]
BUILTIN = "builtin"

_MOST_TOKENS = 131_072
_MOST_DIMENSIONS = 65_536
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as a user names it; what is empty is read from the model's files.

    Attributes:
        engine: One of `ENGINES`, or "" until it is found out.
        reference: "builtin", a folder, a file, or a hub repository.
        revision: Branch, tag or commit of a hub repository, or "" for its newest.
        pooling: How token vectors become one.
        query_prefix: Put before each query; None for the model's own.
        document_prefix: Put before each document; None for the model's own.
        max_tokens: Tokens read of one text, or 0 for the model's own limit.
        dimension: Numbers kept of each vector (Matryoshka), or 0 for all.
    """

    engine: str
    reference: str
    revision: str = ""
    pooling: Pooling = ""
    query_prefix: str | None = None
    document_prefix: str | None = None
    max_tokens: int = 0
    dimension: int = 0

    @property
    def is_local(self) -> bool:
        """Tell whether the reference is a path, and not a hub repository."""
        looks_local = self.reference.startswith(("/", "./", "../", "~")) or "\\" in self.reference
        return looks_local or Path(self.reference).expanduser().exists()

    def located(self) -> ModelSpec:
        """Return the same model for another process: a path is made absolute."""
        if not self.is_local or self.reference == BUILTIN:
            return self
        return replace(self, reference=os.path.abspath(os.path.expanduser(self.reference)))

    def __str__(self) -> str:
        """Return the one line that `parse` reads back as this."""
        head = f"{self.engine}:{self.reference}" if self.engine else self.reference
        if self.revision:
            head += f"@{self.revision}"
        chosen = {name: getattr(self, name) for name in _OPTIONS}
        given = {n: v for n, v in chosen.items() if v not in {"", 0, None} or _is_prefix(n, v)}
        return f"{head}?{urlencode(given, quote_via=quote)}" if given else head


_OPTIONS = tuple(
    f.name for f in fields(ModelSpec) if f.name not in ("engine", "reference", "revision")
)


def parse(model: str) -> ModelSpec:
    """Read a model's name.

    Raises:
        InvalidRequest: It names no reference, an option is unknown or its value is of no use.
    """
    head, _, query = model.strip().partition("?")
    engine, colon, reference = head.partition(":")
    if not colon or engine not in ENGINES:
        engine, reference = "", head
    if not reference:
        message = (
            f"{model!r} names no model; take static:builtin, or {'|'.join(ENGINES)}:<reference> "
            "with a folder, a file or a hub repository"
        )
        raise InvalidRequest(message)
    spec = ModelSpec(engine, reference)
    if not spec.is_local and "@" in reference:
        repository, _, revision = reference.partition("@")
        spec = replace(spec, reference=repository, revision=revision)
    if not spec.is_local and not _REPOSITORY.fullmatch(spec.reference):
        message = f"{spec.reference!r} is neither a path that exists nor a repository's name"
        raise InvalidRequest(message)
    return replace(spec, **_options(model, query))


def _options(model: str, query: str) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            message = f"{model!r}: there is no option {name!r}; take {', '.join(_OPTIONS)}"
            raise InvalidRequest(message)
        chosen[name] = _value(name, value)
    return chosen


def _value(name: str, value: str) -> str | int:
    if name == "pooling" and value not in get_args(Pooling):
        message = f"pooling {value!r} is unknown; take mean, cls or last"
        raise InvalidRequest(message)
    if name not in ("max_tokens", "dimension"):
        return value
    most = _MOST_TOKENS if name == "max_tokens" else _MOST_DIMENSIONS
    if not value.isdecimal() or not 1 <= int(value) <= most:
        message = f"{name} is {value!r}; take a number from 1 to {most}"
        raise InvalidRequest(message)
    return int(value)


def _is_prefix(name: str, value: object) -> bool:
    return name.endswith("_prefix") and value is not None
