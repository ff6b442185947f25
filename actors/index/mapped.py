"""Arrays of a segment, mapped from their files: only what is looked at takes memory."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def load_array(path: Path) -> NDArray[Any]:
    """Map a `.npy` file into memory."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an empty array cannot be mapped
        array = np.load(path, allow_pickle=False)
    return array.view(np.ndarray)  # slicing np.memmap itself costs several times as much


def let_go(array: NDArray[Any]) -> None:
    """Give back the pages of a mapped array that this process holds; they can be read again.

    The file's pages stay in the system's cache for as long as there is room.
    """
    pages = getattr(array.base, "_mmap", None)
    if isinstance(pages, mmap.mmap) and hasattr(pages, "madvise"):
        pages.madvise(mmap.MADV_DONTNEED)
