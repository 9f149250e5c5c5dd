"""Celery: what a task calls is for whom it was sent, whoever works on it and wherever.

attribute_tasks()    # once, where the app is made: both who sends tasks and the workers import that
"""

from collections.abc import Mapping
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun

from usage_tracker.attribution import NOBODY, Attribution, current
from usage_tracker.guard import guarded
from usage_tracker.scopes import attribute, attribution_of

HEADER = "usage_tracker"


def attribute_tasks(*, tagged: bool = True) -> None:
    """Carry attribution in the headers of messages. Unless `tagged` is False, the task's name is a tag, such as
    `task:shop.tasks.summarise`."""
    running: dict[int, attribute] = {}  # not by the task's id: a broker may deliver it again while it runs

    def send(headers: dict[str, Any] | None = None, **_: object) -> None:
        with guarded("send task"):
            said = current.get()
            if headers is not None and said is not NOBODY:
                headers[HEADER] = {name: value for name, value in said._asdict().items() if value}

    def begin(task: Any, **_: object) -> None:
        with guarded("begin task"):
            said = received((task.request.headers or {}).get(HEADER))
            tags = (*said.tags, f"task:{task.name}") if tagged else said.tags
            scope = running[id(task.request)] = attribute(**said._replace(tags=tags)._asdict())
            scope.__enter__()

    def end(task: Any, **_: object) -> None:
        with guarded("end task"):
            scope = running.pop(id(task.request), None)
            if scope is not None:
                scope.__exit__()

    for signal, receiver in ((before_task_publish, send), (task_prerun, begin), (task_postrun, end)):
        signal.disconnect(dispatch_uid=HEADER)  # of an earlier call: the last one counts
        signal.connect(receiver, weak=False, dispatch_uid=HEADER)


def received(header: object) -> Attribution:
    """What the message said, as far as this version knows it."""
    if not isinstance(header, Mapping):
        return NOBODY
    return attribution_of({name: value for name, value in header.items() if name in Attribution._fields})
