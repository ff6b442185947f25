"""Spans through all hops, as OpenTelemetry's own SDK records them."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from actors import spans
from actors.origin import NOBODY, Origin, current

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def exported():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans.make_spans(provider)
    yield exporter
    spans.make_spans(None)


def by_name(exporter):
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_span_goes_on_in_the_process_that_its_origin_is_sent_to(exported):
    with (
        spans.span("gateway", Origin("r1", CALLER), root=True),
        spans.span("router") as sent,
    ):
        pass
    with spans.span("host", sent, queries=1):
        pass
    found = by_name(exported)
    assert {f"{span.context.trace_id:032x}" for span in found.values()} == {CALLER.split("-")[1]}
    assert f"{found['gateway'].parent.span_id:016x}" == CALLER.split("-")[2]
    assert found["router"].parent.span_id == found["gateway"].context.span_id
    assert found["host"].parent.span_id == found["router"].context.span_id
    assert found["host"].attributes == {"shoal.request_id": "r1", "queries": 1}


def test_a_batch_is_a_child_of_its_first_request_and_linked_to_the_others(exported):
    with spans.span("one", Origin("r1"), root=True) as one:
        pass
    with spans.span("two", Origin("r2"), root=True) as two:
        pass
    with spans.span("batch", one, two, Origin("r3")):
        assert current().request_id == "r1,r2,r3"
    found = by_name(exported)
    assert found["batch"].parent.span_id == found["one"].context.span_id
    assert [link.context.span_id for link in found["batch"].links] == [found["two"].context.span_id]


def test_work_that_nobody_traces_makes_no_span(exported):
    with spans.span("job", Origin("r1")) as origin:
        assert origin == current() == Origin("r1")
    assert exported.get_finished_spans() == ()


def test_an_error_ends_the_span_and_goes_on(exported):
    with pytest.raises(ValueError, match="no"), spans.span("failing", NOBODY, root=True):
        raise ValueError("no")
    assert not by_name(exported)["failing"].status.is_ok
    assert current() == NOBODY


def test_without_tracing_an_origin_is_passed_on_as_it_is():
    with spans.span("gateway", Origin("r1", CALLER), root=True) as origin:
        assert origin == current() == Origin("r1", CALLER)
    assert current() == NOBODY


def test_an_exporter_that_is_not_installed_is_named_in_the_log(caplog):
    spans.begin_tracing("gateway", {"SHOAL_TRACING": "true", "OTEL_TRACES_EXPORTER": "nowhere"})
    assert "no exporter of spans is called nowhere" in caplog.text
    assert "pip install 'shoal[otel]'" in caplog.text
    with spans.span("gateway", Origin("r1"), root=True) as origin:
        assert origin.traceparent == ""
