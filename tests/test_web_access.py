"""Who gets in: links that work once, tokens, a trusted proxy's word, sessions, and who is turned away."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import httpx
import pytest
from commanding import invoke
from dashboard_server import TOKENS, VIEWER, Served, dashboard, filled, served
from made_events import made_event
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from usage_tracker.errors import ConfigError
from usage_tracker.web import guesses
from usage_tracker.web.access import Access, Identity, parse_networks
from usage_tracker.web.app import create_app
from usage_tracker.web.command import GRACE_SECONDS
from usage_tracker.web.guesses import FAILURES


@pytest.fixture
def dsn(tmp_path: Path) -> str:
    return filled(tmp_path / "usage.db", [made_event(datetime.now(UTC))])


@pytest.fixture
def running(dsn: str) -> Iterator[Served]:
    with dashboard(dsn) as running:
        yield running


def form_of(page: str) -> str:
    found = re.search(r'name="form" value="([^"]*)"', page)
    assert found is not None
    return found[1]


def test_who_is_nobody_is_led_to_the_login_and_then_to_where_they_wanted(running: Served) -> None:
    with running.client(None, follow_redirects=True) as client:
        page = client.get("/events?where=status=error")
        assert "Log in" in page.text
        assert page.url.path == "/login"
        answer = client.post(
            "/login", data={"form": form_of(page.text), "token": VIEWER, "next": page.url.params["next"]}
        )
        assert answer.url.path == "/events"
        assert "status=error" in answer.text
        cookie = answer.history[0].headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie


def test_who_mistypes_their_token_is_still_led_to_where_they_wanted(running: Served) -> None:
    with running.client(None) as client:
        page = client.get("/login", params={"next": "/explore?by=tag"})
        mistyped = {"form": form_of(page.text), "token": "no such token", "next": "/explore?by=tag"}
        again = client.post("/login", data=mistyped)
        assert again.status_code == 403
        assert 'name="next" value="/explore?by=tag"' in again.text


def test_nobody_is_logged_in_by_another_page(running: Served) -> None:
    with running.client(None) as client:
        sent = {"form": form_of(client.get("/login").text), "token": VIEWER}
        answer = client.post("/login", data=sent, headers={"Sec-Fetch-Site": "cross-site"})
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
        answer = client.post("/login", data=sent, headers={"Sec-Fetch-Site": "same-origin"})
        assert (answer.status_code, "set-cookie" in answer.headers) == (303, True)


def test_nobody_is_logged_in_with_a_form_that_another_browser_was_given(running: Served) -> None:
    """Over plain HTTP to another host, browsers don't say whose page sends a form, and anybody can get one."""
    with running.client(None) as mallory, running.client(None) as ada, running.client(None) as newcomer:
        sent = {"form": form_of(mallory.get("/login").text), "token": VIEWER}
        own = form_of(ada.get("/login").text)
        for client in (ada, newcomer):
            answer = client.post("/login", data=sent)
            assert (answer.status_code, running.cookie in client.cookies) == (403, False)
        assert ada.post("/login", data={"form": own, "token": VIEWER}).status_code == 303


def test_of_two_tabs_with_the_login_each_lets_in(running: Served) -> None:
    with running.client(None) as client:
        forms = [form_of(client.get("/login").text) for _ in range(2)]
        for form in forms:
            assert client.post("/login", data={"form": form, "token": VIEWER}).status_code == 303


def test_a_session_ends_where_its_own_page_says_so_and_only_there(running: Served) -> None:
    with running.client(None, follow_redirects=True) as client:
        page = client.get("/login")
        page = client.post("/login", data={"form": form_of(page.text), "token": VIEWER})
        assert client.post("/logout", data={"form": "made up elsewhere"}).status_code == 403
        assert client.get("/").url.path == "/"
        client.post("/logout", data={"form": form_of(page.text)})
        assert client.get("/").url.path == "/login"


def test_a_token_may_have_any_characters(dsn: str) -> None:
    token = "ein-schlüssel-für-alle-€"
    with dashboard(dsn, access=Access(tokens={"viewer": token})) as running, running.client(None) as client:
        for sent, status in ((token, 200), (f"{token}-", 401), ("\udcff" * 16, 401)):
            given = f"Bearer {sent}".encode("utf-8", "surrogateescape")
            answer = client.get("/api/v1/dimensions", headers=[(b"Authorization", given)])
            assert answer.status_code == status


def test_a_link_works_once(dsn: str) -> None:
    access, printed = Access(), list[str]()
    link = access.new_link()
    with served(create_app(dsn, access, announce=printed.append)) as running:
        with running.client(None, follow_redirects=True) as client:
            assert client.get(f"/login?once={link}").url.path == "/"
            assert client.get("/health").status_code == 200
        with running.client(None, follow_redirects=True) as other:
            assert other.get(f"/login?once={link}").status_code == 403
            assert other.get(f"/login?once={printed[0]}").url.path == "/"


def test_two_servers_of_a_machine_leave_each_others_sessions_alone(dsn: str) -> None:
    rules = [Access(), Access()]
    with (
        served(create_app(dsn, rules[0])) as one,
        served(create_app(dsn, rules[1])) as other,
        one.client(None, follow_redirects=True) as browser,
    ):
        for running, access in zip((one, other), rules, strict=True):
            browser.get(f"{running.url}/login?once={access.new_link()}")
        for running in (one, other):
            assert browser.get(f"{running.url}/health").url.path == "/health"


def test_a_session_ends_with_the_token_that_it_began_with() -> None:
    secret = "of-all-servers-and-over-restarts"
    first = Access(tokens={**TOKENS, "admin": "the-first-token-of-admins"}, secret=secret)
    later = Access(tokens={**TOKENS, "admin": "another-token-of-admins"}, secret=secret)
    without = Access(tokens={"viewer": VIEWER}, secret=secret)
    admin, viewer = (first.new_cookie(Identity(role, role)) for role in ("admin", "viewer"))
    local = first.new_cookie(Identity("local", "admin"))
    assert [bool(access.by_cookie(admin)) for access in (first, later, without)] == [True, False, False]
    for access in (first, later, without):
        assert access.by_cookie(viewer)
        assert access.by_cookie(local)


def test_a_secret_that_can_be_guessed_signs_no_sessions() -> None:
    """Who sees the login's form, which is signed, can try words until one signs it so, and then sign a session."""
    with pytest.raises(ConfigError, match="TRACKER_SERVE_SECRET is shorter than 16 characters"):
        Access(tokens=TOKENS, secret="swordfish")


def test_a_cookie_that_somebody_wrote_themselves_is_none(running: Served) -> None:
    forged = Access().new_cookie(Identity("mallory", "admin"))
    with running.client(None) as client:
        for cookie in (forged, "x", "a.b.c"):
            assert client.get("/", headers={"cookie": f"{running.cookie}={cookie}"}).status_code == 303


def test_wrong_tokens_have_to_wait_and_the_right_one_of_their_address_does_not(running: Served) -> None:
    with running.client("a-token-that-is-wrong") as mistaken, running.client() as viewer:
        for _ in range(FAILURES):
            assert mistaken.get("/api/v1/report").status_code == 401
        answer = mistaken.get("/api/v1/report")
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 61
        assert viewer.get("/api/v1/report").status_code == 200
    with running.client(None) as browser:
        typed = {"form": form_of(browser.get("/login").text), "token": VIEWER}
        assert browser.post("/login", data=typed).status_code == 303


def test_guessing_comes_to_an_end_and_asking_with_an_old_token_is_no_guessing(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "MOST_GUESSES", 8)
    with dashboard(dsn, access=Access(tokens=TOKENS)) as running, running.client() as viewer:
        with running.client("a-token-of-last-year") as mistaken:
            for _ in range(20):
                mistaken.get("/api/v1/report")
        assert viewer.get("/api/v1/report").status_code == 200
        for number in range(8):
            viewer.get("/api/v1/report", headers={"authorization": f"Bearer a-guess-{number}"})
        assert viewer.get("/api/v1/report").status_code == 429, "the right one may be a guess too"
        monkeypatch.setattr(guesses, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + guesses.MINUTE))
        assert viewer.get("/api/v1/report").status_code == 200


def test_what_is_remembered_of_wrong_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "MOST_PEERS", 10)
    monkeypatch.setattr(guesses, "MOST_WRONG", 20)
    access = Access(tokens=TOKENS)
    for number in range(100):
        assert access.by_token(f"a-guess-{number}", f"10.0.0.{number}") is None
    assert (len(access._guesses._minutes), len(access._guesses._wrong)) == (10, 20)


def test_a_login_leads_nowhere_else(running: Served) -> None:
    with running.client(None) as client:
        for target in ("https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example"):
            page = client.get("/login")
            answer = client.post("/login", data={"form": form_of(page.text), "token": VIEWER, "next": target})
            assert answer.headers["location"] == "/"


def test_of_two_who_a_request_says_it_is_the_proxys_is_not_known_and_none_counts(dsn: str) -> None:
    """A proxy that adds its header, where it should replace it, leaves there what the client has sent."""
    trusted = Access(
        proxy_header="X-Forwarded-User", proxy_peers=parse_networks(["127.0.0.0/8"]), admins=frozenset({"boss"})
    )
    with served(create_app(dsn, trusted)) as running, running.client(None) as client:
        for names, status in ((["mallory"], 200), (["boss", "mallory"], 401), (["boss", "boss"], 401)):
            said = [("X-Forwarded-User", name) for name in names]
            assert client.get("/api/v1/report", headers=said).status_code == status


def test_a_proxys_word_counts_from_its_own_address_alone(dsn: str) -> None:
    trusted = Access(proxy_header="X-Forwarded-User", proxy_peers=parse_networks(["127.0.0.0/8"]))
    strange = Access(proxy_header="X-Forwarded-User", proxy_peers=parse_networks(["10.0.0.1"]))
    with dashboard(dsn, access=trusted) as running, running.client(None) as client:
        assert client.get("/", headers={"X-Forwarded-User": "ada"}).status_code == 200
        assert client.get("/").status_code == 303
    with dashboard(dsn, access=strange) as running, running.client(None) as client:
        assert client.get("/", headers={"X-Forwarded-User": "ada"}).status_code == 303


def test_a_name_that_a_proxy_says_may_have_any_letters(dsn: str) -> None:
    access = Access(
        proxy_header="X-Forwarded-User", proxy_peers=parse_networks(["127.0.0.1"]), admins=frozenset({"José"})
    )
    with dashboard(dsn, access=access, edit=True) as running, running.client(None) as client:
        for name, is_admin in (("José", True), ("Josè", False)):
            page = client.get("/budgets", headers={b"X-Forwarded-User": name.encode()})
            assert ("New budget" in page.text) is is_admin


@pytest.mark.parametrize(("peer", "secure"), [("127.0.0.0/8", True), ("10.0.0.1", False)])
def test_a_session_behind_a_trusted_proxys_tls_is_never_sent_without_it(dsn: str, peer: str, secure: bool) -> None:
    access = Access(tokens=TOKENS, proxy_peers=parse_networks([peer]))
    with dashboard(dsn, access=access) as running, running.client(None) as client:
        form = form_of(client.get("/login").text)
        sent = {"X-Forwarded-Proto": "https"}
        answer = client.post("/login", data={"form": form, "token": VIEWER}, headers=sent)
        assert ("secure" in answer.headers["set-cookie"].lower()) == secure


@pytest.mark.parametrize("mounted", ["", "/usage"])
def test_an_address_with_a_slash_too_many_leads_on_within_whatever_a_proxy_speaks(dsn: str, mounted: str) -> None:
    app: Any = create_app(dsn, Access(everyone="viewer"))
    with (
        served(Starlette(routes=[Mount(mounted, app)]) if mounted else app) as running,
        running.client(None, follow_redirects=False) as client,
    ):
        for address in ("/explore/?by=day,model", "/api/v1/report/", "/health//", "/events/", "/api/v1/budgets/"):
            answer = client.get(mounted + address)
            assert answer.status_code == 307
            path, mark, query = address.partition("?")
            assert answer.headers["location"] == f"{mounted}{path.rstrip('/')}{mark}{query}"
        assert client.get(f"{mounted}/nothing/").status_code == 404
        assert client.get(f"{running.url}{mounted}//example.org/").status_code == 404
    app.state.site.reader.close()


def test_on_another_address_it_needs_a_way_to_tell_who_comes(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = invoke("serve", "--dsn", dsn, "--host", "0.0.0.0")
    assert outcome.exit_code == 1
    assert "TRACKER_SERVE_VIEWER_TOKEN" in outcome.stderr
    outcome = invoke("serve", "--dsn", dsn, "--host", "0.0.0.0", "--proxy-header", "X-User")
    assert "listed peers" in outcome.stderr
    monkeypatch.setenv("TRACKER_SERVE_VIEWER_TOKEN", "short")
    outcome = invoke("serve", "--dsn", dsn, "--host", "0.0.0.0")
    assert "shorter than" in outcome.stderr


def test_an_admin_that_nobody_can_name_is_refused(dsn: str) -> None:
    outcome = invoke("serve", "--dsn", dsn, "--edit", "--admin", "ada")
    assert outcome.exit_code == 1
    assert "--proxy-header" in outcome.output


def test_a_wrong_address_of_the_store_to_edit_is_said_to_be_that(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    monkeypatch.setenv("TRACKER_SERVE_EDIT_DSN", "mysql://me:hunter2@host/usage")
    outcome = invoke("serve", "--dsn", dsn, "--edit")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("Error: TRACKER_SERVE_EDIT_DSN has the unknown scheme 'mysql'")


def test_a_port_that_is_taken_is_named_with_its_remedy(dsn: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        outcome = invoke("serve", "--dsn", dsn, "--port", str(port))
    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert "Address already in use" in outcome.stderr
    assert "--port" in outcome.stderr


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"10\.0\.0\.0/8"):
        parse_networks(["everywhere"])


def test_without_its_packages_the_command_says_how_to_get_them() -> None:
    script = (
        "import sys; sys.modules['starlette'] = None; sys.argv[1:] = ['serve', '--dsn', 'sqlite:///none.db']; "
        "from usage_tracker.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'usage-tracker-llm[dashboard]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_prints_a_link_that_opens_the_page(dsn: str) -> None:
    command = [sys.executable, "-m", "usage_tracker", "serve", "--dsn", dsn, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stderr is not None
        link = ""
        while not link:
            line = serving.stderr.readline()
            assert line, "it ended"
            found = re.search(r"Open  (http://127\.0\.0\.1:\d+/login\?once=\S+)", line)
            link = found[1] if found else ""
        page = eventually_open(link)
        assert "gpt-4o" in page.text
        serving.send_signal(signal.SIGINT)
        assert serving.wait(30) in (0, 130, -signal.SIGINT)


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_on_all_addresses_of_ipv6_it_serves_those_of_ipv4_and_knows_its_proxy_there(dsn: str) -> None:
    command = [sys.executable, "-m", "usage_tracker", "serve", "--dsn", dsn, "--host", "::", "--port", "0"]
    proxy = ["--proxy-header", "X-User", "--proxy-peer", "127.0.0.1", "--proxy-peer", "::1"]
    with subprocess.Popen([*command, *proxy], stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stderr is not None
            said = [serving.stderr.readline() for _ in range(2)]
            found = re.search(r"Open  http://\[::\]:(\d+)", said[1])
            assert found is not None, said
            for host in ("127.0.0.1", "[::1]"):
                page = eventually_open(f"http://{host}:{found[1]}/", headers={"X-User": "ada"})
                assert "gpt-4o" in page.text
        finally:
            serving.kill()


SERVE = (sys.executable, "-m", "usage_tracker", "serve", "--port", "0")


@contextmanager
def serving(*command: str) -> Iterator[tuple[subprocess.Popen[str], IO[str], str]]:
    """A dashboard in a process of its own, what it says, and its page. It is killed at the end."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines = [process.stderr.readline() for _ in range(2)]
            page = lines[1].removeprefix("Open").partition("?")[0].strip()
            assert eventually_open(page).status_code == 200
            yield process, process.stderr, page
        finally:
            process.kill()


def connect_to(page: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", httpx.URL(page).port or 0))


def test_it_ends_though_a_client_stops_in_the_middle_of_a_form(dsn: str) -> None:
    with serving(*SERVE, "--dsn", dsn) as (process, said, page):
        with connect_to(page) as client:
            client.sendall(b"POST /login HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\ntoken=")
            time.sleep(1)  # until it is read
            process.send_signal(signal.SIGINT)
            process.wait(GRACE_SECONDS + 20)
        assert "Traceback" not in said.read()


def test_a_request_that_breaks_off_in_what_is_no_http_fills_no_disk(dsn: str) -> None:
    with serving(*SERVE, "--dsn", dsn) as (process, said, page):
        for asked in (b"GET /", b"POST /login"):
            with connect_to(page) as client:
                client.sendall(asked + b" HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
                assert b" 400 " in client.recv(100)
        assert eventually_open(page).status_code == 200
        process.kill()
        text = said.read()
        assert "Traceback" not in text, text


def test_more_connections_than_it_can_take_are_said_once_and_fill_no_disk(dsn: str) -> None:
    limited = ("bash", "-c", 'ulimit -n 64; exec "$0" "$@"', *SERVE, "--dsn", dsn)
    with serving(*limited) as (process, said, page):
        idle = [connect_to(page) for _ in range(100)]
        line = said.readline()
        for each in idle:
            each.close()
        assert "no more connections can be taken" in line
        assert eventually_open(page).status_code == 200
        process.kill()
        assert "Too many open files" not in said.read()


def eventually_open(link: str, **options: Any) -> httpx.Response:
    deadline = time.monotonic() + 30
    while True:
        try:
            return httpx.get(link, follow_redirects=True, trust_env=False, timeout=30, **options)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_it_can_be_mounted_in_an_app_that_lets_in_by_itself(dsn: str) -> None:
    inner = create_app(dsn, Access(everyone="viewer"))
    with served(Starlette(routes=[Mount("/usage", inner)])) as running, running.client(None) as client:
        page = client.get("/usage/?by=model").text
        for address in set(re.findall(r'(?:href|src|action)="([^"]*)"', page)):
            assert address.startswith("/usage/") or address == "#page", address
        for address in re.findall(r'(?:href|src)="(/usage/[^"]*)"', page):
            assert client.get(address.replace("&amp;", "&")).status_code == 200, address
        assert client.get("/usage/api/v1/report").json()["total"]["calls"] == 1
        assert client.get("/usage/api/openapi.json").json()["servers"] == [{"url": "/usage"}]
        assert client.get("/usage/nothing").status_code == 404
    inner.state.site.reader.close()


def test_mounted_it_closes_its_connections_with_the_app_and_opens_them_again(dsn: str) -> None:
    event = {
        "event_id": "0199f0c2-7a3e-7c55-8d2e-5a1b2c3d4e5f",
        "started_at": "2020-11-03T14:31:07Z",
        "duration_ms": 812,
        "operation": "chat",
    }
    admin = {"Authorization": f"Bearer {TOKENS['admin']}"}
    inner = create_app(dsn, Access(tokens=TOKENS), edit=True)
    outer = Starlette(routes=[Mount("/usage", inner)], lifespan=inner.router.lifespan_context)
    before = set(threading.enumerate())
    for _ in range(2):
        with TestClient(outer, headers=admin) as client:
            assert client.get("/usage/api/v1/report").json()["total"]["calls"] == 1
            assert client.post("/usage/api/v1/events", json=event).status_code == 200
            assert client.put("/usage/api/v1/budgets/one", json={"limit": 1}).status_code == 200
        for thread in set(threading.enumerate()) - before:
            thread.join(30)  # others than ours end a moment after the client
            assert not thread.is_alive(), thread


def test_mounted_it_finds_what_the_config_file_says(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tracker.toml"
    file.write_text(f"dsn = '{dsn}'\nspool_dir = '{tmp_path}/journal'\n")
    monkeypatch.setenv("TRACKER_CONFIG", str(file))
    inner = create_app(access=Access(everyone="viewer"))
    with served(Starlette(routes=[Mount("/usage", inner)])) as running, running.client(None) as client:
        assert client.get("/usage/api/v1/report").json()["total"]["calls"] == 1
        assert f"{tmp_path}/journal" in client.get("/usage/health").text
    inner.state.site.reader.close()
