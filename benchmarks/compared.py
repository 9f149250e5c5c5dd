"""An app that calls a model, with each of the tools that record such calls, set up as its documentation says. Run by
`comparison.py` in the environment of each:

    python benchmarks/compared.py TOOL call FOLDER PROVIDER BACKEND CASE
    python benchmarks/compared.py TOOL killed FOLDER PROVIDER BACKEND     calls, and kill -9 when the last has returned
    python benchmarks/compared.py TOOL away FOLDER PROVIDER BACKEND       a call; then, once told, calls that are timed
    python benchmarks/compared.py TOOL store FOLDER PROVIDER BACKEND      writes without calls, and how many a second

PROVIDER is the stand-in's address, BACKEND that of what the tool sends to. FOLDER is the app's own.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

CALLS = 20
WRITES = 2000


class Case(NamedTuple):
    """A call, what the provider says of it, and what is true of it by list prices."""

    name: str
    told: str
    model: str = "gpt-4o-mini-2024-07-18"
    asked: Mapping[str, Any] = {}
    status: int = 200
    leave: bool = False
    """Whether the app leaves the stream in the middle."""
    responses: bool = False
    own_client: bool = False
    """Made with a client of the app's own, also where a tool only sees the SDK's."""
    tokens: tuple[int | None, int | None, int | None, int | None] = (None, None, None, None)
    """Input, of that cached, output, of that reasoning."""
    cost: str | None = None
    """In USD."""


STREAM = {"stream": True}
CASES = (
    Case("client", "a client that the app makes", own_client=True, tokens=(1000, 0, 100, 0), cost="0.00021"),
    Case("cached", "cached tokens", tokens=(2000, 1536, 100, 0), cost="0.0002448"),
    Case("reasoning", "reasoning tokens", "gpt-5-2025-08-07", tokens=(1000, 0, 500, 384), cost="0.00625"),
    Case(
        "flex", "flex processing, at half the price", "gpt-5-2025-08-07", {"service_tier": "flex"},
        tokens=(1000, 0, 500, 384), cost="0.003125",
    ),
    Case("responses", "the responses API", responses=True, tokens=(1000, 512, 200, 0), cost="0.0002316"),
    Case(
        "stream", "a stream whose usage the app didn't ask for", asked=STREAM,
        tokens=(1000, 0, 40, 0), cost="0.000174",
    ),
    Case("left", "a stream that the app leaves", asked=STREAM, leave=True),
    Case("unknown", "a model without a known price", "acme-llm-7b", tokens=(1000, 0, 100, 0)),
    Case("error", "an error: 429", status=429),
)  # fmt: skip
PLAIN = CASES[1]


def ask(client: Any, case: Case) -> Any:
    """The answer, or the last chunk of a stream that is read to its end; None of one that is left, and of an error."""
    import openai

    try:
        if case.responses:
            return client.responses.create(model=case.model, input="Hello")
        answer = client.chat.completions.create(
            model=case.model, messages=[{"role": "user", "content": "Hello"}], **case.asked
        )
    except openai.APIError:
        return None
    if "stream" not in case.asked:
        return answer
    chunks = []
    for chunk in answer:
        chunks.append(chunk)
        if case.leave and len(chunks) == 3:
            answer.close()
            return None
    return chunks[-1]


class Tool:
    """One of them, in the app: set up when it is made."""

    def __init__(self, folder: Path, provider: str, backend: str) -> None:
        self.folder = folder
        self.provider = provider
        self.backend = backend

    def address(self, case: Case) -> str:
        return f"{self.provider}/{case.name}/v1"

    def client(self, case: Case) -> Any:
        import openai

        return openai.OpenAI(api_key="sk-none-at-all", base_url=self.address(case), max_retries=0)

    def call(self, case: Case) -> None:
        ask(self.client(case), case)

    def end(self) -> None:
        """What an app does at its end."""

    def keep(self, record: dict[str, Any]) -> None:
        """Where the tool hands its figures to the app, the app writes them down."""
        with (self.folder / "calls.jsonl").open("a") as file:
            file.write(f"{json.dumps(record)}\n")


class Ours(Tool):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        import usage_tracker

        usage_tracker.install(
            dsn=self.backend or f"sqlite:///{self.folder}/usage.db",
            spool_dir=self.folder / "spool",
            stream_usage="always",  # as at OpenAI's own address
        )


class LiteLLM(Tool):
    """Its own SDK instead of the provider's, with a callback: https://docs.litellm.ai/docs/observability/custom_callback"""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the one of the package: nothing is fetched
        import litellm
        from litellm.integrations.custom_logger import CustomLogger

        keep = self.keep

        class Callback(CustomLogger):
            def log_success_event(self, kwargs, response_obj, start_time, end_time) -> None:
                usage = response_obj.usage if hasattr(response_obj, "usage") else None
                keep({"usage": usage and usage.model_dump(), "cost": kwargs.get("response_cost")})

            def log_failure_event(self, kwargs, response_obj, start_time, end_time) -> None:
                keep({"error": True, "cost": kwargs.get("response_cost")})

        litellm.callbacks = [Callback()]
        self._litellm = litellm

    def call(self, case: Case) -> None:
        more = {"api_base": self.address(case), "api_key": "sk-none-at-all", "model": f"openai/{case.model}"}
        try:
            if case.responses:
                self._litellm.responses(input="Hello", **more)
                return
            answer = self._litellm.completion(
                messages=[{"role": "user", "content": "Hello"}], max_retries=0, **case.asked, **more
            )
        except self._litellm.exceptions.APIError:
            return
        except self._litellm.exceptions.RateLimitError:
            return
        if "stream" in case.asked:
            for number, _ in enumerate(answer):
                if case.leave and number == 2:
                    break

    def end(self) -> None:
        time.sleep(1)  # its callbacks run in threads of their own


class Langfuse(Tool):
    """https://langfuse.com/integrations/model-providers/openai-py"""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        os.environ.update(
            LANGFUSE_PUBLIC_KEY="pk-lf-none", LANGFUSE_SECRET_KEY="sk-lf-none", LANGFUSE_HOST=self.backend,
            LANGFUSE_BASE_URL=self.backend,
        )  # fmt: skip
        import langfuse.openai  # noqa: F401  patches the SDK


class OpenLLMetry(Tool):
    """https://www.traceloop.com/docs/openllmetry/getting-started-python"""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        os.environ["TRACELOOP_TELEMETRY"] = "false"
        from traceloop.sdk import Traceloop

        Traceloop.init(app_name="compared", api_endpoint=self.backend, api_key="none")


class LlmAccounting(Tool):
    """A store for what the app reads from answers itself: https://pypi.org/project/llm-accounting/"""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        os.chdir(self.folder)  # it writes a folder and a log beside the app
        from llm_accounting import LLMAccounting
        from llm_accounting.backends.postgresql import PostgreSQLBackend
        from llm_accounting.backends.sqlite import SQLiteBackend

        file = str(self.folder / "accounting.db")
        self.accounting = LLMAccounting(
            backend=PostgreSQLBackend(self.backend) if self.backend else SQLiteBackend(db_path=file)
        )
        self.accounting.__enter__()

    def call(self, case: Case) -> None:
        answer = ask(self.client(case), case)
        if answer is None:
            return
        usage = answer.usage.model_dump() if answer.usage else {}
        self.accounting.track_usage(
            model=answer.model,
            prompt_tokens=usage.get("prompt_tokens", usage.get("input_tokens")),
            completion_tokens=usage.get("completion_tokens", usage.get("output_tokens")),
            cached_tokens=detail(usage, "cached_tokens"),
            reasoning_tokens=detail(usage, "reasoning_tokens"),
        )

    def write(self, number: int) -> None:
        self.accounting.track_usage(
            model="gpt-4o-mini", prompt_tokens=number, completion_tokens=9, cost=0.01, username="u", project="p"
        )


def detail(usage: dict[str, Any], name: str) -> int:
    """From wherever an API puts it; 0, which is what llm-accounting has for what is unknown."""
    parts = [part for key, part in usage.items() if key.endswith("_details") and part]
    return next((part[name] for part in parts if part.get(name)), 0)


class LlmUsageTracker(Tool):
    """https://pypi.org/project/llm-usage-tracker/; calls by the SDK's own client, as it sees no other."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        os.environ["OPENAI_API_KEY"] = "sk-none-at-all"
        import llm_usage_tracker

        llm_usage_tracker.setup_patch()
        self._module = llm_usage_tracker

    def client(self, case: Case) -> Any:
        import openai

        if case.own_client:
            return super().client(case)
        openai.base_url, openai.max_retries = f"{self.address(case)}/", 0
        return openai

    def end(self) -> None:
        models, cost = self._module.compute_usage_costs(self._module.OPENAI_DEFAULT)
        for model in models.values():
            tokens = model["tokens"]
            whole = tokens["input_full"] + tokens["input_cached"]
            self.keep({"tokens": [whole, tokens["input_cached"], tokens["output"], None], "cost": cost})


TOOLS: dict[str, Callable[..., Tool]] = {
    "usage_tracker": Ours,
    "LiteLLM": LiteLLM,
    "Langfuse": Langfuse,
    "OpenLLMetry": OpenLLMetry,
    "llm-accounting": LlmAccounting,
    "llm-usage-tracker": LlmUsageTracker,
}


def killed(tool: Tool) -> None:
    for _ in range(CALLS):
        tool.call(PLAIN)
    os.kill(os.getpid(), signal.SIGKILL)


def away(tool: Tool) -> None:
    """The backend goes after the first call, and comes back when this process has ended."""
    tool.call(PLAIN)
    print("called", flush=True)
    sys.stdin.readline()
    failed, longest = 0, 0.0
    for _ in range(CALLS):
        started = time.perf_counter()
        try:
            tool.call(PLAIN)
        except Exception:  # noqa: BLE001  whatever the tool lets out
            failed += 1
        longest = max(longest, time.perf_counter() - started)
    print(json.dumps({"failed": failed, "longest": longest}), flush=True)


def store(tool: Tool) -> None:
    assert isinstance(tool, LlmAccounting)
    started, cpu = time.perf_counter(), time.thread_time()
    for number in range(WRITES):
        tool.write(number)
    took, cpu = time.perf_counter() - started, time.thread_time() - cpu
    print(json.dumps({"rate": WRITES / took, "cpu_us": cpu / WRITES * 1e6}))


def main() -> None:
    name, what, folder, provider, backend, *case = sys.argv[1:]
    tool = TOOLS[name](Path(folder), provider, backend)
    if what == "call":
        tool.call(next(each for each in CASES if each.name == case[0]))
        tool.end()
    else:
        {"killed": killed, "away": away, "store": store}[what](tool)


if __name__ == "__main__":
    main()
