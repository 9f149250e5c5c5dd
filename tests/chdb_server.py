"""The engine of a new ClickHouse behind its HTTP interface: chdb runs it within a process, and this serves it.

`python chdb_server.py PORT FOLDER PASSWORD`: as much of the interface as a store uses. Everything that is asked is
answered by the real engine, of the version that chdb carries.
"""

import base64
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from chdb.session import Session


class Engine:
    """One query at a time."""

    def __init__(self, folder: str) -> None:
        self._session = Session(folder)
        self._lock = threading.Lock()
        self._block = Path(folder).with_name("block")

    def ask(self, options: dict[str, str], body: bytes) -> bytes:
        """The answer's bytes. Raises RuntimeError with the engine's words."""
        sql = options.pop("query", None)
        with self._lock:
            if sql is None:
                asked = body.decode()
            else:
                # within a statement, the engine takes no block of any size
                self._block.write_bytes(body)
                asked = sql.replace("FORMAT Native", f"SELECT * FROM file('{self._block}', 'Native')")
            self._session.query(f"USE {options.pop('database', 'default')}")
            if options.pop("readonly", "0") != "0" and not asked.lstrip().lower().startswith("select"):
                raise RuntimeError("Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)")
            for name, value in options.items():
                self._session.query(f"SET {name} = '{value}'")
            found = self._session.query(asked).bytes()
            assert isinstance(found, bytes)
            return found


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine
    password: str

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        account = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        try:
            if account.partition(":")[2] != self.password:
                raise RuntimeError("Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")
            self._answer(200, self.engine.ask(dict(parse_qsl(urlsplit(self.path).query)), body))
        except RuntimeError as error:
            self._answer(500, str(error).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that it has there
        """Nothing is said."""


def main() -> None:
    port, folder, password = sys.argv[1:]
    Handler.engine, Handler.password = Engine(folder), password
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
