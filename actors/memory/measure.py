"""What this node has, and what a process can give back to it."""

from __future__ import annotations

import contextlib
import ctypes
import sys

import psutil

from actors.memory.budget import NodeMemory
from actors.memory.watchdog.cgroup import own_group

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Of mallopt(3)."""
_LARGEST_THRESHOLD, _NEVER = 32 << 20, (1 << 31) - 1
"""Bytes: the most that mallopt(3) takes for mapping, and what its `int` can hold."""
_MADV_DONTNEED = 4
"""Of madvise(2). What was written to a private mapping would be lost: those are left out."""


def node_memory() -> NodeMemory:
    """Measure the memory that the calling process can share in: the machine's, or its cgroup's."""
    physical = psutil.virtual_memory()
    total, available, source = physical.total, physical.available, "physical memory"
    own = own_group()
    for group in own.with_ancestors() if own else []:
        limit, free = group.limit(), group.free()
        if limit is not None and limit < total:
            total, source = limit, f"cgroup v{group.version} limit"
        if free is not None:
            available = min(available, free)
    return NodeMemory(total, available, source)


def tame_allocator() -> None:
    """Have glibc map large blocks one by one and keep few arenas, so that freed memory goes back.

    Left to itself it raises the size from which it maps to that of the largest block freed, up to
    32 MB: unloading an 80 MB GGUF model left 31% more than before its load, with this 1%.

    Where Arrow is imported already, it allocates through glibc too: its own allocator kept 30 MB
    of a host's searches on disk that `give_back` did not get.
    """
    if "pyarrow" in sys.modules:
        arrow = sys.modules["pyarrow"]
        arrow.set_memory_pool(arrow.system_memory_pool())
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 20)
        libc.mallopt(_M_ARENA_MAX, 2)


def let_allocator_keep() -> None:
    """Have glibc keep what is freed, undoing `tame_allocator`: where nothing is given back anyway.

    Mapping and clearing each activation anew costs vLLM on CPU a fifth of its throughput.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def give_back() -> None:
    """Return freed memory to the system: glibc and Arrow keep what a large batch needed."""
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def give_back_files() -> None:
    """Let go of pages of files that are only read, as libraries' code is; they come back when used.

    They lie in the system's cache, so that this costs faults and no reading: of ONNX Runtime some
    20 MB are touched by a model, and counted as this process's until it ends.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for start, size in _clean_mappings():
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _MADV_DONTNEED)


def _clean_mappings() -> list[tuple[int, int]]:
    """Return address and size of this process's mappings of files that nobody has written to."""
    found = []
    for mapping in psutil.Process().memory_maps(grouped=False):
        is_file = mapping.path.startswith("/") and not mapping.path.startswith("/dev/")
        is_written = "w" in mapping.perms or mapping.anonymous or mapping.swap
        if is_file and not is_written:
            start, end = (int(edge, 16) for edge in mapping.addr.split("-"))
            found.append((start, end - start))
    return found
