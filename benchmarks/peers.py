"""Who else records calls of the openai SDK, each in an environment of its own, set up as its documentation says for
production and with an exporter that goes nowhere.

The environments are made by pip in the user's cache folder the first time. One that can't be made has no figures.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

OURS = "usage_tracker"
FOLDER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "usage-tracker-benchmarks"


class Peer(NamedTuple):
    name: str
    package: str
    beside: tuple[str, ...]
    instrument: Callable[[], None]


def nowhere():
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans):
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    return provider


def ours() -> None:
    import usage_tracker

    usage_tracker.install(ship=False, app="benchmark")


def sentry() -> None:
    import sentry_sdk
    from sentry_sdk.integrations.openai import OpenAIIntegration
    from sentry_sdk.transport import Transport

    class Nowhere(Transport):
        def capture_envelope(self, envelope) -> None:
            pass

    sentry_sdk.init(
        "https://key@localhost/1", transport=Nowhere, traces_sample_rate=1.0, integrations=[OpenAIIntegration()]
    )


def opentelemetry() -> None:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=nowhere())


def openinference() -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=nowhere())


def openllmetry() -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=nowhere())


def langfuse() -> None:
    os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "600000"  # nobody listens there
    import langfuse
    import langfuse.openai

    langfuse.Langfuse(public_key="pk-none", secret_key="sk-none", host="http://127.0.0.1:9", flush_interval=600)


def logfire() -> None:
    import logfire

    logfire.configure(send_to_logfire=False, console=False)
    logfire.instrument_openai()


SDK = ("opentelemetry-sdk",)
PEERS = [
    Peer("Sentry", "sentry-sdk", (), sentry),
    Peer("OpenTelemetry", "opentelemetry-instrumentation-genai-openai", SDK, opentelemetry),
    Peer("langfuse", "langfuse", (), langfuse),
    Peer("OpenInference", "openinference-instrumentation-openai", SDK, openinference),
    Peer("OpenLLMetry", "opentelemetry-instrumentation-openai", SDK, openllmetry),
    Peer("logfire", "logfire", (), logfire),
]
INSTRUMENT = {OURS: ours, **{peer.name: peer.instrument for peer in PEERS}}


def python_of(peer: Peer) -> tuple[Path | None, str]:
    """The interpreter of a peer's environment and which version it is; None and why there is none."""
    folder = FOLDER / peer.package
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        wanted = f"openai=={version('openai')}"  # so that all wrap the same SDK; the peer's own choice, where it can't
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True, timeout=120)
            for sdk in (wanted, "openai"):
                done = subprocess.run(
                    [*install, sdk, peer.package, *peer.beside],
                    check=False,
                    capture_output=True,
                    text=True,
                    timeout=300,
                )
                if done.returncode == 0:
                    (folder / "installed").touch()
                    break
            else:
                return None, f"can't be installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
        except (OSError, subprocess.SubprocessError) as error:
            return None, f"no environment: {type(error).__name__}"
    asked = f"from importlib.metadata import version as v; print(v({peer.package!r}), v('openai'))"
    found = subprocess.run([python, "-c", asked], check=False, capture_output=True, text=True)
    return (python, found.stdout.strip()) if found.returncode == 0 else (None, "its environment is broken")
