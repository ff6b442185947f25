"""Which files of its source a collection takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """Globs with the rules of `.gitignore` lines, relative to the source; true where there are any.

    They narrow what ignore files leave: what those exclude, no choice takes.

    Attributes:
        include: A file is taken if one of them matches it or a folder above it; empty takes all.
        exclude: It is taken only if none of these does.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether it leaves anything out."""
        return bool(self.include or self.exclude)

    def __str__(self) -> str:
        """Say what is taken: "only *.py, *.md, without tests/"; "" for everything."""
        only = f"only {', '.join(self.include)}" if self.include else ""
        without = f"without {', '.join(self.exclude)}" if self.exclude else ""
        return ", ".join(filter(None, (only, without)))


EVERYTHING = Choice()
