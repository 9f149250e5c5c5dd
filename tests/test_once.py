"""An attribute that is worked out when it is first asked for."""

import threading

from usage_tracker.once import once


class Answer:
    def __init__(self, said: str) -> None:
        self.said = said
        self.reading, self.read_on = threading.Event(), threading.Event()

    @once
    def words(self) -> list[str]:
        """What was said."""
        self.reading.set()
        assert self.read_on.wait(30)
        return self.said.split()


def test_it_is_worked_out_once() -> None:
    answer = Answer("one two")
    answer.read_on.set()
    assert answer.words is answer.words
    assert answer.words == ["one", "two"]


def test_nobody_waits_for_that_of_another_object() -> None:
    slow, quick = Answer("slow"), Answer("quick")
    quick.read_on.set()
    reading = threading.Thread(target=lambda: slow.words)
    reading.start()
    assert slow.reading.wait(30)
    assert quick.words == ["quick"]
    slow.read_on.set()
    reading.join()
    assert slow.words == ["slow"]


def test_its_class_tells_what_it_is() -> None:
    assert Answer.words.__doc__ == "What was said."
