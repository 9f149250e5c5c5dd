"""A local server that speaks the admin APIs of OpenAI and Anthropic: their addresses, keys, groups and pages."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "sk-admin-of-the-tests"


class Admin:
    """What the server has to tell. `results`: by the end of an address and by day, ungrouped zeros left out."""

    def __init__(self) -> None:
        self.results: dict[tuple[str, date], list[dict[str, Any]]] = {}
        self.most = 2
        """The days of one page, however many are asked for."""
        self.failures: list[tuple[int, dict[str, str], str]] = []
        """What is answered first: status, headers, body."""
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.address = ""

    def add(self, path: str, day: date, **result: Any) -> None:
        self.results.setdefault((path, day), []).append(result)

    def answer(self, path: str, words: dict[str, list[str]], anthropic: bool) -> dict[str, Any]:
        if anthropic:
            first, after = (datetime.fromisoformat(words[name][0]).date() for name in ("starting_at", "ending_at"))
        else:
            first, after = (
                datetime.fromtimestamp(int(words[name][0]), UTC).date() for name in ("start_time", "end_time")
            )
        days = [first + timedelta(days=count) for count in range((after - first).days)]
        place = int(words.get("page", ["page_0"])[0].removeprefix("page_"))
        shown = days[place : place + min(self.most, int(words["limit"][0]))]
        more = place + len(shown) < len(days)
        buckets = [self.bucket(path, day, anthropic) for day in shown]
        return {"data": buckets, "has_more": more, "next_page": f"page_{place + len(shown)}" if more else None}

    def bucket(self, path: str, day: date, anthropic: bool) -> dict[str, Any]:
        start = datetime.combine(day, time(), UTC)
        end = start + timedelta(days=1)
        results = self.results.get((path, day), [])
        if anthropic:
            return {"starting_at": f"{start:%FT%TZ}", "ending_at": f"{end:%FT%TZ}", "results": results}
        return {
            "object": "bucket",
            "start_time": int(start.timestamp()),
            "end_time": int(end.timestamp()),
            "results": results,
        }


@contextmanager
def serving() -> Iterator[Admin]:
    admin = Admin()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = urlsplit(self.path)
            words = parse_qs(place.query)
            admin.asked.append((place.path, words))
            if admin.failures:
                self.reply(*admin.failures.pop(0))
                return
            anthropic = "/organizations/" in place.path
            key = self.headers["x-api-key"] if anthropic else self.headers["Authorization"].removeprefix("Bearer ")
            if key != KEY or (anthropic and self.headers["anthropic-version"] != "2023-06-01"):
                self.reply(401, {}, json.dumps({"error": {"message": f"Incorrect API key provided: {key}"}}))
                return
            name = place.path.removeprefix("/v1").rpartition("/organization")[2].partition("/")[2]
            self.reply(200, {}, json.dumps(admin.answer(name, words, anthropic)))

        def reply(self, status: int, headers: dict[str, str], body: str) -> None:
            self.send_response(status)
            content = body.encode()
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    admin.address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield admin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
