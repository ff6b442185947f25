"""Lets a test stop a process of a batch job at a named point, to kill it there.

Every process whose PYTHONPATH names this folder looks at each point for a file of the point's name
in the folder that SHOAL_TEST_PAUSES names. The first that finds it takes it, by renaming it to
`<point>.<pid>`, and stands still until that file is gone. Blocks and segments are small here, so
that little work has many of them.
"""

import functools
import importlib.abc
import importlib.util
import os
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["SHOAL_TEST_PAUSES"])
GIVE_UP_S = 120


def pause(point):
    mine = FOLDER / f"{point}.{os.getpid()}"
    try:
        (FOLDER / point).rename(mine)
    except FileNotFoundError:
        return
    give_up = time.monotonic() + GIVE_UP_S
    while mine.exists() and time.monotonic() < give_up:
        time.sleep(0.01)


def paused(work, before="", after=""):
    @functools.wraps(work)
    def wrapped(*args, **kwargs):
        if before:
            pause(before)
        try:
            return work(*args, **kwargs)
        finally:
            if after:
                pause(after)

    return wrapped


def patch_pipeline(module):
    module.BLOCK_FILES = 8
    module._cut_block = paused(module._cut_block, before="read")
    module.write_segment = paused(module.write_segment, after="write")


def patch_jobs(module):
    module.SEGMENT_ROWS = 20


def patch_batch(module):
    module.WRITE_ROWS = 20
    module.Embedding.__call__ = paused(module.Embedding.__call__, before="embed")


def patch_compact(module):
    module.merge_segments = paused(module.merge_segments, after="index")


def patch_comparison(module):
    module.publish_change = paused(module.publish_change, before="publish", after="published")


PATCHES = {
    "cluster.ingest.pipeline": patch_pipeline,
    "cluster.jobs": patch_jobs,
    "cluster.batch": patch_batch,
    "cluster.compact": patch_compact,
    "cluster.comparison": patch_comparison,
}


class Patching(importlib.abc.MetaPathFinder):
    """Patches modules when they are imported: Ray must not be, before its settings are known."""

    def find_spec(self, name, path, target=None):
        patch = PATCHES.pop(name, None)
        if patch is None:
            return None
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Patching())
