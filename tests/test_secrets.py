"""Neither the database's password nor a provider's key is in anything that we write, whatever goes wrong."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commanding import invoke
from postgres_server import LOCKED_ROLE, PostgresServer

from usage_tracker.cli.commands import COMMANDS
from usage_tracker.demo.exchange import Reply
from usage_tracker.demo.standin import StandIn

PASSWORD = "geheim-7f3a-%40"
"""As a URL has it: the last character is an @."""
PLAIN = "geheim-7f3a-@"
WRONG = "falsch-9b21"
KEY = "sk-proj-geheim0123456789abcdefghijklmnop"
SECRETS = (PASSWORD, PLAIN, "geheim", WRONG, KEY)

APP = """
import logging, openai, usage_tracker
from usage_tracker import tracker
logging.basicConfig(level=logging.WARNING)
logging.getLogger("usage_tracker").setLevel(logging.DEBUG)
client = openai.OpenAI(max_retries=0)
for model in ("gpt-4o-mini", "refused"):
    try:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello!"}])
    except openai.AuthenticationError as error:
        assert "Incorrect API key" in str(error)
ships = tracker.installed.pipeline().shipping  # not with a DSN that can't be read
while ships and not usage_tracker.flush(0.2) and not usage_tracker.stats().last_error:
    pass
print(usage_tracker.stats())
"""
COMMAND_LINES: tuple[list[str], ...] = (
    ["migrate"], ["migrate", "--print-grants"], ["ship", "--once"], ["report"], ["daily"], ["weekly"], ["monthly"],
    ["top"], ["watch", "--once"], ["events"], ["query", "SELECT * FROM events"], ["query", "SELECT nonsense"],
    ["prices", "list", "gpt-4o"], ["prices", "set", "a-*", "--input", "1", "--output", "1"], ["prices", "unpriced"],
    ["reprice", "--since", "7d"], ["reconcile", "openai"], ["doctor"], ["doctor", "--json"], [], ["export"],
    ["budget", "set", "all", "--limit", "1", "--per", "day"], ["budget", "status"], ["budget", "list"],
    ["prune", "--older-than", "1d"], ["import", "jsonl", os.devnull], ["completion", "bash"],
    ["sinks"],
)  # fmt: skip


@pytest.fixture
def locked(own_postgres: PostgresServer) -> Iterator[str]:
    """A database that LOCKED_ROLE owns, which needs its password."""
    own_postgres.let_in(PLAIN)
    name = own_postgres.create(migrated=False)
    own_postgres.run(f"GRANT CREATE ON DATABASE {name} TO {LOCKED_ROLE}")
    yield name
    own_postgres.drop(name)


def test_every_command_is_among_them() -> None:
    assert {words[0] for words in COMMAND_LINES if words} == COMMANDS.keys() - {"demo", "init", "run", "serve"}, (
        "the demo has a store of its own, `run` is how the program is started, and the others have tests of their own"
    )


def test_nothing_that_is_written_has_a_secret(
    own_postgres: PostgresServer, locked: str, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = f"127.0.0.1:{own_postgres.port}/{locked}"
    right = f"postgresql://{LOCKED_ROLE}:{PASSWORD}@{server}"
    wrong = f"host=127.0.0.1 port={own_postgres.port} dbname={locked} user={LOCKED_ROLE} password='{WRONG}'"
    broken = f"postgresql://{LOCKED_ROLE}:{PLAIN}@{server}"
    written: list[str] = []

    def refuse(asked: object) -> Reply | None:
        if "refused" not in str(asked):
            return None
        return Reply({"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}, 401)

    with StandIn() as provider:
        provider.reply = refuse
        for dsn in (wrong, broken, right):
            done = subprocess.run(
                [sys.executable, "-m", "usage_tracker", "--debug", "run", "--", sys.executable, "-c", APP],
                env={
                    "PATH": os.environ["PATH"], "HOME": str(own_environment), "OPENAI_API_KEY": KEY,
                    "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
                    "PYTHONPATH": str(Path(__file__).parent.parent), "OPENAI_BASE_URL": provider.base_url,
                    "TRACKER_DSN": dsn, "TRACKER_EXIT_TIMEOUT": "0.5",
                },
                capture_output=True, text=True, check=True, timeout=60,
            )  # fmt: skip
            assert "captured=2" in done.stdout
            written += [done.stdout, done.stderr]
    assert "password authentication failed" in written[1]

    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("TRACKER_SDKS", "openai")
    for dsn in (right, wrong):
        monkeypatch.setenv("TRACKER_DSN", dsn)
        for words in COMMAND_LINES:
            result = invoke("--debug", *words)
            assert result.exit_code in (0, 1, 4, 5, 6), (words, result.output)
            written.append(result.output)
    assert sum("gpt-4o-mini" in text for text in written) > 3, "some of it is about what was stored"

    files = [path for path in own_environment.rglob("*") if path.is_file()]
    assert any(path.suffix == ".seg" for path in files), "what waits for a wrong password"
    written += [path.read_bytes().decode("latin-1") + str(path) for path in files]
    tables = own_postgres.run("SELECT relname FROM pg_class WHERE relnamespace = 'usage_tracker'::regnamespace AND "
                              "relkind IN ('r', 'p', 'v')", locked)  # fmt: skip
    written += [str(own_postgres.run(f"SELECT t::text FROM usage_tracker.{name} t", locked)) for (name,) in tables]
    found = {secret for secret in SECRETS for text in written if secret in text}
    assert found == set(), [text for text in written if any(secret in text for secret in found)]
