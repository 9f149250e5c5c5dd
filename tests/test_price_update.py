"""`usage-tracker prices update`, as its users and their scripts meet it."""

import json
import socket
import ssl
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from certificates import certificate
from price_commands import document, prices, ship, stored_costs

from usage_tracker.pricing.newer import data_file


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store that isn't there yet."""
    monkeypatch.setenv("TRACKER_DSN", f"sqlite:///{tmp_path}/usage.db")


DATA = [
    {
        "id": "acme",
        "name": "Acme",
        "api_pattern": "acme",
        "models": [{"id": "acme-1", "match": {"equals": "acme-1"}, "prices": {"input_mtok": 1, "output_mtok": 2}}],
    }
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(DATA))
    return path


def test_newer_data_is_taken_from_a_file_and_given_up_again(data: Path) -> None:
    dry = prices("update", "--from", str(data), "--dry-run")
    assert (dry.exit_code, "would change" in dry.stderr) == (0, True)
    assert prices("show", "acme-1", "--provider", "acme").exit_code == 1
    done = prices("update", "--from", str(data))
    assert done.exit_code == 0
    shown = document("show", "acme-1", "--provider", "acme")["lists"][0]
    assert shown["prices"]["output_tokens"][0]["price"] == "0.000002"
    assert shown["version"].startswith("data ")
    ship(1)
    assert stored_costs() == [("0.0012", "genai-prices", shown["version"])]
    prices("update", "--bundled")
    assert prices("show", "acme-1", "--provider", "acme").exit_code == 1
    assert prices("show", "gpt-4o").exit_code == 0


def test_newer_data_that_is_damaged_is_said_once_and_the_bundled_is_used(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prices("update", "--from", str(data))
    data_file().write_text("{")
    shown = document("show", "gpt-4o")["lists"][0]
    assert not shown["version"].startswith("data ")
    assert "prices are those that are bundled" in caplog.text


def test_what_changes_is_said_model_by_model(data: Path) -> None:
    prices("update", "--from", str(data))
    changed = [{**DATA[0], "models": [{**DATA[0]["models"][0], "prices": {"input_mtok": 3}}]}]  # type: ignore[dict-item]
    data.write_text(json.dumps(changed))
    assert document("update", "--from", str(data), "--dry-run")["changes"] == [
        {
            "provider": "acme",
            "model": "acme-1",
            "change": "price",
            "before": "$1/input MTok, $2/output MTok",
            "after": "$3/input MTok",
        }
    ]
    renamed = [{**DATA[0], "models": [{**DATA[0]["models"][0], "id": "acme-2"}]}]  # type: ignore[dict-item]
    data.write_text(json.dumps(renamed))
    found = document("update", "--from", str(data), "--dry-run")["changes"]
    assert [(change["model"], change["change"]) for change in found] == [("acme-1", "gone"), ("acme-2", "new")]


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "no JSON"), ("{}", "no list of providers"), ('[{"id": "acme"}]', "no price data")],
    ids=["no JSON", "no list", "no data"],
)
def test_what_is_no_price_data_is_refused(data: Path, content: str, said: str) -> None:
    data.write_text(content)
    result = prices("update", "--from", str(data))
    assert (result.exit_code, said in result.stderr) == (1, True)
    assert prices("show", "gpt-4o").exit_code == 0


def test_newer_data_is_downloaded_where_it_can_be(data: Path) -> None:
    class Publisher(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data.read_bytes())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Publisher) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        assert prices("update", "--from", f"http://127.0.0.1:{server.server_port}/data.json").exit_code == 0
        thread.join()
    assert prices("show", "acme-1", "--provider", "acme").exit_code == 0
    away = prices("update", "--from", f"http://127.0.0.1:{server.server_port}/data.json")
    assert away.exit_code == 1
    assert "--from" in away.stderr
    assert prices("update", "--from", str(data.parent / "missing.json")).exit_code == 1


@pytest.mark.parametrize(
    "answer", [b"none of HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc"]
)
def test_data_that_does_not_arrive_whole_is_a_sentence(data: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def publish() -> None:
            taken, _ = server.accept()
            with taken:
                taken.recv(1 << 16)
                taken.sendall(answer)

        thread = Thread(target=publish)
        thread.start()
        place = f"http://127.0.0.1:{server.getsockname()[1]}/data.json"
        result = prices("update", "--from", place)
        thread.join()
    assert (result.exit_code, "can't be fetched" in result.stderr) == (1, True)


def test_what_is_no_address_of_data_is_a_sentence() -> None:
    result = prices("update", "--from", "http://[::1/data.json")
    assert (result.exit_code, "can't be fetched" in result.stderr) == (1, True)


def test_data_that_is_asked_for_over_tls_is_not_taken_without_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is between could say what everything costs."""
    asked = []

    class Publisher(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            elsewhere = self.server is encrypted
            self.send_response(302 if elsewhere else 200)
            if elsewhere:
                self.send_header("Location", f"http://127.0.0.1:{plain.server_port}/data.json")
            self.end_headers()
            self.wfile.write(b"" if elsewhere else data.read_bytes())

        def log_message(self, *_: object) -> None: ...

    chain, key = certificate(tmp_path / "tls", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    with HTTPServer(("127.0.0.1", 0), Publisher) as plain, HTTPServer(("127.0.0.1", 0), Publisher) as encrypted:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        encrypted.socket = context.wrap_socket(encrypted.socket, server_side=True)
        for server in (plain, encrypted):
            Thread(target=server.handle_request, daemon=True).start()
        result = prices("update", "--from", f"https://localhost:{encrypted.server_port}/old.json")
    assert (result.exit_code, asked) == (1, ["/old.json"])
    assert "HTTP 302" in result.stderr


@pytest.mark.parametrize(
    "place",
    [
        "https://user:not-to-be-shown@127.0.0.1/data.json",
        "https://not-to-be-shown@127.0.0.1:1/data.json",
        "https://[not-to-be-shown/data.json",
        "http://127.0.0.1:{port}/data.json?token=not-to-be-shown",
    ],
    ids=["a user with a password", "a user", "no address", "what is no HTTP"],
)
def test_what_an_address_has_of_secrets_is_not_said_where_nothing_comes_from_it(place: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = Thread(target=answer_nonsense, args=(server,), daemon=True)
        answering.start()
        result = prices("update", "--from", place.format(port=server.getsockname()[1]))
    assert result.exit_code == 1
    assert "--from" in result.stderr
    assert isinstance(result.exception, SystemExit), "a sentence, and no traceback"
    assert "not-to-be-shown" not in result.output


def answer_nonsense(server: socket.socket) -> None:
    with suppress(OSError), server.accept()[0] as wire:
        wire.recv(4096)
        wire.sendall(b"nonsense\r\n\r\n")
