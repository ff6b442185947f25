"""Arrangement: brings hosts, routers and replicas to their places while searches go on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable

from actors.catalog import Manifest
from actors.errors import MemoryLimitExceeded, ShoalError
from actors.fleet import Fleet
from actors.layout import EMBEDDER, HOST, ROUTER, Kind, Layout, prefix_of
from actors.machines import Machines, refuse_where_full
from actors.messages import AUTO, Scale
from actors.pools import Pools
from actors.process import end_actor, memory_free, names_of_actors
from actors.routing.warming import shards_by_host
from actors.scaling import refuse_beyond

_log = logging.getLogger("shoal.arrangement")

_WARM_NEW_S = 15.0
"""A host that is added opens all its shards before it is asked for any, within reason."""
_GRACE_S = 3.0
"""Before what is taken out ends: gateways ask for the routers every second, and answers under way
come within a fraction of that; what takes longer is asked again elsewhere."""
_BACK_S = 30.0
"""So long after nodes went none of their actors is given up: a machine may only start again."""


class Arrangement:
    """Makes what a layout has more, has it ready, has everybody ask it, and ends the rest.

    Safe to use from several threads: one at a time makes or ends actors.

    Args:
        fleet: The hosts and routers.
        pools: The replicas.
        machines: Say where they are to run.
        newest: Returns the generations that are served.
        ended: Told of each actor that was ended.
        stop: Ends all waiting.

    Attributes:
        layout: The one in force.
    """

    layout: Layout

    def __init__(
        self,
        fleet: Fleet,
        pools: Pools,
        machines: Machines,
        newest: Callable[[], Iterable[Manifest]],
        ended: Callable[[str], object],
        stop: threading.Event,
    ) -> None:
        self._fleet = fleet
        self._pools = pools
        self._machines = machines
        self._newest = newest
        self._ended = ended
        self._stop = stop
        self._lock = threading.Lock()
        self._nodes: frozenset[str] = frozenset()
        self._lost_at = float("-inf")

    def begin(self, configured: Scale) -> None:
        """Make all that is wanted, or what the settings say where there is no memory for that."""
        layout = self.proposed()
        if not any(prefix_of(name) in {HOST, ROUTER} for name in names_of_actors()):
            try:
                self._refuse(layout)
                self._refuse_less(layout, self._machines.wanted)
            except MemoryLimitExceeded as error:
                _log.warning("the scale is that of the settings: %s", error)
                self._machines.wanted = configured
                layout = self.proposed()
        self._come_into_force(layout)
        self._fleet.make(layout)

    def proposed(self, wanted: Scale | None = None) -> Layout:
        """Return who is to run where, as the machines are now."""
        return self._machines.layout(self._pools.demands(), wanted)

    def scale(self, wanted: Callable[[Scale], Scale], keep: Callable[[Scale], object]) -> Scale:
        """Have as many actors as `wanted` makes of what was asked for; return how many there are.

        Args:
            wanted: Returns what is asked for now.
            keep: Remembers it, once all of it is there.

        Raises:
            MemoryLimitExceeded: There is no memory for that; nothing has changed.
            GatewayUnavailable: What is added does not start; nothing has changed.
        """
        with self._lock:
            before = self._machines.wanted
            asked = wanted(before)
            if asked != before:
                layout = self.proposed(asked)
                self._refuse_less(layout, asked)
                self._become(layout, lambda: keep(asked))
                self._machines.wanted = asked
            return self.layout.scale

    def mend(self) -> None:
        """Make again what Ray does not restart: an actor that failed while it started."""
        with self._lock:
            there = set(names_of_actors())
            self._fleet.mend(self.layout, there)
            self._pools.mend(there)

    def rebalance(self) -> None:
        """Follow the machines: use those that came, leave those that went, in good time."""
        with self._lock:
            layout = self.proposed()
            self._note_nodes(layout)
            missing, beyond = self._missing(layout), self._beyond(layout)
            has_hosts = any(place.node for place in layout.places if place.kind == HOST)
            if not has_hosts or (beyond and self._may_come_back()):
                return  # those that there are do better than none
            if missing or beyond:
                _log.info("%s come and %s go, as the machines have changed", missing, beyond)
                self._become(layout)
                return
            moved = layout.topology != self.layout.topology
            self._come_into_force(layout)
            if moved:  # Ray has started a host again elsewhere
                self._fleet.warm(shards_by_host(self._newest(), layout.topology), _WARM_NEW_S)
                self._fleet.arrange(layout)

    def take_over(self) -> None:
        """Find what a steward before this one made, and end what has no place."""
        there = names_of_actors()
        with self._lock:
            self._pools.take_over(there)
            layout = self.proposed()
            self._fleet.adopt(layout.left_over(there))
            self._note_nodes(layout)
            if self._missing(layout) or self._beyond(layout):
                self._become(layout)
            else:
                self._come_into_force(layout)
                self._settle(layout)

    def arrange_one(self, router: str) -> None:
        """Have one router ask the hosts that serve; waits for nothing."""
        self._fleet.arrange_one(router, self.layout)

    def _become(self, layout: Layout, commit: Callable[[], object] = lambda: None) -> None:
        before = self.layout
        try:
            self._refuse(layout)
            self._fleet.grow(layout)
            self._pools.grow(layout)
            shards = shards_by_host(self._newest(), layout.topology)
            self._fleet.warm(shards, _WARM_NEW_S)
            commit()
        except ShoalError:
            self._settle(before)
            raise
        self._come_into_force(layout)
        self._settle(layout)

    def _come_into_force(self, layout: Layout) -> None:
        self.layout = layout
        self._machines.meant = {place.name: place.node for place in layout.places}

    def _settle(self, layout: Layout) -> None:
        """Have everybody ask what a layout has, and end the rest once nobody asks it any more."""
        names = (*self._fleet.beyond(layout), *self._pools.shrink(layout))
        self._fleet.arrange(layout)
        if names:
            self._stop.wait(_GRACE_S)
            self._end(names)

    def _end(self, names: Collection[str]) -> None:
        self._fleet.forget(names)
        for name in names:
            end_actor(name)
            self._ended(name)

    def _missing(self, layout: Layout) -> list[str]:
        return [*self._fleet.missing(layout), *self._pools.missing(layout)]

    def _beyond(self, layout: Layout) -> list[str]:
        return [*self._fleet.beyond(layout), *self._pools.beyond(layout)]

    def _refuse(self, layout: Layout) -> None:
        """Raise where what a layout has more would wait for memory for ever."""
        if len(layout.nodes) == 1:
            refuse_beyond(memory_free(), [*self._fleet.needs(layout), *self._pools.needs(layout)])
        places = (layout.place(name) for name in self._missing(layout))
        refuse_where_full([place for place in places if place], layout)

    @staticmethod
    def _refuse_less(layout: Layout, asked: Scale) -> None:
        """Raise where not all that is asked for has a place."""
        counts: dict[Kind, tuple[int, int]] = {
            HOST: (asked.hosts, layout.scale.hosts),
            ROUTER: (asked.routers, layout.scale.routers),
            EMBEDDER: (asked.embedders, layout.scale.embedders),
        }
        if any(wanted != AUTO and found < wanted for wanted, found in counts.values()):
            message = f"not all of that has a place, and nothing was changed: {layout.notes[0]}"
            raise MemoryLimitExceeded(message)

    def _note_nodes(self, layout: Layout) -> None:
        nodes = frozenset(node.id for node in layout.nodes)
        if self._nodes - nodes:
            self._lost_at = time.monotonic()
        self._nodes = nodes

    def _may_come_back(self) -> bool:
        return time.monotonic() - self._lost_at < _BACK_S
