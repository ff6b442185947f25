"""An engine that says it needs next to nothing, and then does what its model's file is named after.

A file `load-arrays` takes memory by arrays while it loads, `embed-objects` by objects when it
embeds a text that says "boom"; `load-hold` lets nothing else in its process run until somebody
opens the pipe `proceed` beside it for writing; `load-wait` waits for a file `proceed`, and so does
`embed-wait` over a text that ends with "wait". Each load writes a line into `loads` beside it, each
call that embeds one into `embedded`.
"""

import ctypes
import mmap
import os
import subprocess
import sys
import time

import numpy as np

from actors.engines.base import Fingerprint, Footprint, ModelCard

HUB_PATTERNS = ()
LIBRARIES = ()
MOST_BYTES = 1200 << 20
"""Where nothing stops it: three times the limits of the tests."""
PIECE = 8 << 20
GIVE_UP_S = 60
ALLOCATE = f"""
import time
held = [b"x" * {PIECE} for _ in range({MOST_BYTES // 4 // PIECE})]
time.sleep({GIVE_UP_S})
"""


def holds(path):
    return False


def describe(spec, path):
    fingerprint = Fingerprint("lying", str(path), "float32", "none", "", "", 2)
    return ModelCard(spec, path, fingerprint, 10, Footprint(0, 1 << 20))


def open_model(card, threads, on_progress):
    note(card.path, "loads", str(os.getpid()))
    return Lying(card.path, on_progress)


class Lying:
    dimension = 2
    batch_tokens = 1024

    def __init__(self, path, on_progress):
        self._path = path
        self._when, _, self._how = path.name.partition("-")
        self._held = []
        if self._when == "load" and self._how not in ("wait", "hold"):
            self._take()
        if path.name == "load-wait":
            on_progress("waiting for the test", 1, 2)
            wait_for(path.parent / "proceed")
        if path.name == "load-hold":
            on_progress("reading a tokenizer", 1, 2)
            pipe = os.fsencode(path.parent / "proceed")
            ctypes.PyDLL(None).open(pipe, os.O_RDONLY)  # PyDLL's calls keep the interpreter's lock

    def embed(self, texts, kind, _counts=None):
        if self._when == "embed" and "boom" in texts:
            self._take()
        if self._when == "embed" and any(text.endswith("wait") for text in texts):
            note(self._path, "waiting", str(os.getpid()))
            wait_for(self._path.parent / "proceed")
        note(self._path, "embedded", str(len(texts)))
        return np.tile(np.array([1, 0], np.float32), (len(texts), 1))

    def drop_caches(self):
        pass

    def close(self):
        self._held.clear()

    def _take(self):
        if (self._path.parent / "behave").exists():
            return
        getattr(self, f"_{self._how}")()
        time.sleep(GIVE_UP_S)
        raise AssertionError("nothing stopped it")

    def _arrays(self):
        for _ in range(MOST_BYTES // PIECE):
            self._held.append(np.ones(PIECE // 8))

    def _objects(self):
        self._held.extend(bytes(40) for _ in range(MOST_BYTES // 80))

    def _mapped(self):
        file = self._path.parent / "weights.bin"
        with file.open("wb") as out:
            for _ in range(MOST_BYTES // 2 // PIECE):
                out.write(b"w" * PIECE)
        with file.open("rb") as weights:
            mapped = mmap.mmap(weights.fileno(), 0, prot=mmap.PROT_READ)
        self._held.append(mapped)
        give_up = time.monotonic() + GIVE_UP_S
        while time.monotonic() < give_up:  # as every batch reads all weights
            sum(mapped[offset] for offset in range(0, len(mapped), mmap.PAGESIZE))

    def _children(self):
        self._held += [subprocess.Popen([sys.executable, "-c", ALLOCATE]) for _ in range(4)]


def note(path, name, line):
    with (path.parent / name).open("a") as file:
        file.write(line + "\n")


def wait_for(path):
    give_up = time.monotonic() + GIVE_UP_S
    while not path.exists():
        assert time.monotonic() < give_up
        time.sleep(0.01)
