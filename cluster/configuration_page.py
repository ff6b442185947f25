"""`docs/configuration.md`, made from the schema of the settings: `shoal config --docs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from cluster.configuration import CONFIG_VARIABLE, PREFIX
from cluster.settings import Settings

_HEAD = f"""\
# Configuration

*Made by `make docs` from `cluster/settings.py`; a test holds the two together.*

A setting is taken from the first of these that has it:

1. a flag: `--set NAME=VALUE` on any command, as in `shoal serve --set hosts=4`; `--root` and
   `--url` are short for theirs;
2. the environment: `{PREFIX}<NAME>`, as in `{PREFIX}HOSTS=4`;
3. a file, `shoal.toml`: the one that `--config` or `{CONFIG_VARIABLE}` names (`{CONFIG_VARIABLE}=`
   reads none), else that in the user's folder for configuration (`~/.config/shoal` on Linux,
   `~/Library/Application Support/shoal` on macOS, `%LOCALAPPDATA%\\shoal\\shoal` on Windows);
4. its default.

A file is flat TOML:

    root = "s3://bucket/shoal"
    hosts = 4
    embedder_memory = "2GiB"

What is no setting is refused, in a file and behind `--set`, with the nearest name that is one.
Secrets are not taken from `--set`: whoever is on a machine can read its command lines.
`shoal config` prints what is in force and where each value comes from, secrets masked, and names
variables that look misspelt; `shoal doctor` warns of those too, and of a file with a token in it
that others can read.

A gateway that a command starts has that command's settings. One that runs keeps its own; `shoal
down` ends it.

| setting | value | default | what it is for |
|---|---|---|---|
"""
_FACTORIES = {"root": "the user's folder for data, as `~/.local/share/shoal`"}
"""Defaults that are found out from the machine, in words."""
_SIZE = "size, as `2GiB`"
_KINDS: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    SecretStr: "secret",
    ByteSize: _SIZE,
}
_BOUNDS = {"ge": "from {}", "gt": "over {}", "le": "up to {}", "lt": "below {}"}


def page() -> str:
    """Return the page."""
    rows = (_row(name, field) for name, field in Settings.model_fields.items())
    return _HEAD + "\n".join(rows) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    said = (field.description or "").replace("|", "\\|")
    return f"| `{name}` | {_value(field)} | {_default(name, field)} | {said} |"


def _value(field: FieldInfo) -> str:
    kind: Any = field.annotation
    choices = get_args(kind)
    if ByteSize in choices:
        return _SIZE
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    return " ".join((_KINDS[kind], *_bounds(field)))


def _bounds(field: FieldInfo) -> Iterator[str]:
    for constraint in field.metadata:
        for name, words in _BOUNDS.items():
            if hasattr(constraint, name):
                yield words.format(getattr(constraint, name))


def _default(name: str, field: FieldInfo) -> str:
    if name in _FACTORIES:
        return _FACTORIES[name]
    if field.default is None:
        return "found out"
    if isinstance(field.default, SecretStr) or field.default == "":
        return "none"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default}`"
