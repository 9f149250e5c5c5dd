"""Work that OpenAI's API starts and does later, for the stand-in: background responses, batches, assistants' runs.

`provider.reply = Workshop()`: each is done after it was asked for `polls` times. Any process may ask.
https://platform.openai.com/docs/guides/background, https://platform.openai.com/docs/api-reference/batch,
https://platform.openai.com/docs/api-reference/runs
"""

import re
from typing import NamedTuple

from usage_tracker.demo.exchange import Asked, Event, Json, Reply
from usage_tracker.demo.invention import Invention
from usage_tracker.demo.responses import events, queued, response

RUN_USAGE = {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500}
BATCH_USAGE = {
    "input_tokens": 2400,
    "input_tokens_details": {"cached_tokens": 1024},
    "output_tokens": 360,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 2760,
}
NO_USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}


class Work(NamedTuple):
    """Something that was started."""

    begun: Json
    done: Json
    polls: int
    """How often it is asked for until it is done."""


class Workshop:
    """What the stand-in answers about started work; None for everything else."""

    def __init__(self, polls: int = 1) -> None:
        self.polls = polls
        self.works: dict[str, Work] = {}
        self._number = 0

    def __call__(self, asked: Asked) -> Reply | None:
        path = re.sub(r"^/(v1|openai)/", "", asked.path)
        self._number += 1
        invention = Invention(asked, self._number, 0)
        if asked.method == "POST":
            if path == "responses" and asked.body.get("background"):
                return self._respond(asked, invention)
            if path == "batches":
                return self._begin(*batch(asked, invention))
            if found := re.fullmatch(r"threads(?:/(\w+))?/runs", path):
                return self._run(asked, invention, found[1] or invention.id("thread_"))
            if found := re.fullmatch(r"threads/\w+/runs/(\w+)/submit_tool_outputs", path):
                return self._submit(asked, found[1])
            if found := re.fullmatch(r"(?:responses|batches|threads/\w+/runs)/(\w+)/cancel", path):
                return Reply(self._cancel(found[1]))
        if found := re.fullmatch(r"(?:responses|batches|threads/\w+/runs)/(\w+)", path):
            return self._ask(asked, found[1]) if found[1] in self.works else None
        return None

    def _begin(self, begun: Json, done: Json) -> Reply:
        self.works[begun["id"]] = Work(begun, done, self.polls)
        return Reply(begun)

    def _respond(self, asked: Asked, invention: Invention) -> Reply:
        done = response(asked, invention)
        reply = self._begin(queued(done), done)
        return Reply(events=events(done)) if asked.body.get("stream") else reply

    def _run(self, asked: Asked, invention: Invention, thread: str) -> Reply:
        tools = asked.body.get("tools") or []
        begun = run(asked, invention, thread)
        done = {**begun, "status": "completed", "usage": RUN_USAGE}
        if tools:
            call = {
                "id": "call_1",
                "type": "function",
                "function": {"name": tools[0]["function"]["name"], "arguments": "{}"},
            }
            action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call]}}
            done = {**begun, "status": "requires_action", "required_action": action}
        reply = self._begin(begun, done)
        return Reply(events=run_events(begun, done)) if asked.body.get("stream") else reply

    def _submit(self, asked: Asked, id_: str) -> Reply:
        begun = {**self.works[id_].begun, "status": "queued"}
        done = {**begun, "status": "completed", "usage": RUN_USAGE}
        reply = self._begin(begun, done)
        if asked.body.get("stream"):
            return Reply(events=run_events(begun, done))
        return reply if self.polls else Reply(done)

    def _cancel(self, id_: str) -> Json:
        begun = self.works[id_].begun
        ends = {"response": "cancelled", "batch": "cancelling", "thread.run": "cancelling"}
        usage = {"response": None, "batch": BATCH_USAGE, "thread.run": RUN_USAGE}[begun["object"]]
        self.works[id_] = Work(begun, {**begun, "status": "cancelled", "usage": usage}, 0)
        return {**begun, "status": ends[begun["object"]]}

    def _ask(self, asked: Asked, id_: str) -> Reply:
        begun, done, polls = self.works[id_]
        self.works[id_] = Work(begun, done, max(0, polls - 1))
        if asked.query.get("stream") == "true":
            return Reply(events=events(done))
        return Reply({**begun, "status": "in_progress"} if polls else done)


def batch(asked: Asked, invention: Invention) -> tuple[Json, Json]:
    begun: Json = {
        "id": invention.id("batch_"),
        "object": "batch",
        "endpoint": asked.body.get("endpoint"),
        "errors": None,
        "input_file_id": asked.body.get("input_file_id"),
        "completion_window": "24h",
        "status": "validating",
        "created_at": invention.now,
        "metadata": asked.body.get("metadata"),
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "usage": NO_USAGE,
    }
    return begun, {**begun, "status": "completed", "model": "gpt-4o-mini-2024-07-18", "usage": BATCH_USAGE}


def run(asked: Asked, invention: Invention, thread: str) -> Json:
    return {
        "id": invention.id("run_"),
        "object": "thread.run",
        "created_at": invention.now,
        "thread_id": thread,
        "assistant_id": asked.body.get("assistant_id"),
        "status": "queued",
        "required_action": None,
        "last_error": None,
        "model": asked.body.get("model") or "gpt-4o",
        "instructions": "",
        "tools": asked.body.get("tools") or [],
        "metadata": {},
        "usage": None,
        "truncation_strategy": {"type": "auto"},
        "response_format": "auto",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }


def run_events(begun: Json, done: Json) -> list[Event]:
    """The events of a run's stream. What its step used is part of what the run used."""
    about = {"created_at": begun["created_at"], "thread_id": begun["thread_id"], "run_id": begun["id"]}
    made = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}
    step = {
        **about, "id": "step_1", "object": "thread.run.step", "type": "message_creation", "assistant_id": "asst_1",
        "status": "completed", "step_details": made,
    }  # fmt: skip
    delta: Json = {"content": [{"index": 0, "type": "text", "text": {"value": "Hello", "annotations": []}}]}
    message = {
        **about, "id": "msg_1", "object": "thread.message", "role": "assistant", "assistant_id": "asst_1",
        "attachments": [], "metadata": {},
    }  # fmt: skip
    told = [
        ("thread.run.created", begun),
        ("thread.run.queued", begun),
        ("thread.run.in_progress", {**begun, "status": "in_progress"}),
        ("thread.run.step.created", {**step, "status": "in_progress", "usage": None}),
    ]
    if done["status"] == "completed":
        told += [
            ("thread.message.created", {**message, "status": "in_progress", "content": []}),
            ("thread.message.delta", {"id": "msg_1", "object": "thread.message.delta", "delta": delta}),
            ("thread.run.step.completed", {**step, "usage": RUN_USAGE}),
        ]
    told.append((f"thread.run.{done['status']}", done))
    return [Event(fields, name) for name, fields in told]
