"""An alert comes once, however many processes notice; who can't take it is tried again; no secret is shown."""

import asyncio
import decimal
import json
import logging
import os
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from certificates import certificate
from made_events import made_event, store_events
from migrated import migrated
from ports import free_port
from postgres_server import Databases
from racing import race
from receivers import Dripping, Receiver

from usage_tracker import budgeting, outgoing
from usage_tracker.addresses import forbidden, parse_receiver
from usage_tracker.budgeting import Budgeting
from usage_tracker.budgets import alerts as alerting
from usage_tracker.budgets import receivers
from usage_tracker.budgets.alerts import Alert, Alerts, budget_alerts
from usage_tracker.budgets.book import remove_budget, set_budget
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.receivers import receivers_of
from usage_tracker.budgets.scope import NOBODY
from usage_tracker.budgets.windows import Window
from usage_tracker.conditions import Condition
from usage_tracker.config import load_settings
from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import ConfigError, StoreUnavailable
from usage_tracker.journal import Spool
from usage_tracker.journal.aside import note_dropped
from usage_tracker.outgoing import NotSent, sign
from usage_tracker.stores import Store, open_store
from usage_tracker.stores.grants import grants
from usage_tracker.threads import start_thread
from usage_tracker.unusual import anomaly, look_for

WINDOW = Window(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC))
SECRET = "whsec-not-to-be-shown"


class Inbox:
    """A receiver that listens on the loopback."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        self.location: str | None = None
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                inbox.posts.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(inbox.status)
                if inbox.location:
                    self.send_header("Location", inbox.location)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Tests have enough to say."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook/{SECRET}"

    def texts(self) -> list[str]:
        return [json.loads(body)["text"] for _, _, body in self.posts]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with migrated(f"sqlite:///{tmp_path}/usage.db") as opened:
        yield opened


def settings(**said: Any) -> Any:
    return load_settings({}, **{"ship": False, **said})


def raised(store: Store, inbox: Inbox, *alerts: Alert, **said: Any) -> Alerts:
    made = Alerts(receivers_of(settings(alert_webhook=inbox.url, **said)), lambda: store)
    made.notice(store, alerts)
    made.send(store)
    return made


def budget(**said: Any) -> Budget:
    return Budget(**{"name": "b", "limit": Decimal(10), "soft": (Decimal("0.5"),), **said})


def test_each_share_of_a_budget_that_is_reached_is_an_alert() -> None:
    assert budget_alerts(budget(), WINDOW, {"": Decimal(4)}) == []
    [half] = budget_alerts(budget(), WINDOW, {"": Decimal("5.25")})
    assert half.message["text"] == "Budget b: $5.25 of $10.00 per month used (52%), all calls."
    both = budget_alerts(budget(each="user", on_limit="block"), WINDOW, {"u-1": Decimal(11), "u-2": Decimal(1)})
    assert [(alert.part, alert.threshold) for alert in both] == [("u-1", "0.5"), ("u-1", "1")]
    assert both[0].message["text"].endswith("all calls, each user."), "they are made, up to the limit"
    assert both[1].message["text"].endswith("Calls are refused.")


def test_an_alert_is_sent_once_and_again_only_for_another_window_or_limit(store: Store, inbox: Inbox) -> None:
    set_budget(store, budget())
    for _ in range(2):
        raised(store, inbox, *budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    assert len(inbox.posts) == 1
    later = Window(WINDOW.end, WINDOW.end + timedelta(days=30))
    raised(store, inbox, *budget_alerts(budget(), later, {"": Decimal(6)}))
    assert len(inbox.posts) == 2
    dearer = budget(limit=Decimal(11))
    set_budget(store, dearer)
    raised(store, inbox, *budget_alerts(dearer, WINDOW, {"": Decimal(6)}))
    assert len(inbox.posts) == 3


def test_a_budget_that_counts_something_else_or_is_set_anew_alerts_anew(store: Store, inbox: Inbox) -> None:
    other = budget(where=(Condition("team", True, "shop"),))
    for number, each in enumerate((budget(), other, budget(each="user"), budget(measure="tokens"), budget()), 1):
        set_budget(store, each)
        for _ in range(2):
            raised(store, inbox, *budget_alerts(each, WINDOW, {"": Decimal(6)}))
        assert len(inbox.posts) == number
    remove_budget(store, "b")
    set_budget(store, budget())
    raised(store, inbox, *budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    assert len(inbox.posts) == 6
    set_budget(store, budget(on_limit="block"))
    raised(store, inbox, *budget_alerts(budget(on_limit="block"), WINDOW, {"": Decimal(6)}))
    assert len(inbox.posts) == 6, "what it does at its limit is no other limit"


@pytest.mark.parametrize("named", [True, False])
def test_the_log_has_an_alert_once_whoever_leads(
    store: Store, inbox: Inbox, caplog: pytest.LogCaptureFixture, *, named: bool
) -> None:
    said = {"alert_webhook": inbox.url} if named else {}

    def lead(each: Budget, used: str) -> None:
        made = Alerts(receivers_of(settings(**said)), lambda: store)
        for _ in range(2):
            made.notice(store, budget_alerts(each, WINDOW, {"": Decimal(used)}))
            made.send(store)

    set_budget(store, budget())
    for used in ("6", "7", "10", "11"):
        lead(budget(), used)
    assert [text.partition(" of")[0] for text in caplog.messages] == ["Budget b: $6.00", "Budget b: $10.00"]
    set_budget(store, budget(limit=Decimal(11)))
    lead(budget(limit=Decimal(11)), "6")
    assert len(caplog.messages) == 3
    assert len(inbox.posts) == (3 if named else 0)


def test_leaders_that_notice_together_tell_one_log(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found, reached = budget_alerts(budget(), WINDOW, {"": Decimal(6)}), alerting.raised_before

    def reads(asked: Store, alerts: Any) -> Any:
        before = reached(asked, alerts)
        monkeypatch.setattr(alerting, "raised_before", reached)
        Alerts([], lambda: store).notice(store, found)  # somebody else, in between
        return before

    monkeypatch.setattr(alerting, "raised_before", reads)
    Alerts([], lambda: store).notice(store, found)
    assert len(caplog.messages) == 1


def test_a_role_that_may_not_note_alerts_is_held_to_budgets_and_tells_them(
    postgres_dsn: str, postgres_databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    role, database = f"reader_{uuid4().hex[:8]}", postgres_dsn.rpartition("dbname=")[2].split()[0]
    postgres_databases.run(f"CREATE ROLE {role} LOGIN")
    postgres_databases.run(grants("reader", role), database)
    with closing(open_store(parse_dsn(postgres_databases.dsn(database, user=role)))) as store:
        for _ in range(2):
            Alerts([], lambda: store).notice(store, budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    postgres_databases.run(f"DROP OWNED BY {role}", database)
    postgres_databases.run(f"DROP ROLE {role}")
    assert len(caplog.messages) == 2


def test_one_process_follows_a_budget_that_is_changed(store: Store, inbox: Inbox) -> None:
    made = Alerts(receivers_of(settings(alert_webhook=inbox.url)), lambda: store)
    for each in (budget(), budget(limit=Decimal(11)), budget(limit=Decimal(11), each="user"), budget()):
        set_budget(store, each)
        for _ in range(2):
            made.notice(store, budget_alerts(each, WINDOW, {"": Decimal(6)}))
            made.send(store)
    *ids, last = [json.loads(body)["id"] for _, _, body in inbox.posts]
    assert len(ids) == len(set(ids)) == 3, "who knows ids takes each for another one"
    assert last == ids[0]


def test_a_leader_remembers_the_alerts_of_this_window_and_no_earlier_ones(
    store: Store, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    made, each = Alerts(receivers_of(settings(alert_webhook=inbox.url)), lambda: store), budget(each="user", soft=())
    used = {f"u-{number}": Decimal(11) for number in range(3)}
    for month in range(4):
        window = Window(WINDOW.start + month * timedelta(days=30), WINDOW.end + month * timedelta(days=30))
        for parts in ({"u-0": Decimal(11)}, used, {}, used):
            made.notice(store, budget_alerts(each, window, parts))
        made.send(store)
        assert len(inbox.posts) == len(caplog.records) == 3 * (month + 1)
        assert sum(len(raised.at) for raised in made._raised.values()) == 3


def test_calls_of_nobody_are_told_by_every_store(postgres_dsn: str, store: Store, inbox: Inbox) -> None:
    each = budget(each="user")
    with closing(open_store(parse_dsn(postgres_dsn))) as postgres:
        for place in (postgres, store):
            raised(place, inbox, *budget_alerts(each, WINDOW, {NOBODY: Decimal(6)}))
    assert [text.partition(":")[0] for text in inbox.texts()] == ["Budget b of (none)"] * 2


CROSS = """
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from usage_tracker.budgets.alerts import Alerts, budget_alerts
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.receivers import receivers_of
from usage_tracker.budgets.windows import Window
from usage_tracker.config import load_settings
from usage_tracker.dsn import parse_dsn
from usage_tracker.stores import open_store

def work(number, dsn):
    budget = Budget(name="b", limit=Decimal(10), soft=(Decimal("0.5"),))
    window = Window(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC))
    receivers = receivers_of(load_settings({{}}, ship=False, alert_webhook={url!r}))
    with closing(open_store(parse_dsn(dsn))) as store:
        alerts = Alerts(receivers, lambda: store)
        alerts.notice(store, budget_alerts(budget, window, {{"": Decimal(6)}}))
        alerts.send(store)
"""


@pytest.mark.timeout(240)
def test_of_64_processes_that_cross_a_threshold_one_sends_the_alert(postgres_dsn: str, inbox: Inbox) -> None:
    work = CROSS.format(url=inbox.url) + "\nimport logging; logging.disable()\n"
    assert race(work, postgres_dsn, 64) == []
    assert len(inbox.posts) == 1


def test_a_webhook_is_signed(store: Store, inbox: Inbox) -> None:
    raised(store, inbox, *budget_alerts(budget(), WINDOW, {"": Decimal(6)}), alert_secret=SECRET)
    [(path, headers, body)] = inbox.posts
    assert path == f"/hook/{SECRET}"
    seconds = int(headers["x-usage-tracker-signature"].partition(",")[0].removeprefix("t="))
    assert headers["x-usage-tracker-signature"] == sign(SECRET, body, seconds)
    assert abs(seconds - time.time()) < 600
    said = json.loads(body)
    assert said["id"] == headers["x-usage-tracker-id"]
    assert (said["kind"], said["budget"], said["spent"], said["threshold"]) == ("budget", "b", "6", "0.5")


def test_a_receiver_that_refuses_is_tried_again_later(
    store: Store, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerting, "FIRST_RETRY", 600.0)
    inbox.status = 503
    with caplog.at_level(logging.WARNING, "usage_tracker"):
        made = raised(store, inbox, *budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    assert len(inbox.posts) == 1
    assert "answered 503" in caplog.text
    assert SECRET not in caplog.text
    made.send(store)
    assert len(inbox.posts) == 1, "not before its time"
    inbox.status = 204
    later = time.time() + alerting.FIRST_RETRY + 1
    monkeypatch.setattr(time, "time", lambda: later)
    made.send(store)
    made.send(store)
    assert len(inbox.posts) == 2
    assert inbox.posts[0][2] == inbox.posts[1][2], "the same id and content"


def test_an_alert_comes_once_and_in_time_whatever_the_clocks_of_hosts_say(
    postgres_dsn: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that was a year ahead forgot all that was sent, which came again; and what it could not send was tried
    again in a year."""
    real, first = time.time, budget_alerts(budget(), WINDOW, {"": Decimal(6)})
    with migrated(postgres_dsn) as store:
        raised(store, inbox, *first)
        with monkeypatch.context() as ahead:
            ahead.setattr(time, "time", lambda: real() + 31_536_000)
            inbox.status = 503
            raised(store, inbox, *budget_alerts(budget(name="other"), WINDOW, {"": Decimal(6)}))
        inbox.status = 200
        raised(store, inbox, *first)
        assert [text.partition(":")[0] for text in inbox.texts()] == ["Budget b", "Budget other"]
        [(later,)] = store.select("SELECT next_try_at FROM usage_tracker.budget_alert WHERE sent_at IS NULL")
        assert float(str(later)) < real() + alerting.LONGEST_RETRY


def test_a_receiver_is_asked_again_when_it_says(store: Store) -> None:
    with closing(Receiver()) as receiver:
        receiver.answers, receiver.headers["Retry-After"] = [429], "60"
        slack = f"http://127.0.0.1:{receiver.port}/"
        made = Alerts(receivers_of(settings(alert_slack=slack)), lambda: store)
        made.notice(store, budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
        before = time.time()
        made.send(store)
    [(later,)] = store.select("SELECT next_try_at FROM budget_alert")
    assert before <= float(str(later)) - 60 <= time.time()


def test_a_receiver_that_is_away_holds_up_no_other(store: Store, inbox: Inbox) -> None:
    away = f"http://127.0.0.1:{free_port()}/"
    alerts = [alert for name in "abcde" for alert in budget_alerts(budget(name=name), WINDOW, {"": Decimal(6)})]
    made = Alerts(receivers_of(settings(alert_webhook=f"{away},{inbox.url}")), lambda: store)
    made.notice(store, alerts)
    made.send(store)
    assert len(inbox.posts) == len(alerts) == 5
    tried = store.select("SELECT count(*), sum(tries) FROM budget_alert WHERE sent_at IS NULL")
    assert list(tried) == [(5, 1)]


def test_a_receiver_that_never_takes_an_alert_is_given_up_and_said(
    store: Store, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerting, "MOST_TRIES", 2)
    inbox.status = 503
    made = raised(store, inbox, *budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    for later in (1, 2, 3):
        at = time.time() + later * alerting.LONGEST_RETRY
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda at=at: at)
            made.send(store)
    assert len(inbox.posts) == 2
    assert "an alert is given up: " in caplog.text
    assert SECRET not in caplog.text


def test_what_is_due_is_sent_beside_the_leaders_work(tmp_path: Path, store: Store, inbox: Inbox) -> None:
    made = Alerts(
        receivers_of(settings(alert_webhook=inbox.url)),
        lambda: open_store(parse_dsn(f"sqlite:///{tmp_path}/usage.db")),
    )
    made.notice(store, budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    made.send_later()
    made.send_later()  # it has only just looked
    made.wait(30)
    assert len(inbox.posts) == 1


def test_what_is_new_is_sent_at_once_by_a_program_that_ends_too(tmp_path: Path, store: Store, inbox: Inbox) -> None:
    made = Alerts(
        receivers_of(settings(alert_webhook=inbox.url)),
        lambda: open_store(parse_dsn(f"sqlite:///{tmp_path}/usage.db")),
    )
    made.send_later()
    made.wait(30)
    made.notice(store, budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    made.send_later()
    made.wait(30)
    assert len(inbox.posts) == 1


def test_while_the_store_is_away_alerts_wait(store: Store, inbox: Inbox) -> None:
    def away() -> Store:
        raise StoreUnavailable("no connection")

    made = Alerts(receivers_of(settings(alert_webhook=inbox.url)), away)
    made.notice(store, budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    made.send_later()
    made.wait(30)
    assert inbox.posts == []
    made.send(store)
    assert len(inbox.posts) == 1


def test_a_redirect_is_not_followed(store: Store, inbox: Inbox) -> None:
    inbox.status, inbox.location = 307, inbox.url
    raised(store, inbox, *budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    assert len(inbox.posts) == 1


def test_a_receiver_that_hangs_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "STEP_SECONDS", 30.0)
    monkeypatch.setattr(outgoing, "ATTEMPT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}"
        [receiver] = receivers_of(settings(alert_webhook=url))
        with pytest.raises(NotSent) as reason:
            receiver.send({"id": "1", "text": "x"})
    assert SECRET not in str(reason.value)


@pytest.mark.parametrize("kind", ["http", "https"])
def test_a_receiver_that_answers_a_byte_at_a_time_is_given_up_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    monkeypatch.setattr(outgoing, "ATTEMPT_SECONDS", 0.3)
    pair = certificate(tmp_path / "tls", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    with closing(Dripping(b"HTTP/1.", pair if kind == "https" else None)) as server:
        [receiver] = receivers_of(settings(alert_webhook=f"{kind}://localhost:{server.port}/{SECRET}"))
        with pytest.raises(NotSent, match="can't be reached"):
            receiver.send({"id": "1", "text": "x"})


def test_a_certificate_that_is_not_right_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, why in (("localhost", "self-signed certificate"), ("elsewhere.example", "Hostname mismatch")):
        pair = certificate(tmp_path / name, name)
        with closing(Dripping(b"", pair)) as server:
            [receiver] = receivers_of(settings(alert_webhook=f"https://localhost:{server.port}/{SECRET}"))
            with pytest.raises(NotSent, match=rf"can't be reached \({why}"):
                receiver.send({"id": "1", "text": "x"})
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "elsewhere.example" / "server.crt"))


def test_slack_gets_its_own_form(store: Store, inbox: Inbox) -> None:
    [slack] = receivers_of(settings(alert_slack=inbox.url))
    slack.send({"id": "1", "text": "a <b> & c"})
    assert json.loads(inbox.posts[0][2]) == {"text": "a &lt;b&gt; &amp; c"}


def test_a_mail_is_sent_by_smtp() -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=take_mail, args=(server, said), daemon=True).start()
        address = f"smtp://127.0.0.1:{server.getsockname()[1]}"
        [mail] = receivers_of(settings(alert_smtp=address, alert_email="ops@example.com", alert_from="ut@example.com"))
        mail.send({"id": "1", "text": "Budget b: over\nthe limit."})
    text = "\n".join(said)
    assert "Subject: Budget b: over the limit." in text
    assert "rcpt to:<ops@example.com>" in text.casefold()


def take_mail(server: socket.socket, said: list[str]) -> None:
    wire, _ = server.accept()
    with wire, wire.makefile("rw", newline="\r\n") as lines:

        def answer(text: str) -> None:
            lines.write(text + "\r\n")
            lines.flush()

        answer("220 mail")
        content = False
        for line in lines:
            said.append(line.strip())
            if content:
                content = line.strip() != "."
                if not content:
                    answer("250 ok")
            elif line.lower().startswith("data"):
                content = True
                answer("354 go on")
            elif line.lower().startswith("ehlo"):
                answer("250-mail")
                answer("250 AUTH PLAIN")
            elif line.lower().startswith("quit"):
                answer("221 bye")
                return
            else:
                answer("250 ok")


def test_a_password_that_no_mail_server_takes_is_said_without_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=take_mail, args=(server, []), daemon=True).start()
        address = f"smtp://me:{SECRET}%C3%A4@127.0.0.1:{server.getsockname()[1]}"
        [mail] = receivers_of(settings(alert_smtp=address, alert_email="ops@example.com"))
        with pytest.raises(NotSent, match="other letters than ASCII's") as reason:
            mail.send({"id": "1", "text": "x"})
    assert SECRET not in str(reason.value)


def test_a_mail_server_that_says_no_is_said_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise smtplib.SMTPAuthenticationError(535, SECRET.encode())

    monkeypatch.setattr(receivers, "speaking", refuse)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"smtp://me:{SECRET}@127.0.0.1:{server.getsockname()[1]}"
        found = settings(alert_smtp=address, alert_email="ops@example.com")
        assert SECRET not in repr(found)
        [mail] = receivers_of(found)
        with pytest.raises(NotSent, match="answered 535") as reason:
            mail.send({"id": "1", "text": "x"})
    assert SECRET not in str(reason.value)


def test_a_function_of_the_app_is_called(store: Store) -> None:
    heard: list[dict[str, Any]] = []
    made = Alerts(receivers_of(settings(on_alert=heard.append)), lambda: store)
    made.notice(store, budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    made.send(store)
    assert [message["budget"] for message in heard] == ["b"]


def test_a_function_of_the_app_computes_with_the_apps_decimals() -> None:
    heard: list[int] = []
    [receiver] = receivers_of(settings(on_alert=lambda _: heard.append(decimal.getcontext().prec)))
    start_thread("test", receiver.send, {}).join()
    assert heard == [decimal.DefaultContext.prec]


def test_a_coroutine_function_of_the_app_is_awaited(store: Store) -> None:
    told: list[dict[str, Any]] = []

    async def tell(message: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        told.append(message)

    made = Alerts(receivers_of(settings(on_alert=tell)), lambda: store)
    made.notice(store, budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    made.send(store)
    assert [message["budget"] for message in told] == ["b"]


@pytest.mark.guarded_errors_expected
def test_a_function_that_raises_is_tried_again(store: Store) -> None:
    def fail(_: object) -> None:
        raise RuntimeError

    made = Alerts(receivers_of(settings(on_alert=fail)), lambda: store)
    made.notice(store, budget_alerts(budget(), WINDOW, {"": Decimal(6)}))
    made.send(store)
    [(tries, sent)] = list(store.select("SELECT tries, sent_at FROM budget_alert"))
    assert (tries, sent) == (1, None)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("hooks.example.com/x", "not an address"),
        ("ftp://example.com/x", "not an address"),
        ("https:///x", "not an address"),
        ("https://example.com:x/", "not an address"),
        ("https://exa mple.com/", "not an address"),
        ("https://exa..mple.com/", "not an address"),
        (f"https://{'a' * 70}.com/", "not an address"),
        ("http://example.com/x", "https"),
        ("https://me:pass@example.com/x", "user"),
        ("http://169.254.169.254/latest/meta-data", "link-local"),
        ("https://169.254.169.254/", "link-local"),
        ("https://[fe80::1]/", "link-local"),
        ("https://[::ffff:169.254.169.254]/", "link-local"),
        ("https://[fd00:ec2::254]/", "link-local"),
        ("https://[64:ff9b::169.254.169.254]/", "link-local"),
        ("https://0.0.0.0/", "no address of a receiver"),
        ("https://224.0.0.1/", "no address of a receiver"),
        ("https://[4000::1]/", "no address of a receiver"),
    ],
)
def test_an_address_that_nothing_may_be_sent_to_is_refused_and_not_repeated(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refusal:
        parse_receiver("TRACKER_ALERT_WEBHOOK", url)
    assert "pass" not in str(refusal.value)


def test_a_path_may_have_any_letters(inbox: Inbox) -> None:
    [receiver] = receivers_of(settings(alert_webhook=f"{inbox.url}/über?x=%C3%BC&y={{1}}|2"))
    receiver.send({"id": "1", "text": "x"})
    assert inbox.posts[0][0].endswith("/%C3%BCber?x=%C3%BC&y={1}|2")


def test_a_name_that_leads_to_such_an_address_is_not_sent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    [receiver] = receivers_of(settings(alert_webhook="https://innocent.example.com/x"))
    with pytest.raises(NotSent, match="link-local"):
        receiver.send({"id": "1", "text": "x"})
    for fine in ("10.0.0.7", "fd12::7", "127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::8.8.8.8", "2001:4860::8888"):
        assert forbidden(fine) is None


def test_a_name_with_several_addresses_is_reached_at_whichever_answers(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `localhost`, where nothing listens at ::1."""
    port, resolve = inbox.server.server_address[1], socket.getaddrinfo

    def both(host: str, *rest: Any, **said: Any) -> list[Any]:
        numbers = ("::1", "127.0.0.1") if host == "localhost" else (host,)
        return [found for number in numbers for found in resolve(number, *rest, **said)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    [receiver] = receivers_of(settings(alert_webhook=f"http://localhost:{port}/"))
    receiver.send({"id": "1", "text": "x"})
    assert inbox.texts() == ["x"]


def test_mail_needs_both_a_server_and_a_mailbox() -> None:
    for said in (
        {"alert_smtp": "smtp://h"},
        {"alert_email": "a@b.c"},
        {"alert_smtp": "smtp://h", "alert_email": "a b"},
        {"alert_smtp": "smtp://h", "alert_email": "a@[b"},
        {"alert_smtp": "smtp://h", "alert_email": "a(@b"},
    ):
        with pytest.raises(ConfigError):
            settings(**said)


@pytest.mark.parametrize("box", ["ops@example.com", "ops+a=b@[127.0.0.1]", "ops@[IPv6:::1]", "ö@exämple.com"])
def test_any_mailbox_can_stand_in_a_mail(box: str) -> None:
    [receiver] = receivers_of(settings(alert_smtp="smtp://127.0.0.1:9", alert_email=box, alert_from=box))
    with pytest.raises(NotSent, match="can't be reached"):
        receiver.send({"id": "1", "text": "x"})


def test_a_day_far_above_its_past_is_an_anomaly() -> None:
    past = [Decimal(10), Decimal(11), Decimal(9)] * 4
    assert anomaly(Decimal(12), past) is None
    assert anomaly(Decimal(19), past) is None, "less than twice as much, though the past was even"
    assert anomaly(Decimal(40), past) == "Today has cost $40.00 so far; the 12 days before cost $10.00 on average."
    assert anomaly(Decimal(40), past[:5]) is None, "five days are no past"
    assert anomaly(Decimal("0.9"), [Decimal("0.01")] * 20) is None, "less than a dollar is none"


def test_today_is_held_against_four_weeks_without_itself(store: Store) -> None:
    now = datetime(2026, 8, 31, 12, tzinfo=UTC)
    store_events(store, [made_event(now - timedelta(days=days), cost="10" if days else "40") for days in range(35)])
    [found] = look_for(store, 0, "box", now)
    assert found.message["text"] == "Today has cost $40.00 so far; the 28 days before cost $10.00 on average."


def test_unpriced_calls_and_lost_events_are_told(store: Store) -> None:
    now = datetime.now(UTC)
    store_events(store, [made_event(now, cost=None, flags=("unpriced",), model="acme-1")])
    found = look_for(store, 3, "box", now)
    assert [alert.subject for alert in found] == ["unpriced", "dropped"]
    assert "acme-1" in found[0].message["text"]
    assert "3 events" in found[1].message["text"]


def test_events_that_any_process_of_the_host_has_lost_are_told_on_the_day_that_they_were(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    own = [0]
    made = Budgeting(
        settings(spool_dir=tmp_path / "spool", on_alert=told.append, dsn=f"sqlite:///{tmp_path}/usage.db"),
        dropped=lambda: own[0],
    )

    def look() -> list[int]:
        monkeypatch.setattr(budgeting, "UNUSUAL_SECONDS", 0.0)
        monkeypatch.setattr(alerting, "LOOK_SECONDS", 0.0)
        alerts = made._begin().alerts
        made._notice_unusual(store, alerts)
        alerts.send(store)
        found = [message["events"] for message in told if message["kind"] == "dropped"]
        told.clear()
        return found

    spool = Spool(tmp_path / "spool")
    spool.prepare()
    note_dropped(spool, 3)
    note_dropped(spool, 4)
    yesterday = time.time() - 86_400 * 1.5
    os.utime(spool.folder / "dropped", (yesterday, yesterday))
    assert look() == [], "that was told yesterday"
    note_dropped(spool, 1)
    assert look() == [8]
    assert look() == []
    os.utime(spool.folder / "dropped", (yesterday, yesterday))
    store.change(lambda execute: execute("DELETE FROM budget_alert", ()))
    own[0] = 2
    assert look() == [2], "where that could not be noted"
    store.change(lambda execute: execute("DELETE FROM budget_alert", ()))
    assert look() == []
