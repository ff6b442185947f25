"""Packages as the registries hand them out, read without being installed.

Wheels and Debian packages are fetched once into a folder by `pip` and `apt-get`, and then read as
they are: `files_of` yields the texts inside.
"""

from __future__ import annotations

import gzip
import io
import logging
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

logger = logging.getLogger("shoal.training")

TRANSLATIONS = "translations"
"""Named as a Debian package: the descriptions of all packages."""

_MOST_BYTES = 400_000  # of one file: longer ones are generated, or data
_NAMES_AT_ONCE = 24
_NESTED = "src.zip"  # the Java runtime's source

File = tuple[str, str]
"""A path inside the package, and the text."""


def read_sources(file: Path) -> dict[str, list[str]]:
    """Read the names to fetch, by registry: "pypi" and "debian"."""
    names: dict[str, list[str]] = {"pypi": [], "debian": []}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            registry, name = line.split()
            names[registry].append(name)
    return names


def fetch(names: dict[str, list[str]], folder: Path) -> list[Path]:
    """Fetch what is not there yet, and return every archive.

    A package that cannot be had is told about and left out.
    """
    wheels, packages = folder / "pypi", folder / "debian"
    for place in (wheels, packages):
        place.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    pip += ["--disable-pip-version-check", "--dest", str(wheels.resolve())]
    _fetch_missing(pip, names["pypi"], wheels)
    debian = [name for name in names["debian"] if name != TRANSLATIONS]
    _fetch_missing(["apt-get", "download", "--quiet=2"], debian, packages)
    if TRANSLATIONS in names["debian"]:
        _fetch_translations(packages)
    return sorted([*wheels.glob("*.whl"), *packages.glob("*.deb")])


def name_of(archive: Path) -> str:
    """Return the package's name, in small letters."""
    first = archive.name.partition("-" if archive.suffix == ".whl" else "_")[0]
    return first.lower().replace("_", "-")


def files_of(archive: Path) -> Iterator[File]:
    """Yield the text files of a wheel or a Debian package that are not too large."""
    if archive.suffix == ".whl":
        yield from _files_of_zip(archive)
        return
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as unpacking,  # noqa: S603
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as members,
    ):
        for member in members:
            content = members.extractfile(member) if member.isreg() else None
            if content is None:
                continue
            if member.name.endswith(_NESTED):
                yield from _files_of_zip(io.BytesIO(content.read()))
            elif member.size <= _MOST_BYTES:
                yield _text(member.name, content.read())


def _files_of_zip(archive: Path | io.BytesIO) -> Iterator[File]:
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            if not member.is_dir() and member.file_size <= _MOST_BYTES:
                yield _text(member.filename, members.read(member))


def _text(path: str, content: bytes) -> File:
    if path.endswith(".gz"):
        path = path.removesuffix(".gz")
        try:
            content = gzip.decompress(content)[:_MOST_BYTES]
        except (OSError, EOFError):
            content = b""
    return path, content.decode("utf-8", errors="replace").replace("\r\n", "\n")


def _fetch_missing(command: Sequence[str], names: Sequence[str], folder: Path) -> None:
    """Run the client over several names at once, and one by one where one of them fails."""
    there = {name_of(archive) for archive in folder.iterdir()}
    missing = [name for name in names if name.partition("==")[0].lower() not in there]
    for start in range(0, len(missing), _NAMES_AT_ONCE):
        batch = missing[start : start + _NAMES_AT_ONCE]
        if not _run([*command, *batch], folder):
            for name in batch:
                if not _run([*command, name], folder):
                    logger.warning("left out  %s: it cannot be fetched", name)


def _run(command: Sequence[str], folder: Path) -> bool:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True)  # noqa: S603
    return done.returncode == 0


def _fetch_translations(folder: Path) -> None:
    """Fetch the package lists with English descriptions, beside the machine's own."""
    lists = folder.resolve() / TRANSLATIONS
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    options = [f"-oDir::State::Lists={lists}", "-oAcquire::Languages=en"]
    options += ["-oAcquire::GzipIndexes=false", "-oAPT::Sandbox::User=root"]
    if not any(lists.glob("*Translation-en")):
        _run(["apt-get", *options, "--quiet=2", "update"], folder)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a Debian package into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)  # noqa: S603, S607
