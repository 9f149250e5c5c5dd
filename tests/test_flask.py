"""What requests of Flask call is for whom they are: in views, in streams, and in what runs before them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capturing import ASK, Capturing
from flask import Flask, Response, g, stream_with_context

from usage_tracker import attribute
from usage_tracker.attribution import NOBODY, current
from usage_tracker.frameworks.flask import attribute_requests

REQUEST: Any = {"model": "gpt-4o-mini", "messages": ASK}


def shop(capturing: Capturing) -> Flask:
    app = Flask("shop")
    attribute_requests(app, who=lambda request: {"user": g.user, "session": request.args.get("session")})
    create = capturing.client.chat.completions.create

    @app.before_request
    def sign_in() -> None:
        g.user = "u-1"

    @app.get("/items/<int:number>")
    def items(number: int) -> str:
        return str(create(**REQUEST).id)

    @app.get("/stream/<int:number>")
    def streamed(number: int) -> Response:
        return Response(chunk.id for chunk in answer())

    @app.get("/stream-with-context/<int:number>")
    def streamed_with_context(number: int) -> Response:
        return Response(stream_with_context(chunk.id for chunk in answer()))

    def answer() -> Iterator[Any]:
        with attribute(tags=["streamed"]):
            stream = create(**REQUEST, stream=True)
        yield from stream

    return app


def test_views_and_streams(capturing: Capturing) -> None:
    client = shop(capturing).test_client()
    for path in ("items", "stream", "stream-with-context"):
        assert client.get(f"/{path}/7?session=s-1").data
        [(origin, event)] = capturing.all()
        tags = (f"route:/{path}/<int:number>", "streamed")[: 1 + event.streamed]
        assert (origin.user_id, origin.session_id, origin.tags) == ("u-1", "s-1", tags)
        assert current.get() == NOBODY


def test_who_a_file_is_for_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "shop.css").write_text("body {}")
    app, asked = Flask("shop", static_folder=tmp_path, static_url_path="/static"), list[str]()

    def who(request: Any) -> dict[str, str]:
        asked.append(request.path)
        return {}

    attribute_requests(app, who)
    app.add_url_rule("/stream", view_func=lambda: Response(iter(["a"])))
    for path, text in (("/static/shop.css", "body {}"), ("/stream", "a")):
        with app.test_client().get(path) as response:
            assert response.get_data(as_text=True) == text
    assert asked == ["/stream"]


def test_the_route_may_be_left_out_and_headers_trusted() -> None:
    app = Flask("shop")
    attribute_requests(app, headers={"user": "X-User"}, route=False)
    app.add_url_rule("/", view_func=lambda: repr(tuple(current.get())))
    assert app.test_client().get("/", headers={"X-User": "u-1"}).text == "(None, None, 'u-1', None, ())"
    assert app.test_client().get("/nowhere").status_code == 404
