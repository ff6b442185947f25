"""Files of other programs: read and replaced whole, with their line ends, mode and links."""

from __future__ import annotations

import codecs
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from actors.errors import InvalidRequest

_NEW_FILE_MODE = 0o666  # less what the user's umask takes away


@dataclass(frozen=True, slots=True)
class Edit:
    """What becomes of a file; None is no file.

    Attributes:
        file: Its path.
        before: What it holds now.
        after: What it is to hold.
    """

    file: Path
    before: bytes | None
    after: bytes | None

    @classmethod
    def of_text(cls, file: Path, before: bytes | None, text: str) -> Edit:
        """Return the edit that gives a file a text, encoded as what the file holds now."""
        after = text.encode()
        if _is_dos(before or b""):
            after = after.replace(b"\n", b"\r\n")
        if (before or b"").startswith(codecs.BOM_UTF8):
            after = codecs.BOM_UTF8 + after
        return cls(file, before, after)

    def carry_out(self) -> None:
        """Replace the file in one step; where it is a link, what it points to.

        Raises:
            InvalidRequest: It was changed since it was read, or cannot be written.
        """
        if self.before == self.after:
            return
        target = self.file.resolve()
        if bytes_of(target) != self.before:
            message = f"another program has just changed {self.file}; run this again"
            raise InvalidRequest(message)
        try:
            if self.after is None:
                target.unlink()
            else:
                _replace(target, self.after)
        except OSError as error:
            message = f"{self.file} cannot be written ({error.strerror}); --print shows what to add"
            raise InvalidRequest(message) from error


def bytes_of(file: Path) -> bytes | None:
    """Return what a file holds, or None where there is none.

    Raises:
        InvalidRequest: It cannot be read.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"{file} cannot be read ({error.strerror}); --print shows what to add to it"
        raise InvalidRequest(message) from error


def text_of(content: bytes) -> str:
    """Return a file's text, without a byte order mark and with the line ends of Unix.

    Raises:
        ValueError: It is not UTF-8.
    """
    text = content.decode("utf-8-sig")
    return text.replace("\r\n", "\n") if _is_dos(content) else text


def _is_dos(content: bytes) -> bool:
    return b"\r\n" in content and content.count(b"\r\n") == content.count(b"\n")


def _replace(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        made = os.open(partial, flags, _NEW_FILE_MODE if mode is None else mode & 0o600)
        with os.fdopen(made, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            partial.chmod(mode)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
