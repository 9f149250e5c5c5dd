"""What LiteLLM's SDK, Langfuse, OpenLLMetry, llm-accounting, llm-usage-tracker and we know of the same calls, and what
is left of them when the app is killed and when what they are sent to is away.

    PYTHONPATH=tests python benchmarks/comparison.py [TOOL …] [--write]

Each is installed from PyPI in an environment of its own, in the user's cache folder, and runs `compared.py` there: an
app that calls a stand-in provider through the openai SDK, or through LiteLLM. What Langfuse and OpenLLMetry send comes
to a collector here, and is read as it arrives; a tool that can't be installed says so in its column. `--write` puts the
tables into docs/comparison.md and the README.
"""

import argparse
import gzip
import json
import os
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
from compared import CALLS, CASES, WRITES, Case
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from peers import FOLDER
from postgres_server import PostgresServer
from results import table

from usage_tracker.demo.exchange import Asked, Event, Reply, refusal
from usage_tracker.demo.standin import StandIn

ROOT = Path(__file__).parent.parent
OURS = "usage_tracker"
APP = Path(__file__).with_name("compared.py")
ROUNDS = 3
IMPORTS = 5
ROUNDED = Decimal("5e-7")
COUNTS = ("input", "cached", "output", "reasoning")
COUNTED = """
import importlib.metadata as installed, json, sys
from pathlib import Path
names = {each.name.lower() for each in installed.distributions()} - {"pip", "setuptools"}
sizes = [each.stat().st_size for each in Path(sys.argv[1]).rglob("*") if each.suffix != ".pyc" and each.is_file()]
print(json.dumps({"packages": len(names), "bytes": sum(sizes)}))
"""


class Peer(NamedTuple):
    """What is compared."""

    name: str
    package: str
    imported: str
    """The app's statement."""
    sends: str = ""
    """`traces` go to a collector; what goes to `postgres` can be looked for there."""
    beside: tuple[str, ...] = ()
    """What it needs and doesn't ask for."""


TOOLS = (
    Peer(OURS, str(ROOT), "import usage_tracker.auto", "postgres"),
    Peer("LiteLLM", "litellm", "import litellm"),
    Peer("Langfuse", "langfuse", "import langfuse.openai", "traces"),
    Peer("OpenLLMetry", "traceloop-sdk", "from traceloop.sdk import Traceloop", "traces", ("httpx",)),
    Peer("llm-accounting", "llm-accounting", "import llm_accounting", "postgres"),
    Peer("llm-usage-tracker", "llm-usage-tracker", "import llm_usage_tracker"),
)


class Unavailable(Exception):
    """A tool can't be had; its words say why."""


class Home(NamedTuple):
    """Where a tool is installed."""

    python: Path
    version: str
    packages: int
    megabytes: float


def install(tool: Peer) -> Home:
    """Into an environment of its own, unless it is there; the SDK follows when all that the tool brings is counted."""
    name = "usage-tracker" if tool.name == OURS else tool.package
    folder = FOLDER / f"compared-{name}"
    python, ready = folder / "bin" / "python", folder / "installed.json"
    uv = Path(sys.executable).with_name("uv")  # which takes seconds where pip takes minutes
    pip = [str(uv), "pip"] if uv.exists() else [str(python), "-m", "pip"]
    pip += ["install", "--quiet", *(["--python", str(python)] if uv.exists() else [])]
    if not ready.exists():
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
        run([*pip, *(["--editable", tool.package] if tool.name == OURS else [tool.package])])
        packages = next((folder / "lib").glob("python*")) / "site-packages"
        counted = json.loads(run([str(python), "-c", COUNTED, str(packages)]))
        run([*pip, "openai", *tool.beside])
        asked = f"from importlib.metadata import version; print(version({tool.package!r}))"
        version = "this one" if tool.name == OURS else run([str(python), "-c", asked]).strip()
        ready.write_text(json.dumps({**counted, "version": version}))
    found = json.loads(ready.read_text())
    return Home(python, found["version"], found["packages"], found["bytes"] / 1e6)


def run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        raise Unavailable("takes too long to install") from None
    if done.returncode:
        raise Unavailable(f"can't be installed: {last_line(done.stderr)}")
    return done.stdout


def last_line(said: str) -> str:
    return (said.strip().splitlines() or ["?"])[-1][:120]


def answer(asked: Asked) -> Reply | None:
    """What the provider says to the case that the path names."""
    case = next((each for each in CASES if f"/{each.name}/" in asked.path), None)
    if case is None:
        return None
    if case.status != 200:
        return refusal(case.status, "Rate limit reached for requests.", code="rate_limit_exceeded")
    given, cached, made, reasoning = case.tokens
    tier = case.asked.get("service_tier", "default")
    if case.responses:
        usage = {
            "input_tokens": given, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": made,
            "output_tokens_details": {"reasoning_tokens": reasoning}, "total_tokens": given + made,
        }  # fmt: skip
        said = {"type": "output_text", "text": "Hello.", "annotations": []}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [said]}
        head = {"id": "resp_1", "object": "response", "created_at": 1, "model": case.model, "status": "completed"}
        rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "service_tier": tier}
        return Reply({**head, **rest, "output": [message], "usage": usage})
    head = {"id": "chatcmpl-1", "created": 1, "model": case.model, "service_tier": tier}
    usage = None if given is None else {
        "prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }  # fmt: skip
    if "stream" not in case.asked:
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
        return Reply({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    head["object"] = "chat.completion.chunk"
    pieces = [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}] * 20
    events = [Event({**head, "choices": [piece]}) for piece in pieces]
    events.append(Event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    if (asked.body.get("stream_options") or {}).get("include_usage"):
        events.append(Event({**head, "choices": [], "usage": usage}))
    return Reply(events=events)


class Record(NamedTuple):
    """What a tool has of a call. None: it says nothing of it."""

    tokens: tuple[int | None, int | None, int | None, int | None] = (None, None, None, None)
    cost: Decimal | None = None
    error: bool = False


class Collector:
    """Takes traces over OTLP, and says yes to all else. It can go and come back at the same address."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path.endswith("/v1/traces"):
                    collector.spans += spans_of(body)
                self.send_response(200)
                self.send_header("content-length", "2")
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST  # noqa: N815  the name is the base class's

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


def spans_of(body: bytes) -> Iterator[dict[str, Any]]:
    """The attributes of each model call's span, and whether it says that the call failed."""
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource_spans.scope_spans:
            for span in scope.spans:
                found = {each.key: each.value for each in span.attributes}
                if any(key in found for key in ("gen_ai.request.model", "langfuse.observation.model.name")):
                    yield {**found, "failed": span.status.code == 2 or error_level(found)}


def error_level(attributes: dict[str, Any]) -> bool:
    level = attributes.get("langfuse.observation.level")
    return level is not None and level.string_value == "ERROR"


def recorded_by_langfuse(span: dict[str, Any]) -> Record:
    usage = json.loads(span["langfuse.observation.usage_details"].string_value) if (
        "langfuse.observation.usage_details" in span
    ) else {}  # fmt: skip
    costs = json.loads(span["langfuse.observation.cost_details"].string_value) if (
        "langfuse.observation.cost_details" in span
    ) else {}  # fmt: skip
    total = None if not costs or costs.get("total") is None else Decimal(str(costs["total"]))
    return Record(counts_of(usage), total, span["failed"])


def counts_of(usage: dict[str, Any]) -> tuple[int | None, int | None, int | None, int | None]:
    """From the provider's own words, in either API's form, nested or not."""
    flat: dict[str, Any] = {}
    for key, value in usage.items():
        flat.update(value if isinstance(value, dict) else {key: value})

    def first(*names: str) -> int | None:
        return next((flat[name] for name in names if flat.get(name) is not None), None)

    return (
        first("prompt_tokens", "input_tokens", "input"),
        first("cached_tokens", "input_cached_tokens"),
        first("completion_tokens", "output_tokens", "output"),
        first("reasoning_tokens", "output_reasoning_tokens"),
    )


def recorded_by_openllmetry(span: dict[str, Any]) -> Record:
    def number(*names: str) -> int | None:
        return next((span[name].int_value for name in names if name in span), None)

    return Record(
        (
            number("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
            number("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
            number("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
            number("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
        ),
        None,
        span["failed"],
    )  # fmt: skip


def recorded_in_file(folder: Path) -> list[Record]:
    """What a tool gave to the app."""
    file = folder / "calls.jsonl"
    records = []
    for line in file.read_text().splitlines() if file.exists() else ():
        call = json.loads(line)
        tokens = tuple(call["tokens"]) if "tokens" in call else counts_of(call.get("usage") or {})
        cost = None if call["cost"] is None else Decimal(str(call["cost"]))
        records.append(Record(tokens, cost, call.get("error", False)))
    return records


def recorded_by_us(folder: Path) -> list[Record]:
    columns = "input_tokens, cache_read_tokens, output_tokens, reasoning_tokens, cost, status"
    with closing(sqlite3.connect(folder / "usage.db")) as connection:
        rows = connection.execute(f"SELECT {columns} FROM events").fetchall()
    return [Record(row[:4], None if row[4] is None else Decimal(str(row[4])), row[5] == "error") for row in rows]


def recorded_by_llm_accounting(folder: Path) -> list[Record]:
    columns = "prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, cost"
    with closing(sqlite3.connect(folder / "accounting.db")) as connection:
        rows = connection.execute(f"SELECT {columns} FROM accounting_entries").fetchall()
    return [Record(row[:4], Decimal(str(row[4]))) for row in rows]


class Bench:
    """One tool in its environment, the provider that it calls and what it sends to."""

    def __init__(self, tool: Peer, home: Home, provider: StandIn, collector: Collector) -> None:
        self.tool = tool
        self._home = home
        self._provider = provider
        self._collector = collector

    def app(self, what: str, folder: Path, backend: str, *case: str) -> list[str]:
        return [str(self._home.python), str(APP), self.tool.name, what, str(folder), self._provider.url, backend, *case]

    def run(self, what: str, folder: Path, *case: str) -> str:
        """The app's output; nothing of one that was killed."""
        backend = self._collector.address if self.tool.sends == "traces" else ""
        environment = {**os.environ, "HOME": str(folder)}
        done = subprocess.run(
            self.app(what, folder, backend, *case), check=False, capture_output=True, text=True, env=environment,
            timeout=120,
        )  # fmt: skip
        if done.returncode not in (0, -9):
            raise Unavailable(f"{what}: {last_line(done.stderr)}")
        return done.stdout

    def records(self, folder: Path) -> list[Record]:
        """What there is of the calls of the app of that folder, once all that is left behind is shipped."""
        if self.tool.sends == "traces":
            read = recorded_by_langfuse if self.tool.name == "Langfuse" else recorded_by_openllmetry
            return [read(span) for span in self._collector.spans]
        if self.tool.name == OURS:
            ship(folder, f"sqlite:///{folder}/usage.db")
            return recorded_by_us(folder)
        return recorded_by_llm_accounting(folder) if self.tool.sends else recorded_in_file(folder)

    def case(self, case: Case) -> list[Record]:
        with self.fresh() as folder:
            self.run("call", folder, case.name)
            return self.records(folder)

    def killed(self) -> int:
        """How many of the calls of an app that was killed are lost, at most in some rounds."""
        lost = []
        for _ in range(ROUNDS):
            with self.fresh() as folder:
                self.run("killed", folder)
                lost.append(CALLS - len(self.records(folder)))
        return max(lost)

    def away(self, server: PostgresServer) -> dict[str, Any]:
        """What the app sees when the backend goes after its first call, and what there is when it is back."""
        with self.fresh() as folder:
            postgres = self.tool.sends == "postgres"
            database = server.create(migrated=self.tool.name == OURS) if postgres else ""
            address = f"postgresql://postgres@127.0.0.1:{server.port}/{database}"
            environment = {**os.environ, "HOME": str(folder)}
            command = self.app("away", folder, address if postgres else self._collector.address)
            with (folder / "errors").open("w+") as errors, subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            ) as process:  # fmt: skip
                assert process.stdin is not None
                assert process.stdout is not None
                lines = iter(process.stdout.readline, "")
                if not any(line == "called\n" for line in lines):
                    raise Unavailable(f"its Postgres can't be used ({last_line((folder / 'errors').read_text())})")
                (server if postgres else self._collector).stop()
                process.stdin.write("\n")
                process.stdin.flush()
                said = next(json.loads(line) for line in lines if line.startswith("{"))
                told = time.perf_counter()
                process.wait(120)
                said["exit"] = time.perf_counter() - told
            (server if postgres else self._collector).start()
            if self.tool.name == OURS:
                ship(folder, address)
            said["stored"] = stored(self.tool, address) if postgres else len(self._collector.spans)
            return said

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        self._collector.spans.clear()
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)

    def import_ms(self) -> float:
        """CPU that the import takes beside that of the SDK, the quickest of some."""
        return (self._cpu(f"import openai; {self.tool.imported}") - self._cpu("import openai")) * 1000

    def _cpu(self, statement: str) -> float:
        found = []
        with self.fresh() as folder:
            environment = {**os.environ, "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
            for _ in range(IMPORTS):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run(
                    [self._home.python, "-c", statement], check=True, capture_output=True, env=environment, cwd=folder
                )
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(found)


def ship(folder: Path, dsn: str) -> None:
    """What an app left behind, as the next one does it."""
    environment = {**os.environ, "HOME": str(folder), "TRACKER_SPOOL_DIR": str(folder / "spool")}
    subprocess.run(
        [sys.executable, "-m", "usage_tracker", "ship", "--once", "--dsn", dsn],
        check=True, capture_output=True, env=environment,
    )  # fmt: skip


def stored(tool: Peer, address: str) -> int:
    counted = "usage_tracker.usage_event" if tool.name == OURS else "accounting_entries"
    with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {counted}")
        [(found,)] = cursor.fetchall()
        return int(found)


def same(found: int | None, true: int | None) -> bool:
    """Of a part that there is none of, tools that leave it out and such that say 0 are both right."""
    return found == true or (not found and true == 0)


def tokens_cell(case: Case, records: list[Record]) -> tuple[str, bool]:
    """What a tool has of a call's tokens, and whether it is right."""
    if not records:
        return ("no record", False)
    if len(records) > 1:
        return (f"{len(records)} records", False)
    [record] = records
    failure = "" if record.error == (case.status != 200) else ", no error" if case.status != 200 else ", an error"
    wrong = [
        f"{name} {'unknown' if found is None else f'{found:,}'}"
        for name, found, true in zip(
            ("input", "cached", "output", "reasoning"), record.tokens, case.tokens, strict=True
        )
        if not same(found, true)
    ]
    return (", ".join(wrong) + failure, False) if wrong or failure else ("right", True)


def cost_cell(case: Case, records: list[Record]) -> tuple[str, bool]:
    if len(records) != 1:
        return ("–", False)
    [record] = records
    true = None if case.cost is None else Decimal(case.cost)
    free = case.status != 200 and not record.cost  # of a refused call, nothing and 0 are both right
    if free or record.cost == true or (record.cost and true and abs(record.cost - true) <= ROUNDED):
        return ("unknown, rightly" if record.cost is None else "right", True)
    return ("unknown" if record.cost is None else f"${record.cost.normalize():f}", False)


class Found(NamedTuple):
    """All of a tool."""

    home: Home
    import_ms: float
    records: dict[str, list[Record]]
    killed: int
    away: dict[str, Any] | str | None
    """Or why it can't be tried; None where nothing is sent anywhere."""
    rate: dict[str, float] | None


def measure(tool: Peer, provider: StandIn, collector: Collector, server: PostgresServer) -> Found:
    home = install(tool)
    bench = Bench(tool, home, provider, collector)
    rate = None
    if tool.name == "llm-accounting":
        with bench.fresh() as folder:
            rate = json.loads(bench.run("store", folder).splitlines()[-1])
    elif tool.name == OURS:
        rate = {"rate": our_rate()}
    away: dict[str, Any] | str | None = None
    if tool.sends:
        try:
            away = bench.away(server)
        except Unavailable as error:
            away = str(error)
    cases = {case.name: bench.case(case) for case in CASES}
    return Found(home, bench.import_ms(), cases, bench.killed(), away, rate)


def our_rate() -> float:
    """Events a second from a full journal into an SQLite file, priced and summed."""
    from ingest import measure_sqlite

    [(_, run, _), *_] = measure_sqlite(10 * WRITES, 0, peers=False)
    assert not isinstance(run, str)
    return run.rate


Column = Found | str
"""Or why there is nothing of it."""


def shown(columns: dict[str, Column], show: Callable[[Found, str], str]) -> list[str]:
    return ["–" if isinstance(found, str) else show(found, name) for name, found in columns.items()]


def of_cases(found: Found, cell: Callable[[Case, list[Record]], tuple[str, bool]]) -> str:
    right = sum(cell(case, found.records[case.name])[1] for case in CASES)
    return f"{right} of {len(CASES)}"


def costs(found: Found, name: str) -> str:
    if name in ("Langfuse", "OpenLLMetry"):
        return "left to its server"
    if name == "llm-accounting":
        return "left to the app"
    return of_cases(found, cost_cell)


def away_cell(found: Found, _: str) -> str:
    if not isinstance(found.away, dict):
        return "–" if found.away is None else "not tried"
    raised = f", {found.away['failed']} raised" if found.away["failed"] else ""
    return f"{found.away['stored']} of {CALLS + 1}{raised}"


def summary(columns: dict[str, Column]) -> str:
    """The README's table."""
    return table(
        ["", *columns],
        [
            ["version", *("–" if isinstance(each, str) else each.home.version for each in columns.values())],
            ["packages that come with it, and itself", *shown(columns, lambda found, _: f"{found.home.packages}")],
            ["right about the tokens of a call", *shown(columns, lambda found, _: of_cases(found, tokens_cell))],
            ["right about its cost", *shown(columns, costs)],
            [f"of {CALLS} calls, lost by a `kill -9` right after", *shown(columns, lambda found, _: f"{found.killed}")],
            [f"stored of {CALLS + 1} calls around an outage", *shown(columns, away_cell)],
        ],
    )  # fmt: skip


def details(columns: dict[str, Column]) -> str:
    """Case by case, and what the summary has no room for."""
    parts = []
    for title, cell in (("tokens", tokens_cell), ("cost", cost_cell)):
        rows = [
            [case.told, *shown(columns, lambda found, _, case=case, cell=cell: cell(case, found.records[case.name])[0])]
            for case in CASES
        ]  # fmt: skip
        parts.append(table([title, *columns], rows))
    rows = [
        ["installed, MB", *shown(columns, lambda found, _: f"{found.home.megabytes:,.0f}")],
        ["its import, ms of CPU beside the SDK's", *shown(columns, lambda found, _: f"{max(found.import_ms, 0):,.0f}")],
        [
            "longest call while what it sends to is away, ms",
            *shown(
                columns,
                lambda found, _: f"{found.away['longest'] * 1000:,.0f}" if isinstance(found.away, dict) else "–",
            ),
        ],
        [
            "exit then, s",
            *shown(columns, lambda found, _: f"{found.away['exit']:.1f}" if isinstance(found.away, dict) else "–"),
        ],
        [
            "events a second into SQLite",
            *shown(columns, lambda found, _: f"{found.rate['rate']:,.0f}" if found.rate else "–"),
        ],
    ]
    parts.append(table(["what else", *columns], rows))
    absent = [
        f"{name}: {found if isinstance(found, str) else found.away}."
        for name, found in columns.items()
        if isinstance(found, str) or isinstance(found.away, str)
    ]
    return "\n\n".join([*parts, *absent])


def write(file: Path, name: str, text: str) -> None:
    whole = file.read_text(encoding="utf-8")
    place = re.compile(rf"<!-- {name}: .*?<!-- /{name} -->", re.DOTALL)
    assert place.search(whole), f"{file.name} has no place for {name}"
    section = f"<!-- {name}: written by benchmarks/comparison.py -->\n\n{text}\n\n<!-- /{name} -->"
    file.write_text(place.sub(lambda _: section, whole), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=f"of {', '.join(tool.name for tool in TOOLS)}")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.write and options.tools:
        parser.error("the tables are of all tools")
    columns: dict[str, Column] = {}
    collector = Collector()
    with closing(PostgresServer()) as server, StandIn() as provider:
        server.start()
        provider.reply = answer
        for tool in TOOLS:
            if options.tools and tool.name not in options.tools:
                continue
            print(f"{tool.name} …", file=sys.stderr, flush=True)
            try:
                columns[tool.name] = measure(tool, provider, collector, server)
            except Unavailable as error:
                columns[tool.name] = str(error)
    print(f"{summary(columns)}\n\n{details(columns)}")
    if options.write:
        write(ROOT / "README.md", "comparison", summary(columns))
        write(ROOT / "docs" / "comparison.md", "comparison", summary(columns))
        write(ROOT / "docs" / "comparison.md", "cases", details(columns))


if __name__ == "__main__":
    main()
