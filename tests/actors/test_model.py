"""LazyModel: one load for all, failures that heal, unloading when nobody uses it."""

import asyncio
import threading

import numpy as np
import pytest

from actors.errors import ModelLoadError
from actors.model import FIRST_BACK_OFF_S, LazyModel, ModelState

NEVER, AT_ONCE = -1, 0


class Doubling:
    """A small real engine: the vector of a text is its length and its double."""

    dimension = 2
    closed = False

    def embed(self, texts, kind):
        return np.array([[len(t), 2 * len(t)] for t in texts], np.float32)

    def close(self):
        self.closed = True


class Loader:
    def __init__(self):
        self.engines = []
        self.proceed = threading.Event()
        self.proceed.set()
        self.failing = False

    def __call__(self):
        assert self.proceed.wait(10)
        if self.failing:
            raise MemoryError("no room")
        self.engines.append(Doubling())
        return self.engines[-1]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


async def engine_of(model):
    async with model.use() as engine:
        return engine


async def test_nothing_is_loaded_before_it_is_used():
    loader = Loader()
    model = LazyModel(loader, NEVER)
    assert model.state is ModelState.UNLOADED
    async with model.use() as engine:
        assert engine.embed(["ab"], "query").tolist() == [[2, 4]]
    assert (model.state, len(loader.engines)) == (ModelState.READY, 1)


async def test_concurrent_first_callers_share_one_load():
    loader = Loader()
    loader.proceed.clear()
    model = LazyModel(loader, NEVER)

    callers = [asyncio.create_task(engine_of(model)) for _ in range(64)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert model.state is ModelState.LOADING
    loader.proceed.set()
    engines = await asyncio.gather(*callers)
    assert len(loader.engines) == model.loads == 1
    assert set(map(id, engines)) == {id(loader.engines[0])}


async def test_a_caller_who_leaves_does_not_end_the_load_of_the_others():
    loader = Loader()
    loader.proceed.clear()
    model = LazyModel(loader, NEVER)

    leaving, staying = asyncio.create_task(engine_of(model)), asyncio.create_task(engine_of(model))
    await asyncio.sleep(0)
    leaving.cancel()
    loader.proceed.set()
    assert await staying is loader.engines[0]


async def test_a_failed_load_fails_its_waiters_and_is_tried_again_after_the_back_off():
    loader, clock = Loader(), Clock()
    loader.failing = True
    model = LazyModel(loader, NEVER, clock)
    with pytest.raises(ModelLoadError, match="no room") as first:
        async with model.use():
            pass
    assert first.value.retry_after_s == FIRST_BACK_OFF_S
    assert model.state is ModelState.FAILED
    loader.failing = False
    with pytest.raises(ModelLoadError, match="no room"):
        async with model.use():
            pass
    clock.now += FIRST_BACK_OFF_S
    async with model.use():
        assert model.state is ModelState.READY


async def test_an_idle_model_is_unloaded_and_loaded_again_when_needed():
    loader = Loader()
    model = LazyModel(loader, AT_ONCE)
    async with model.use() as engine:
        assert not engine.closed
    await asyncio.wait_for(_until(lambda: model.state is ModelState.UNLOADED), 5)
    assert loader.engines[0].closed
    async with model.use() as again:
        assert again is loader.engines[1]


async def test_a_model_in_use_is_never_unloaded():
    model = LazyModel(Loader(), AT_ONCE)
    async with model.use() as engine:
        async with model.use():
            pass
        for _ in range(5):
            await asyncio.sleep(0)
        assert not engine.closed


async def _until(condition):
    while not condition():
        await asyncio.sleep(0)
