"""Batches of the google-genai SDK whose answers lie in a file, one to a line: they are read when the app downloads it.

Only the batch tells which file that is, and the file doesn't tell its batch; so a file is known that belongs to a batch
which this process has asked about. https://ai.google.dev/gemini-api/docs/batch-api#retrieve-batch-results
"""

import os
from collections.abc import Iterable, Mapping

import msgspec

from usage_tracker.capture.bodies import skim
from usage_tracker.capture.call import Call
from usage_tracker.capture.recorder import Client, Recorder
from usage_tracker.providers import google_genai
from usage_tracker.providers.answer import Request
from usage_tracker.providers.gemini_bodies import BatchItem
from usage_tracker.providers.google_batches import BatchFile, batch_file, batch_part, file_of

decode_known = msgspec.json.Decoder(BatchItem).decode

MOST_FILES = 1024


class BatchFiles:
    """The files that hold the answers of batches, each until it was downloaded."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._batches: dict[str, BatchFile] = {}

    def note(self, fields: Mapping[str, object]) -> None:
        """Take what a batch says of its file."""
        found = batch_file(fields)
        if found is not None:
            self._batches[found.name] = found
            while len(self._batches) > MOST_FILES:
                del self._batches[next(iter(self._batches))]

    def holds(self, path: object) -> BatchFile | None:
        """The batch whose answers are downloaded from that path."""
        return self._batches.get(file_of(path)) if self._batches and isinstance(path, str) else None

    def read(self, file: BatchFile, client: Client, content: object, destination: object) -> None:
        """Take what was downloaded: as bytes, or into a file. What went into a stream of the app's own is gone."""
        if isinstance(content, bytes):
            self._complete(file, client, content.splitlines())
        elif isinstance(destination, str | os.PathLike):
            with open(destination, "rb") as lines:
                self._complete(file, client, lines)

    def _complete(self, file: BatchFile, client: Client, lines: Iterable[bytes]) -> None:
        request = Request("batch", file.model, retrieves=True)
        call = Call(google_genai, self._recorder, client, request, streamed=False)
        call.http_status = 200
        for place, line in enumerate(lines):
            part = batch_part(skim(decode_known, line), file.batch, file.model, place)
            if part is not None:
                call.complete(part)
        call.finish()
        self._batches.pop(file.name, None)
