"""Vectors at unit length, one by one and many at once."""

import numpy as np
import pytest

from actors.index.dense import normalised, unit_vector


@pytest.mark.parametrize("length", [1e-3, 1.0, 1e3])
def test_one_vector_is_what_it_would_be_among_many(length):
    vectors = (length * np.random.default_rng(3).normal(size=(20, 384))).astype(np.float32)
    units = np.array([unit_vector(vector) for vector in vectors])
    assert units.dtype == np.float32
    assert units == pytest.approx(normalised(vectors), abs=1e-7)


def test_zero_stays_zero():
    nothing = np.zeros(8, np.float32)
    assert unit_vector(nothing).tolist() == normalised(nothing[None])[0].tolist() == [0.0] * 8
