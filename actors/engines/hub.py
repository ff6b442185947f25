"""Model files from a hub: which of a repository's files are needed, and how they get here.

They lie in huggingface_hub's own cache, which other programs share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import httpx2
from huggingface_hub import HfApi, get_cached_repo_tree, scan_cache_dir, snapshot_download
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    CacheNotFound,
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import tqdm

from actors.engines.base import OnProgress, silent
from actors.engines.spec import ModelSpec
from actors.errors import ModelLoadError

# Of weights that a repository holds in several forms, the first that is there is taken.
_FORMS: Mapping[str, Sequence[str]] = {
    ".onnx": ("model_quantized.onnx", "model_int8.onnx", "model.onnx"),
    ".gguf": ("*[qQ]8_0.gguf", "*[fF]16.gguf"),
}
_WEIGHTS = (*_FORMS, ".safetensors")
_FAILURES = (
    CachedRepoTreeNotFoundError,
    HFValidationError,
    OSError,
    RevisionResolutionError,
    httpx2.HTTPError,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One commit of a repository, in the cache.

    Attributes:
        folder: Where its files are.
        revision: The commit.
    """

    folder: Path
    revision: str


def download(
    spec: ModelSpec,
    patterns: Mapping[str, Sequence[str]],
    on_progress: OnProgress = silent,
    offline: bool = False,
) -> Snapshot:
    """Bring the files of a repository into the cache, those that are there already excepted.

    Args:
        spec: Names the repository and perhaps a revision.
        patterns: Globs of the files that an engine needs, by engine. If the spec names no engine,
            the first for which the repository has weights counts.
        on_progress: Told the bytes of the phase "downloading".
        offline: Take what is in the cache, as with HF_HUB_OFFLINE=1.

    Raises:
        ModelLoadError: The files cannot be had; the message says where to put them by hand.
    """
    engines = {spec.engine: patterns[spec.engine]} if spec.engine else patterns
    try:
        revision = HfApi().resolve_revision(
            spec.reference, revision=spec.revision or None, local_files_only=offline
        )
        sizes = _sizes(spec.reference, revision, offline)
        chosen = choose(sizes, engines)
        if not chosen:
            raise _refuse(spec, engines, "the repository has no such files")
        folder = snapshot_download(
            spec.reference,
            revision=revision,
            allow_patterns=chosen,
            local_files_only=offline,
            tqdm_class=_bar(on_progress, sum(sizes[name] for name in chosen)),
        )
    except _FAILURES as error:
        raise _refuse(spec, engines, _reason(error)) from error
    return Snapshot(Path(folder), Path(folder).name)


def choose(names: Iterable[str], engines: Mapping[str, Sequence[str]]) -> list[str]:
    """Pick the files to download, for the first engine that the repository has weights for.

    Args:
        names: All its files.
        engines: Globs of the files that an engine needs, by engine; "*" matches "/" too.
    """
    for patterns in engines.values():
        wanted = [name for name in names if any(fnmatch(name, p) for p in patterns)]
        if any(name.endswith(_WEIGHTS) for name in wanted):
            return sorted(_one_form(wanted))
    return []


def cached_models() -> tuple[str, ...]:
    """Return the names of the models that were downloaded, as `repository` or with `@revision`."""
    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return ()
    return tuple(
        repository.repo_id if "main" in revision.refs else f"{repository.repo_id}@{name}"
        for repository in sorted(repositories, key=lambda repository: repository.repo_id)
        for revision in repository.revisions
        for name in [min(revision.refs, default=revision.commit_hash)]
        if any(file.file_name.endswith(_WEIGHTS) for file in revision.files)
    )


def _one_form(names: Sequence[str]) -> Iterator[str]:
    """Leave out the weights of all forms but the best, with the data files that belong to them."""
    for suffix, forms in _FORMS.items():
        weights = sorted((n for n in names if n.endswith(suffix)), key=lambda n: (n.count("/"), n))
        fitting = (n for form in forms for n in weights if PurePosixPath(n).match(form))
        best = next(fitting, weights[0] if weights else "")
        left_out = tuple(name for name in weights if name != best)
        names = [n for n in names if n.startswith(best) or not n.startswith(left_out)]
    yield from names


def _sizes(repository: str, revision: str, offline: bool) -> dict[str, int]:
    """Return the bytes of each file of a commit."""
    try:
        files = get_cached_repo_tree(repository, revision=revision)
    except CachedRepoTreeNotFoundError:
        if offline:
            raise
        tree = HfApi().list_repo_tree(repository, recursive=True, revision=revision)
        files = [entry for entry in tree if isinstance(entry, RepoFile)]
    return {file.path: file.size for file in files}


def _bar(on_progress: OnProgress, total: int) -> type[tqdm]:
    """Return a progress bar that shows nothing and tells how many bytes are written."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - tqdm's own
            self._written = 0
            self._counts = str(kwargs.get("desc")).startswith("Reconstructing")
            super().__init__(*args, **kwargs | {"disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            if self._counts:
                self._written += int(n or 0)
                on_progress("downloading", min(self._written, total), total)

    return Bar


def _reason(error: Exception) -> str:
    if isinstance(error, GatedRepoError):
        return "its owner lets in only those who accepted the terms; accept them and set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such repository, or it is private and HF_TOKEN is not set"
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision"
    return f"the hub cannot be reached and the cache lacks it ({type(error).__name__}: {error})"


def _refuse(spec: ModelSpec, engines: Mapping[str, Sequence[str]], reason: str) -> ModelLoadError:
    files = " or ".join(f"{', '.join(patterns)} ({name})" for name, patterns in engines.items())
    revision = f"@{spec.revision}" if spec.revision else ""
    engine = spec.engine or next(iter(engines))
    return ModelLoadError(
        f"cannot download {spec.reference}{revision}: {reason}; or copy its files {files} to a "
        f"folder and name that folder, as in {engine}:/path/to/{PurePosixPath(spec.reference).name}"
    )
