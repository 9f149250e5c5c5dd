"""What holds for every test: no settings of the developer's machine, and no error of ours that nobody sees."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from anthropic_server import anthropic  # noqa: F401  a stand-in of the provider
from budgeted import enforcing, fresh_start, plain_client  # noqa: F401  calls that are held to budgets
from capturing import captured, capturing, provider  # noqa: F401  the real SDKs against a local provider
from clickhouse_servers import (  # noqa: F401  the fixtures of a throw-away ClickHouse
    chdb_server,
    clickhouse_dsn,
    empty_clickhouse_dsn,
    migrated_clickhouse_dsn,
)
from gemini_server import gemini  # noqa: F401  a stand-in of the provider
from hypothesis import HealthCheck, settings
from in_postgres import fragile  # noqa: F401  a store on a server that tests may stop
from migrated import migrated
from postgres_server import (  # noqa: F401  the fixtures of a throw-away Postgres
    empty_postgres_dsn,
    own_postgres,
    own_postgres_server,
    postgres_databases,
    postgres_dsn,
)
from receivers import receiver  # noqa: F401  what sinks send to
from spooled import place  # noqa: F401  events on their way to a store

from usage_tracker import guard
from usage_tracker.capture import open_calls

if "CI" not in os.environ:  # there, Hypothesis has a profile of its own, as patient as this one
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script; programs inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # until all tests are found: what is imported for them stays, and to look through it takes a sixth longer

FOREIGN = ("TRACKER_", "OPENAI_", "AZURE_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "LITELLM_", "OTEL_", "XDG_", "PG")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
SLOW = frozenset(
    """
    awaited background budget_sidecar budgets_guide celery cli clickhouse clickhouse_guide contributing crew
    descriptors distribution enforcing exactly_once export_places exports faults gate grants hostile_segments
    importing lake many_hosts memory migrations money_guide openai_events operating_guide patch_order postgres
    prices_command protocol query readme reprice reservations rollups scale_guide secrets shipper sidecar sinks
    sinks_guide spending stores strict tracker warehouses_guide web_access web_api web_browser web_budgets web_pages
    web_reading
    """.split()
)
"""Files that take more than five seconds, as they start servers, browsers or many programs: `make check` leaves them
out."""
KEPT = {"TRACKER_TEST_DSN", "LITELLM_LOCAL_MODEL_COST_MAP"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out the files that take long")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    quick = config.getoption("--quick")
    return True if quick and collection_path.stem.removeprefix("test_") in SLOW else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> None:
    """Whatever earlier tests have imported is not looked through whenever a test collects garbage, as many do."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["sqlite", "postgres"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store with its schema. A test that asks for it is one for SQLite and one for Postgres."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_dsn"))
    address = f"sqlite:///{tmp_path}/usage.db"
    with migrated(address):
        return address


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of one authority, for those who trust it alone."""
    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")
    path = tmp_path_factory.mktemp("authorities") / "one.pem"
    path.write_text(f"{first}{end}\n")
    return path


@pytest.fixture(autouse=True)
def own_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, one_authority: Path
) -> Path:
    """No setting of the machine's user is seen, nor their terminal's width, and nothing is written into their home.
    Each client of an SDK reads all authorities that it trusts, which takes 25 ms for all that there are."""
    for name in os.environ.keys() - KEPT:
        if name.startswith(FOREIGN) or name.lower() in PROXIES or name == "COLUMNS":
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SSL_CERT_FILE", str(one_authority))
    return home


@pytest.fixture(autouse=True)
def guarded_errors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Exception]]:
    """What the guard swallowed during the test, in any thread. It fails the test, unless it is expected; then
    its absence does."""
    swallowed: list[Exception] = []

    def keep(where: guard.Guard, error: Exception) -> None:
        swallowed.append(error)
        guard.count(where, error)

    monkeypatch.setattr(guard, "report", keep)
    yield swallowed
    expected = request.node.get_closest_marker("guarded_errors_expected") is not None
    if swallowed and not expected:
        raise ExceptionGroup("swallowed by the guard", swallowed)
    assert swallowed or not expected, "the guard had nothing to swallow"


@pytest.fixture(autouse=True)
def no_open_calls() -> None:
    """What an earlier test left open is not this one's."""
    open_calls.clear()
