"""Many threads of many processes against one budget: what they spend of it, by the provider's own count.

    cd tests && python -m budget_crowd --runs 50                    strict, in Postgres, seeded
    cd tests && python -m budget_crowd --mode default --runs 5
    cd tests && python -m budget_crowd --mode litellm --runs 5 --python ../.venv-litellm/bin/python

Each thread calls the real SDK until it is refused. The provider is a stand-in on the loopback; a call costs up to two
cents. With `litellm`, the limit is LiteLLM's own, `litellm.max_budget`, and usage_tracker is not loaded; a thread makes
at most MOST_CALLS calls then.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from migrated import migrated
from msgspec.structs import replace

from usage_tracker.budgets.book import set_budget
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.estimates import tokens_asked
from usage_tracker.demo.exchange import Asked, Json, Reply
from usage_tracker.demo.standin import StandIn
from usage_tracker.dsn import parse_dsn
from usage_tracker.report import Query, run
from usage_tracker.stores import open_store

MODEL = "gpt-4o-2024-11-20"
INPUT, OUTPUT = Decimal("0.0000025"), Decimal("0.00001")
"""What a token of it costs, in US dollars."""
MOST_TOKENS = 1800
PROMPT = "word " * 200
MOST_CALLS = 8
"""Of one thread, of what never refuses."""

OURS = """
import sys, threading, time, pathlib
import openai, usage_tracker
from usage_tracker.budgets import holding
holding.FIRST_SECONDS = 60  # calls are made without knowing of budgets after 2, and a crowd of processes takes longer
usage_tracker.install(app="crowd")
url, threads, go = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
client = openai.OpenAI(api_key="sk-test", base_url=url, max_retries=0, timeout=60)
refused = []

def work():
    for _ in range({calls}):
        try:
            client.chat.completions.create(
                model={model!r}, max_tokens={most}, messages=[{{"role": "user", "content": {prompt!r}}}]
            )
        except usage_tracker.BudgetExceeded as error:
            refused.append(str(error))
            return
"""

LITELLM = """
import sys, threading, time, pathlib
import litellm
litellm.max_budget = float(sys.argv[4])
litellm.suppress_debug_info = True
url, threads, go = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
refused = []

def work():
    for _ in range({calls}):
        try:
            litellm.completion(
                model="openai/{model}", api_key="sk-test", api_base=url, num_retries=0, max_tokens={most},
                messages=[{{"role": "user", "content": {prompt!r}}}],
            )
        except litellm.BudgetExceededError as error:
            refused.append(str(error))
            return
"""

CROWD = """
crowd = [threading.Thread(target=work) for _ in range(threads)]
print("ready", flush=True)
while not go.exists():
    time.sleep(0.01)
for thread in crowd: thread.start()
for thread in crowd: thread.join()
print(len(refused), flush=True)
"""


class Spent(NamedTuple):
    """What became of one run."""

    calls: int
    spent: Decimal
    """By the provider's own count."""
    errors: Decimal
    """By how much calls cost more than was estimated before, in sum."""
    stored: Decimal | None
    """By the report; None: nothing of ours ran."""
    refused: int
    seconds: float


def crowd(
    dsn: str,
    folder: Path,
    seed: int,
    *,
    mode: str = "strict",
    processes: int = 4,
    threads: int = 32,
    limit: Decimal = Decimal(1),
    delay: float = 0.05,
    python: str = sys.executable,
) -> Spent:
    """One run."""
    dice, lock = random.Random(seed), threading.Lock()
    used: list[tuple[Decimal, Decimal]] = []

    def reply(asked: Asked) -> Reply:
        into, most = tokens_asked(asked.body)
        with lock:
            # one call in ten is answered with more than it asked for
            out = dice.randint(MOST_TOKENS // 10, MOST_TOKENS if dice.random() < 0.9 else MOST_TOKENS * 11 // 10)
            tokens = dice.randint(into // 2, into)
            cost = tokens * INPUT + out * OUTPUT
            used.append((cost, cost - (into * INPUT + (most or 0) * OUTPUT)))
        return Reply(answer(tokens, out))

    if mode != "litellm":
        with migrated(dsn) as store:
            budget = Budget(name="crowd", limit=limit, per="day", on_limit="block")
            if mode == "strict":
                budget = replace(budget, strict=True, unreachable="closed")
            set_budget(store, budget)
    go = folder / "go"
    script = (LITELLM if mode == "litellm" else OURS).format(
        model=MODEL, most=MOST_TOKENS, prompt=PROMPT, calls=MOST_CALLS if mode == "litellm" else 10**6
    ) + CROWD
    environment = {**os.environ, "TRACKER_DSN": dsn, "TRACKER_SPOOL_DIR": str(folder / "spool")}
    environment |= {"TRACKER_BUDGETS": "wait", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with StandIn() as provider, ExitStack() as stack:
        provider.delay, provider.reply = delay, reply
        command = [python, "-c", script, provider.base_url, str(threads), str(go), str(limit)]
        children = [
            stack.enter_context(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
            for _ in range(processes)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline().strip() == "ready"
        started = time.monotonic()
        go.touch()
        refused = 0
        for child in children:
            assert child.stdout is not None
            refused += int(child.stdout.readline())
        seconds = time.monotonic() - started
        for child in children:
            assert child.wait() == 0
    return Spent(
        len(used),
        sum((cost for cost, _ in used), Decimal(0)),
        sum((max(error, Decimal(0)) for _, error in used), Decimal(0)),
        None if mode == "litellm" else stored_cost(dsn, folder),
        refused,
        seconds,
    )


def answer(into: int, out: int) -> Json:
    message = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    usage = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL}
    return {**head, "choices": [message], "usage": usage}


def stored_cost(dsn: str, folder: Path) -> Decimal:
    """What the report says, once all is stored."""
    environment = {**os.environ, "TRACKER_DSN": dsn, "TRACKER_SPOOL_DIR": str(folder / "spool")}
    subprocess.run(
        [sys.executable, "-m", "usage_tracker", "ship", "--once"], env=environment, check=True, capture_output=True
    )
    with closing(open_store(parse_dsn(dsn))) as store:
        return run(store, Query(by=())).total.cost or Decimal(0)


def main() -> None:
    from postgres_server import PostgresServer

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mode", choices=["strict", "default", "litellm"], default="strict")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="the first run's seed")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--python", default=sys.executable)
    asked = parser.parse_args()
    most = Decimal(0)
    with tempfile.TemporaryDirectory() as folder, closing(PostgresServer()) as server:
        server.start()
        for seed in range(asked.first, asked.first + asked.runs):
            place = Path(folder) / f"run-{seed}"
            place.mkdir()
            found = crowd(
                server.dsn(server.create(migrated=False)),
                place,
                seed,
                mode=asked.mode,
                processes=asked.processes,
                threads=asked.threads,
                python=asked.python,
            )
            most = max(most, found.spent)
            print(json.dumps({"seed": seed, **found._asdict()}, default=str), flush=True)
            if asked.mode == "strict" and found.spent > 1 + found.errors:
                raise SystemExit(f"seed {seed}: {found.spent} is more than the limit and {found.errors}")
    print(f"{asked.runs} runs; the most that was spent of $1: ${most:.4f}")


if __name__ == "__main__":
    main()
