"""In an app of the baseline: OpenTelemetry's instrumentation of the openai SDK, its batch processor, and an exporter to
the same Postgres."""

import os
import time
from collections.abc import Sequence

import psycopg2
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from psycopg2.extras import execute_values

TRIES_SECONDS = 10.0
"""As OTEL_EXPORTER_OTLP_TIMEOUT has it by default."""


class ToPostgres(SpanExporter):
    """Writes the id of each answer."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        ids = [((span.attributes or {}).get("gen_ai.response.id"),) for span in spans]
        started, pause = time.monotonic(), 1.0
        while True:
            try:
                connection = psycopg2.connect(os.environ["TRACKER_DSN"], connect_timeout=5)
                try:
                    with connection, connection.cursor() as cursor:
                        cursor.execute("SET statement_timeout = '5s'")
                        execute_values(cursor, "INSERT INTO baseline VALUES %s ON CONFLICT DO NOTHING", ids)
                finally:
                    connection.close()
            except psycopg2.Error:
                if time.monotonic() - started + pause > TRIES_SECONDS:
                    return SpanExportResult.FAILURE
                time.sleep(pause)
                pause *= 2
            else:
                return SpanExportResult.SUCCESS


def instrument() -> None:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(ToPostgres()))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
