"""Where settings come from: flags, then the environment, then a file, then their defaults.

    # ~/.config/shoal/shoal.toml, or the file that --config or SHOAL_CONFIG names
    root = "s3://bucket/shoal"
    hosts = 4
    embedder_memory = "2GiB"

All three are read by one schema, `cluster/settings.py`, and know the same names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from actors.errors import InvalidRequest

CONFIG_VARIABLE = "SHOAL_CONFIG"
"""Names the file; empty for none at all."""
PREFIX = "SHOAL_"


def usual_file() -> Path:
    """Return where the file of this user lies, if there is one."""
    return Path(platformdirs.user_config_dir("shoal")) / "shoal.toml"


def config_file() -> Path | None:
    """Return the file that is read, or None where there is none.

    Raises:
        InvalidRequest: The file that was named is not there.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named is None:
        return usual_file() if usual_file().is_file() else None
    if not named:
        return None
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        message = f"the settings file {path} is not there; write it, or unset {CONFIG_VARIABLE}"
        raise InvalidRequest(message)
    return path


def read_file(known: Iterable[str]) -> dict[str, Any]:
    """Return what the file sets; the values are checked where the settings are made.

    Raises:
        InvalidRequest: It cannot be read, is not TOML, or sets something that is no setting.
    """
    path = config_file()
    if path is None:
        return {}
    import tomllib  # noqa: PLC0415 - 8 ms, and most have no file

    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        message = f"the settings file {path} cannot be read: {error}"
        raise InvalidRequest(message) from error
    known = tuple(known)
    for name in found:
        if name not in known:
            message = f"{path}: {unknown(name, known)}"
            raise InvalidRequest(message)
    return _with_the_right_root(path, found)


def parse_flag(given: str, known: Iterable[str], secret: Iterable[str]) -> tuple[str, str]:
    """Return the setting and the value of a flag's NAME=VALUE.

    Args:
        given: As it was typed.
        known: The names of all settings.
        secret: Those that no command line may hold, because every user of the machine can read it.

    Raises:
        InvalidRequest: It is not of that form, or there is no such setting.
    """
    known, (name, equals, value) = tuple(known), given.partition("=")
    name = name.strip().lower().replace("-", "_").removeprefix(PREFIX.lower())
    if not equals:
        message = f"--set takes NAME=VALUE, as in --set hosts=4, and not {given!r}"
        raise InvalidRequest(message)
    if name not in known:
        raise InvalidRequest(unknown(name, known))
    if name in secret:
        message = (
            f"{name} is a secret, and whoever is on this machine can read a command line; set "
            f"{PREFIX}{name.upper()}, or write it into the settings file"
        )
        raise InvalidRequest(message)
    return name, value


def unknown(name: str, known: Iterable[str]) -> str:
    """Say that there is no such setting, and which one may have been meant."""
    near = _nearest(name, tuple(known), likeness=0.6)
    meant = f"did you mean {near!r}?" if near else "`shoal config` lists those that there are"
    return f"{name!r} is not a setting; {meant}"


def misspelt(environment: Mapping[str, str], known: Iterable[str]) -> dict[str, str]:
    """Return variables that look like settings and are none, with the one that may be meant.

    They are not refused: a cluster that calls a service "shoal" makes such variables of its own.
    """
    names = [f"{PREFIX}{name.upper()}" for name in known]
    strange = (v for v in environment if v.startswith(PREFIX) and v not in names)
    near = {variable: _nearest(variable, names, likeness=0.85) for variable in strange}
    return {variable: found for variable, found in near.items() if found}


def _nearest(name: str, known: Sequence[str], likeness: float) -> str:
    """Return the name that is most like another, from a likeness of 0 to 1 on, or ""."""
    from difflib import get_close_matches  # noqa: PLC0415 - 14 ms, and mostly nothing is misspelt

    return next(iter(get_close_matches(name, known, n=1, cutoff=likeness)), "")


def _with_the_right_root(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Return the settings; a relative root would be another in each folder one is in."""
    root = found.get("root")
    if isinstance(root, str) and "://" not in root and not Path(root).expanduser().is_absolute():
        message = f"{path}: root is {root!r}; write it in full, or begin it with ~"
        raise InvalidRequest(message)
    return found
