"""Spans of OpenTelemetry, where they are asked for; else they cost next to nothing.

With `SHOAL_TRACING` set, each process makes a provider of the SDK, which reads the `OTEL_…`
variables of its environment. The exporter is found by its entry point, as the specification has it:
`OTEL_TRACES_EXPORTER` names it, "otlp" by default.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from actors.origin import Origin, current, joined, working_for

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

_log = logging.getLogger("shoal.spans")

_EXPORTERS = "opentelemetry_traces_exporter"
"""Group of entry points in which exporters of spans register."""
_tracer: Any = None


def make_spans(provider: TracerProvider | None) -> None:
    """Make spans with a provider from now on, or none."""
    global _tracer  # noqa: PLW0603 - one for each process, as in OpenTelemetry itself
    _tracer = provider and provider.get_tracer("shoal")


def begin_tracing(process: str, environment: Mapping[str, str] = os.environ) -> None:
    """Make spans if the environment asks for them; where that cannot be, the log says why.

    Args:
        process: What the spans' resource is called, beside `service.name`.
        environment: Where `SHOAL_TRACING` and `OTEL_TRACES_EXPORTER` are looked up.
    """
    if environment.get("SHOAL_TRACING", "").lower() not in ("1", "true", "yes", "on"):
        return
    name = environment.get("OTEL_TRACES_EXPORTER", "otlp")
    try:
        make_spans(_provider(process, name))
    except ImportError as error:
        _log.error("no spans are made (%s); pip install 'shoal[otel]'", error)


def _provider(process: str, exporter: str) -> TracerProvider:
    """Return a provider that exports spans in the background.

    Raises:
        ImportError: The SDK or the exporter is not installed.
    """
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    found = next(iter(entry_points(group=_EXPORTERS, name=exporter)), None)
    if found is None:
        message = f"no exporter of spans is called {exporter}"
        raise ImportError(message)
    own = {"service.name": "shoal", "service.instance.id": process}
    named = {"service.name": os.environ["OTEL_SERVICE_NAME"]} if _is_named() else {}
    provider = TracerProvider(resource=Resource.create({**own, **named}))
    provider.add_span_processor(BatchSpanProcessor(found.load()()))
    return provider


def _is_named() -> bool:
    return bool(os.environ.get("OTEL_SERVICE_NAME"))


def span(
    name: str, *origins: Origin, root: bool = False, **attributes: str | int | float
) -> AbstractContextManager[Origin]:
    """Let the block work for its origins, in a span of its own where spans are made.

    Work that nobody traces (an origin without a span) makes none, unless it is a root.

    Args:
        name: Of the span.
        origins: Whose work it is: the first is the parent, and a batch is linked to the others.
            None for what the caller works for already.
        root: Begins a trace where there is none yet.
        attributes: Sizes and names; never text of a query or a chunk.
    """
    if _tracer is None and not origins:
        return nullcontext(current())
    origin = origins[0] if len(origins) == 1 else joined(origins) if origins else current()
    if _tracer is None or not (root or origin.traceparent):
        return working_for(origin)
    parents = [one for one in origins or (origin,) if one.traceparent]
    return _made(name, origin, parents, attributes)


@contextmanager
def _made(
    name: str, origin: Origin, parents: list[Origin], attributes: Mapping[str, str | int | float]
) -> Iterator[Origin]:
    with _tracer.start_as_current_span(
        name,
        context=_context_of(origin),
        links=_links(parents[1:]),
        attributes={"shoal.request_id": origin.request_id, **attributes},
    ):
        here = Origin(origin.request_id, _traceparent())
        with working_for(here):
            yield here


def _context_of(origin: Origin) -> Any:  # noqa: ANN401 - OpenTelemetry's context, an extra
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
        TraceContextTextMapPropagator,
    )

    carrier = {"traceparent": origin.traceparent}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def _links(parents: list[Origin]) -> list[Any]:
    from opentelemetry.trace import Link, get_current_span  # noqa: PLC0415

    contexts = (get_current_span(_context_of(parent)).get_span_context() for parent in parents)
    return [Link(context) for context in contexts if context.is_valid]


def _traceparent() -> str:
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
        TraceContextTextMapPropagator,
    )

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")
