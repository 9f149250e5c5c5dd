"""Clients that sinks have from others, as the session holds them: each attempt ends, and goes nowhere else."""

import logging
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import requests
from certificates import certificate
from feeding import begin, feed
from made_events import made_event, store_events
from migrated import migrated
from ports import free_port
from receivers import Dripping, Proxy, Receiver

from usage_tracker.sinks import NotTaken, session, standings
from usage_tracker.stores import Store

SECRET = "path-not-to-be-shown"

pytestmark = pytest.mark.parametrize("scheme", ["posthog+http://key@", "otlp://"])


@pytest.fixture
def store() -> Iterator[Store]:
    with migrated("sqlite:///:memory:") as opened:
        yield opened


def test_a_redirect_is_no_answer(scheme: str, store: Store, receiver: Receiver) -> None:
    receiver.headers["Location"] = f"http://127.0.0.1:{receiver.port}/elsewhere"
    feeder = begin(store, f"{scheme}127.0.0.1:{receiver.port}")
    store_events(store, [made_event()])
    receiver.answers = [302]
    with pytest.raises(NotTaken, match="answered 302"):
        feeder.step()
    assert receiver.posts == []
    feed(feeder)
    assert len(receiver.posts) == 1
    feeder.close()


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_2xx_says_that_events_were_taken(scheme: str, store: Store, receiver: Receiver, status: int) -> None:
    feeder = begin(store, f"{scheme}127.0.0.1:{receiver.port}")
    store_events(store, [made_event()])
    receiver.answers, receiver.said = [status], ("text/plain", b"")
    feed(feeder)
    assert len(receiver.posts) == 1
    assert standings(store)[0].waiting == 0
    feeder.close()


def test_passwords_that_the_user_keeps_for_others_are_not_sent(
    scheme: str, store: Store, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As requests does it by itself, also where the address has credentials of its own."""
    (tmp_path / "netrc").write_text("default login somebody password of-another-server\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    account = "" if "@" in scheme else "user:password@"
    with closing(begin(store, f"{scheme}{account}127.0.0.1:{receiver.port}")) as feeder:
        store_events(store, [made_event()])
        feed(feeder)
    [(_, headers, _)] = receiver.posts
    assert headers.get("authorization") == ("Basic dXNlcjpwYXNzd29yZA==" if account else None)


def test_a_receiver_that_answers_a_byte_at_a_time_is_given_up_on(
    scheme: str,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(session, "ATTEMPT_SECONDS", 0.2)
    monkeypatch.setattr("usage_tracker.sinks.otlp.POST_SECONDS", 0.4)
    with closing(Dripping(b"HTTP/1.")) as server:
        feeder = begin(store, f"{scheme}127.0.0.1:{server.port}/{SECRET}")
        store_events(store, [made_event()])
        with pytest.raises(NotTaken):
            feeder.step()
        feeder.close()
    assert SECRET not in caplog.text


@pytest.mark.parametrize("shows_threads", [True, False])
def test_a_log_at_debug_has_nothing_of_an_address_but_its_host(
    scheme: str,
    shows_threads: bool,
    store: Store,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The clients of others tell the path of each request, and PostHog's, as 7.5 does, the key."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(logging, "logThreads", shows_threads)
    receiver.answers = [401]
    feeder = begin(store, f"{scheme}127.0.0.1:{receiver.port}/{SECRET}")
    store_events(store, [made_event()])
    with pytest.raises(NotTaken):
        feeder.step()
    feed(feeder)
    feeder.close()
    assert {record.name for record in caplog.records} == {"usage_tracker"}
    assert SECRET not in caplog.text
    requests.post(f"http://127.0.0.1:{receiver.port}/of-the-apps-own", timeout=10)
    assert "/of-the-apps-own" in caplog.text


@pytest.mark.parametrize(
    ("name", "trusted", "why"),
    [
        ("localhost", None, "self-signed certificate"),
        ("elsewhere.example", "server.crt", "Hostname mismatch, certificate is not valid for 'localhost'"),
        ("localhost", "gone.crt", "a file of certificates is missing"),
        (None, None, "ConnectionRefusedError"),
    ],
)
def test_why_a_receiver_cant_be_reached_is_said(
    scheme: str,
    name: str | None,
    trusted: str | None,
    why: str,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("usage_tracker.sinks.otlp.POST_SECONDS", 0.4)
    if trusted is not None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "tls" / trusted))
    secure = {"posthog+http://key@": "posthog://key@", "otlp://": "otlp+https://"}[scheme]
    served = None if name is None else certificate(tmp_path / "tls", name)
    with closing(Receiver(certificate=served)) as receiver:
        port = free_port() if served is None else receiver.port
        with closing(begin(store, f"{secure}localhost:{port}/{SECRET}")) as feeder:
            store_events(store, [made_event()])
            with pytest.raises(NotTaken) as caught:
                feeder.step()
    assert str(caught.value).endswith(f"://localhost:{port}/… can't be reached ({why})")


def test_an_answer_that_has_no_end_is_not_waited_for(scheme: str, store: Store) -> None:
    with closing(Dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")) as server:
        feeder = begin(store, f"{scheme}127.0.0.1:{server.port}")
        store_events(store, [made_event()])
        feed(feeder)
        feeder.close()
    assert standings(store)[0].waiting == 0


def test_a_receiver_that_takes_no_large_posts_gets_smaller_ones(scheme: str, store: Store, receiver: Receiver) -> None:
    feeder = begin(store, f"{scheme}127.0.0.1:{receiver.port}")
    store_events(store, [made_event() for _ in range(40)])
    receiver.largest = 3000
    feed(feeder)
    assert standings(store)[0].waiting == 0
    assert (len(receiver.posts) > 1) == scheme.startswith("posthog")
    feeder.close()


def test_what_a_receiver_says_that_reads_no_more_is_read_over_tls_too(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = certificate(tmp_path / "tls", "localhost")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(served[0]))
    answered = set()
    with closing(Receiver(certificate=served)) as receiver:
        receiver.largest, receiver.reads_all = 1000, False
        for _ in range(20):  # an answer may be lost with the connection
            with suppress(requests.ConnectionError), session.ReceiverSession() as sending:
                answered.add(sending.post(f"https://localhost:{receiver.port}/{scheme}", bytes(8 << 20)).status_code)
    assert answered == {413}


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_proxy_finds_a_host_whose_name_is_not_known_here(
    scheme: str, encrypted: bool, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = "receiver.invalid"
    served, proxys = (certificate(tmp_path / name, name) for name in (host, "localhost"))
    trusted = tmp_path / "trusted.crt"
    trusted.write_text(served[0].read_text() + proxys[0].read_text())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    secure = {"posthog+http://key@": "posthog://key@", "otlp://": "otlp+https://"}[scheme]
    with closing(Receiver(certificate=served)) as there, closing(Proxy(there, proxys if encrypted else None)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with closing(begin(store, f"{secure}{host}")) as feeder:
            store_events(store, [made_event()])
            feed(feeder)
        assert len(there.posts) == 1
        assert [asked.split()[:2] for asked in proxy.asked] == [[b"CONNECT", f"{host}:443".encode()]]


def test_what_is_for_this_machine_goes_through_no_proxy(
    scheme: str, store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with closing(Proxy(receiver)) as proxy, closing(begin(store, f"{scheme}127.0.0.1:{receiver.port}")) as feeder:
        monkeypatch.setenv("http_proxy", proxy.url)
        store_events(store, [made_event()])
        feed(feeder)
        assert proxy.asked == []
    assert len(receiver.posts) == 1
