"""How a stream ends, seen from around whatever the SDK or the app pulls from."""

from usage_tracker.capture.call import Call


class Pulling:
    """Around the host's own iterator: notes how the stream ended."""

    __slots__ = ("_call", "_ends_stream")

    def __init__(self, call: Call, *, ends_stream: bool) -> None:
        self._call = call
        self._ends_stream = ends_stream
        """Whether leaving without an exception means that the stream is exhausted."""

    def __enter__(self) -> None:
        self._call.pulling = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        call = self._call
        call.pulling = False
        if kind is None:
            if self._ends_stream:
                call.finish()
        elif kind in (StopIteration, StopAsyncIteration):
            call.finish()
        elif kind is GeneratorExit:
            call.finish("abandoned")
        elif error is not None:
            call.fail(error)
