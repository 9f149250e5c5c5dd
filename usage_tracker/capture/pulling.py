"""How a stream ends, seen from around whatever the SDK or the app pulls from."""

from usage_tracker.capture.call import Call
from usage_tracker.guard import guarded


class Pulling:
    """Around the host's own iterator: notes how the stream ended."""

    __slots__ = ("_call", "_ends_stream")

    _leaving = guarded("leave stream")
    """Kept here, as a generator may be left at the interpreter's end, when this module's names are gone."""

    def __init__(self, call: Call, *, ends_stream: bool) -> None:
        self._call = call
        self._ends_stream = ends_stream
        """Whether leaving without an exception means that the stream is exhausted."""

    def __enter__(self) -> None:
        self._call.pulling = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        call = self._call
        if error is not None:
            with self._leaving:
                ended_by(error, call)
            return
        call.pulling = False
        if self._ends_stream:
            call.finish()


def ended_by(error: BaseException, call: Call) -> None:
    """The host's own iterator has raised it, or was closed."""
    call.pulling = False
    if type(error) in (StopIteration, StopAsyncIteration):
        call.finish()
    elif type(error) is GeneratorExit:
        call.finish("abandoned")
    else:
        call.fail(error)
