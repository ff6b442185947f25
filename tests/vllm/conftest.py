"""One model in vLLM for all these tests: a process can hold one."""

import pytest
from minilm_reference import minilm_folder

from actors.engines.registry import describe, open_engine


@pytest.fixture(scope="session")
def folder():
    return minilm_folder().resolve()


@pytest.fixture(scope="session")
def card(folder):
    return describe(f"vllm:{folder}")


@pytest.fixture(scope="session")
def told():
    """What the load told of itself."""
    return []


@pytest.fixture(scope="session")
def engine(card, told):
    return open_engine(card, threads=2, on_progress=lambda *progress: told.append(progress))
