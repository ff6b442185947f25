"""A query's vector in each space that is searched: given, remembered, or embedded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actors.errors import DeadlineExceeded, ModelLoadError, ModelMismatch, ShoalError
from actors.index.dense import unit_vector
from actors.index.fusion import Mode
from actors.messages import SearchRequest
from actors.replicas import Replicas
from actors.routing.corpus import Plan
from actors.scatter import Watch

_KEPT_SHARE = 0.25
"""Of a search's time, kept from models for hosts where several models are asked."""


class QueryVectors:
    """Makes the vectors of queries.

    Args:
        replicas: What embeds.
    """

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    async def of(
        self, plan: Plan, request: SearchRequest, watch: Watch
    ) -> dict[str, NDArray[np.float32] | ShoalError]:
        """Return the query's vector in each space that is searched, or why there is none.

        Raises:
            ShoalError: There is none in any, or none for a collection that was asked for by name.
        """
        if request.mode is Mode.LEXICAL:
            return {}
        known: dict[str, NDArray[np.float32] | ShoalError] = {}
        spaces = plan.spaces
        if request.vector is not None:
            unit = unit_vector(request.vector)
            known = {space: unit for space in spaces if request.space in {"", space}}
            spaces = {space: names for space, names in spaces.items() if space not in known}
        if not spaces:
            return known
        # One model that loads for long must leave time for what is searched with the others.
        give_up_at = watch.give_up_at - _KEPT_SHARE * request.deadline_s * (len(spaces) > 1)
        found = await asyncio.gather(
            *(self._in(space, names, request, give_up_at) for space, names in spaces.items())
        )
        errors = [answer for answer in found if isinstance(answer, ShoalError)]
        if errors and (request.collections or len(errors) == len(plan.spaces)):
            raise errors[0]
        return known | dict(zip(spaces, found, strict=True))

    async def _in(
        self, space: str, names: Sequence[str], request: SearchRequest, give_up_at: float
    ) -> NDArray[np.float32] | ShoalError:
        """Return the query's vector in a space, by the first model that still makes it."""
        failure: ShoalError = ModelMismatch("")
        for name in names:
            try:
                return await self._replicas.vector(
                    name, space, request.query, request.kind, give_up_at
                )
            except TimeoutError:
                return not_embedded(request.deadline_s)
            except (ModelMismatch, ModelLoadError) as error:
                failure = error
            except ShoalError as error:
                return error
        return failure


def not_embedded(deadline_s: float) -> DeadlineExceeded:
    """Return the error of a text that was not embedded within so many seconds."""
    message = (
        f"the query was not embedded within {deadline_s:g} s; try again, or search with mode "
        "lexical, which needs no model"
    )
    return DeadlineExceeded(message, retry_after_s=1.0)
