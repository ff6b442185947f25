"""LazyModel: one load for all, failures that heal, unloading when nobody uses it."""

import asyncio
import gc
import threading
import weakref

import numpy as np
import pytest

from actors.errors import MemoryLimitExceeded, ModelLoadError
from actors.model import (
    DEATH_BACK_OFF_S,
    FIRST_BACK_OFF_S,
    LazyModel,
    ModelState,
    Progress,
)

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

    def __call__(self, on_progress):
        on_progress("reading", 1, 4)
        assert self.proceed.wait(10)
        if self.failing:
            raise MemoryError("no room")
        self.engines.append(Doubling())
        return self.engines[-1]


class Refusing:
    """Closes an engine, but not the first."""

    def __init__(self):
        self.asked, self.proceed = threading.Event(), threading.Event()
        self.proceed.set()

    def __call__(self, engine):
        was_asked = self.asked.is_set()
        self.asked.set()
        assert self.proceed.wait(10)
        if not was_asked:
            raise OSError("busy")
        engine.close()


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


async def engine_of(model):
    async with model.use() as engine:
        return engine


async def test_nothing_is_loaded_before_it_is_used():
    loader = Loader()
    model = LazyModel(loader, Doubling.close, NEVER)
    assert model.state is ModelState.UNLOADED
    async with model.use() as engine:
        assert engine.embed(["ab"], "query").tolist() == [[2, 4]]
    assert (model.state, len(loader.engines)) == (ModelState.READY, 1)


async def test_concurrent_first_callers_share_one_load():
    loader = Loader()
    loader.proceed.clear()
    model = LazyModel(loader, Doubling.close, NEVER)

    callers = [asyncio.create_task(engine_of(model)) for _ in range(64)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert model.state is ModelState.LOADING
    await _until(lambda: model.progress == Progress("reading", 1, 4))
    assert model.progress.fraction == 0.25
    loader.proceed.set()
    engines = await asyncio.gather(*callers)
    assert len(loader.engines) == model.loads == 1
    assert set(map(id, engines)) == {id(loader.engines[0])}


async def test_a_caller_who_leaves_does_not_end_the_load_of_the_others():
    loader = Loader()
    loader.proceed.clear()
    model = LazyModel(loader, Doubling.close, NEVER)

    leaving, staying = asyncio.create_task(engine_of(model)), asyncio.create_task(engine_of(model))
    await asyncio.sleep(0)
    leaving.cancel()
    loader.proceed.set()
    assert await staying is loader.engines[0]


async def test_a_failed_load_fails_its_waiters_and_is_tried_again_after_the_back_off():
    loader, clock = Loader(), Clock()
    loader.failing = True
    model = LazyModel(loader, Doubling.close, NEVER, clock=clock)
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
    model = LazyModel(loader, Doubling.close, AT_ONCE)
    async with model.use() as engine:
        assert not engine.closed
    await asyncio.wait_for(_until(lambda: model.state is ModelState.UNLOADED), 5)
    assert loader.engines[0].closed
    async with model.use() as again:
        assert again is loader.engines[1]


async def test_a_model_in_use_is_never_unloaded():
    model = LazyModel(Loader(), Doubling.close, AT_ONCE)
    async with model.use() as engine:
        async with model.use():
            pass
        for _ in range(5):
            await asyncio.sleep(0)
        assert not engine.closed


async def test_what_an_unload_under_way_gives_back_is_there_before_the_next_load():
    closing, closed = threading.Event(), threading.Event()

    def unload(engine):
        closing.set()
        assert closed.wait(10)
        engine.close()

    loader = Loader()
    model = LazyModel(loader, unload, AT_ONCE)
    await engine_of(model)
    await _until(closing.is_set)
    again = asyncio.create_task(engine_of(model))
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(loader.engines) == 1
    closed.set()
    assert await again is loader.engines[1]
    assert loader.engines[0].closed
    assert model.unloads == 1


async def test_an_unload_that_fails_leaves_a_model_that_loads_again():
    model = LazyModel(Loader(), Refusing(), AT_ONCE)
    engine = await engine_of(model)
    await asyncio.wait_for(_until(lambda: model.state is ModelState.UNLOADED), 5)
    assert model.unloads == 0
    assert await engine_of(model) is not engine


async def test_a_load_that_waited_for_a_failing_unload_is_tried_again_after_the_back_off():
    unload, clock = Refusing(), Clock()
    unload.proceed.clear()
    model = LazyModel(Loader(), unload, NEVER, clock=clock)
    engine = await engine_of(model)
    model.unload_when_idle()
    waiting = asyncio.create_task(engine_of(model))
    await _until(unload.asked.is_set)
    unload.proceed.set()
    for again in (waiting, engine_of(model)):
        with pytest.raises(ModelLoadError, match="busy") as refused:
            await again
        assert refused.value.retry_after_s == FIRST_BACK_OFF_S
    clock.now += FIRST_BACK_OFF_S
    assert await engine_of(model) is not engine
    assert model.state is ModelState.READY


async def test_a_change_that_could_not_be_told_is_tried_again_after_the_back_off():
    async def on_change():
        if model.state is ModelState.LOADING and not clock.now:
            raise OSError("nobody listens")

    clock = Clock()
    model = LazyModel(Loader(), Doubling.close, NEVER, on_change, clock=clock)
    for _ in range(2):
        with pytest.raises(ModelLoadError, match="nobody listens") as refused:
            await engine_of(model)
        assert refused.value.retry_after_s == FIRST_BACK_OFF_S
    assert model.state is ModelState.FAILED
    clock.now += FIRST_BACK_OFF_S
    await engine_of(model)
    assert model.state is ModelState.READY


async def test_a_model_is_unloaded_on_demand_as_soon_as_nobody_uses_it():
    model = LazyModel(Loader(), Doubling.close, NEVER)
    async with model.use() as engine:
        model.unload_when_idle()
        assert model.engine is engine
    assert model.engine is None
    await asyncio.wait_for(_until(lambda: engine.closed), 5)
    async with model.use() as again:
        assert again is not engine
    assert model.engine is again


async def test_a_demand_to_unload_what_is_not_loaded_does_not_unload_what_comes_next():
    model = LazyModel(Loader(), Doubling.close, NEVER)
    model.unload_when_idle()
    engine = await engine_of(model)
    assert model.engine is engine


async def test_a_failed_load_keeps_nothing_of_what_it_held_alive():
    class Held:
        pass

    def load(_on_progress):
        held = Held()
        watched.append(weakref.ref(held))
        raise MemoryError

    watched = []
    model = LazyModel(load, Doubling.close, NEVER)
    with pytest.raises(ModelLoadError):
        await engine_of(model)
    gc.collect()
    assert watched[0]() is None


async def test_a_predecessors_death_counts_as_a_failure_with_its_back_off():
    clock = Clock()
    model = LazyModel(Loader(), Doubling.close, NEVER, clock=clock)
    model.fail(MemoryLimitExceeded("ended at 400 MiB"), failures=3)
    with pytest.raises(MemoryLimitExceeded, match="ended at 400 MiB") as refused:
        async with model.use():
            pass
    assert refused.value.retry_after_s == 4 * DEATH_BACK_OFF_S
    clock.now += 4 * DEATH_BACK_OFF_S
    async with model.use():
        assert model.state is ModelState.READY


async def _until(condition):
    while not condition():
        await asyncio.sleep(0)
