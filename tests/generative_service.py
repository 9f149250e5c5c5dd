"""Gemini's API as the legacy SDK knows it, on this machine: over REST and over gRPC, with the answers it is given.

An answer is a list of chunks, each the REST API's JSON; what isn't streamed is the last of them. Over gRPC its usage
is written with all the fields that the API has today, which the SDK's own type doesn't.
"""

import json
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

import grpc  # type: ignore[import-untyped]

with warnings.catch_warnings():  # the SDK's own, of its end and of older Pythons'
    warnings.filterwarnings("ignore", r"\s*All support for the `google.generativeai` package has ended", FutureWarning)
    warnings.filterwarnings("ignore", "You are using a Python version .* which Google will stop", FutureWarning)
    import google.generativeai
from google.ai import generativelanguage_v1beta
from google.ai.generativelanguage_v1beta.services.generative_service import transports
from google.protobuf import json_format  # type: ignore[import-untyped]

__all__ = [
    "HAS",
    "MODEL",
    "OVERLOADED",
    "Failure",
    "GenerativeService",
    "chunk",
    "genai",
    "glm",
    "json_format",
    "written",
]

genai: Any = google.generativeai
glm: Any = generativelanguage_v1beta

MODALITIES = ("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT")
NUMBERS = {
    "promptTokenCount": 1,
    "candidatesTokenCount": 2,
    "totalTokenCount": 3,
    "cachedContentTokenCount": 4,
    "promptTokensDetails": 5,
    "cacheTokensDetails": 6,
    "candidatesTokensDetails": 7,
    "toolUsePromptTokenCount": 8,
    "toolUsePromptTokensDetails": 9,
    "thoughtsTokenCount": 10,
}
Json = dict[str, Any]
HAS = {
    (message.DESCRIPTOR.name, field)
    for message in (glm.Candidate.pb(), glm.GenerateContentResponse.pb())
    for field in message.DESCRIPTOR.fields_by_name
}
"""What this version of the SDK knows: (message, field)."""
MODEL = "gemini-2.5-flash-001" if ("GenerateContentResponse", "model_version") in HAS else None
"""The model of a chunk, as far as this version of the SDK can tell."""


class Failure(NamedTuple):
    """How the API refuses, over either transport."""

    http: int
    grpc: grpc.StatusCode


OVERLOADED = Failure(429, grpc.StatusCode.RESOURCE_EXHAUSTED)


def chunk(text: str = "Hi", /, *, ends: bool = False, **usage: Any) -> Json:
    """A piece of an answer."""
    candidate: Json = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if ends:
        candidate["finishReason"] = "STOP"
    said: Json = {"candidates": [candidate], "modelVersion": "gemini-2.5-flash-001"}
    return {**said, "usageMetadata": usage} if usage else said


class GenerativeService:
    """Serves both transports while it is entered."""

    def __init__(self) -> None:
        self.answer: list[Json] = []
        self.answers: list[list[Json]] = []
        """Of the next requests, before `answer`."""
        self.failure: Failure | None = None
        self.breaks_after: int | None = None
        """Chunks after which a stream breaks."""
        self.waits_after: int | None = None
        """Chunks after which a stream waits until this server is left."""
        self.requests: list[str] = []
        """The methods that were called."""
        self._leaving = threading.Event()

    def __enter__(self) -> Self:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), rest_of(self))
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._grpc = grpc.server(ThreadPoolExecutor(4))
        self._grpc.add_generic_rpc_handlers((methods_of(self),))
        self._port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._leaving.set()
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(None).wait()

    def client(self) -> glm.GenerativeServiceClient:
        """A service client over gRPC."""
        channel = grpc.insecure_channel(f"127.0.0.1:{self._port}")
        return glm.GenerativeServiceClient(transport=transports.GenerativeServiceGrpcTransport(channel=channel))

    def async_client(self) -> glm.GenerativeServiceAsyncClient:
        """The same, for the event loop that runs."""
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{self._port}")
        transport = transports.GenerativeServiceGrpcAsyncIOTransport(channel=channel)
        return glm.GenerativeServiceAsyncClient(transport=transport)

    def asked(self, method: str) -> list[Json]:
        """What to answer."""
        self.requests.append(method)
        return self.answers.pop(0) if self.answers else self.answer

    def pieces(self, chunks: list[Json]) -> Iterator[Json]:
        """The chunks of a stream, as far as it gets."""
        for number, piece in enumerate(chunks):
            if number == self.breaks_after:
                raise BrokenPipeError
            if number == self.waits_after:
                self._leaving.wait()
            yield piece


def rest_of(service: GenerativeService) -> type[BaseHTTPRequestHandler]:
    class Rest(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            method = self.path.partition("?")[0].rpartition(":")[2]
            chunks = service.asked(method)
            if service.failure is not None:
                self.reply(service.failure.http, {"error": {"code": service.failure.http, "message": "no"}})
            elif method == "streamGenerateContent":
                self.stream(chunks)
            else:
                self.reply(200, answer_to(method, chunks, len(body.get("requests", ()))))

        def reply(self, status: int, answer: Json) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def stream(self, chunks: list[Json]) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            try:
                for number, piece in enumerate(service.pieces(chunks)):
                    self.wfile.write((b",\r\n" if number else b"[") + json.dumps(piece).encode())
                    self.wfile.flush()
                self.wfile.write(b"]")
            except BrokenPipeError:
                pass

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    return Rest


def answer_to(method: str, chunks: list[Json], texts: int) -> Json:
    vector = {"values": [0.5]}
    if method == "embedContent":
        return {"embedding": vector}
    return {"embeddings": [vector] * texts} if method == "batchEmbedContents" else chunks[-1]


def methods_of(service: GenerativeService) -> grpc.GenericRpcHandler:
    def refuse(context: grpc.ServicerContext) -> None:
        if service.failure is not None:
            context.abort(service.failure.grpc, "no")

    def generate(request: bytes, context: grpc.ServicerContext) -> bytes:
        chunks = service.asked("generateContent")
        refuse(context)
        return written(chunks[-1])

    def stream(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        chunks = service.asked("streamGenerateContent")
        refuse(context)
        try:
            yield from map(written, service.pieces(chunks))
        except BrokenPipeError:
            context.abort(grpc.StatusCode.INTERNAL, "broken")

    def embed(request: bytes, context: grpc.ServicerContext) -> bytes:
        service.asked("embedContent")
        answer: bytes = glm.EmbedContentResponse.serialize(glm.EmbedContentResponse(embedding={"values": [0.5]}))
        return answer

    def embed_many(request: bytes, context: grpc.ServicerContext) -> bytes:
        service.asked("batchEmbedContents")
        asked = glm.BatchEmbedContentsRequest.deserialize(request)
        vectors = [{"values": [0.5]} for _ in asked.requests]
        answer: bytes = glm.BatchEmbedContentsResponse.serialize(glm.BatchEmbedContentsResponse(embeddings=vectors))
        return answer

    unary: Callable[..., Any] = grpc.unary_unary_rpc_method_handler
    methods = {
        "GenerateContent": unary(generate),
        "StreamGenerateContent": grpc.unary_stream_rpc_method_handler(stream),
        "EmbedContent": unary(embed),
        "BatchEmbedContents": unary(embed_many),
    }
    return grpc.method_handlers_generic_handler("google.ai.generativelanguage.v1beta.GenerativeService", methods)


def written(piece: Json) -> bytes:
    """A chunk as protobuf."""
    known = {name: value for name, value in piece.items() if name != "usageMetadata"}
    message = json_format.ParseDict(known, glm.GenerateContentResponse.pb()(), ignore_unknown_fields=True)
    usage = piece.get("usageMetadata")
    told: bytes = message.SerializeToString()
    return told if usage is None else told + field(3, written_usage(usage))


def written_usage(usage: Json) -> bytes:
    """A `UsageMetadata` as protobuf, with the fields of today."""
    found = b""
    for name, value in usage.items():
        if isinstance(value, int):
            found += field(NUMBERS[name], value)
        else:
            for part in value:
                counted = field(1, MODALITIES.index(part["modality"])) + field(2, part["tokenCount"])
                found += field(NUMBERS[name], counted)
    return found


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(number: int) -> bytes:
    more, last = divmod(number, 128)
    return bytes([last]) if not more else bytes([last | 128]) + varint(more)
