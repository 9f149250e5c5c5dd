"""`usage-tracker sinks`, and what other commands say of sinks."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from commanding import invoke
from feeding import SECRET, begin_at, feed, webhook
from made_events import made_event, store_events
from migrated import migrated
from receivers import Receiver

from usage_tracker.sinks import NotTaken
from usage_tracker.stores import Store


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    with migrated(dsn) as opened:
        yield opened


class TestCommand:
    def run(self, dsn: str, *words: str) -> str:
        done = invoke(*words, env={"TRACKER_DSN": dsn}, catch_exceptions=False)
        return done.output

    def test_it_says_how_far_each_is(self, dsn: str, store: Store, receiver: Receiver) -> None:
        feeder = begin_at(store, webhook(receiver), SECRET)
        store_events(store, [made_event() for _ in range(3)])
        receiver.answers = [500]
        with pytest.raises(NotTaken):
            feeder.step()
        said = self.run(dsn, "sinks")
        assert "0 events sent, 3 waiting" in said
        assert f"! http://127.0.0.1:{receiver.port}/… answered 500" in said
        feed(feeder)
        [found] = json.loads(self.run(dsn, "sinks", "--json"))["sinks"]
        assert (found["name"], found["events"], found["waiting"]) == ("hook", 3, 0)
        assert SECRET not in json.dumps(found)
        feeder.close()
        assert "forgotten" in self.run(dsn, "sinks", "forget", "hook")
        assert "No sinks" in self.run(dsn, "sinks")

    @pytest.mark.parametrize("asked", ["forget", "refused"])
    def test_a_sink_that_no_store_knows_is_said_to_be_none(self, dsn: str, tmp_path: Path, asked: str) -> None:
        for place in (dsn, f"sqlite:///{tmp_path}/none.db"):
            assert "there is no sink 'hook'" in self.run(place, "sinks", asked, "hook")

    def test_what_a_receiver_has_refused_is_counted_listed_and_told_by_doctor(
        self, dsn: str, store: Store, receiver: Receiver, tmp_path: Path
    ) -> None:
        feeder = begin_at(store, webhook(receiver), SECRET)
        wrong = made_event(model="unheard-of")
        receiver.wrong = lambda body: b"unheard-of" in body
        store_events(store, [wrong])
        with pytest.raises(NotTaken):
            feed(feeder)
        store_events(store, [made_event()])
        feed(feeder)
        feeder.close()
        assert "1 refused: `usage-tracker sinks refused hook`" in self.run(dsn, "sinks")
        elsewhere = self.run(f"sqlite:///{tmp_path}/none.db", "sinks", "--dsn", dsn)
        assert re.search(r"1 refused: `usage-tracker sinks refused --dsn .+ hook`", elsewhere)
        [line] = self.run(dsn, "sinks", "refused", "hook").splitlines()
        assert line.startswith(f"{wrong.event_id}  20")
        assert line.endswith(f"http://127.0.0.1:{receiver.port}/… answered 400")
        [found] = json.loads(self.run(dsn, "sinks", "--json"))["sinks"]
        assert (found["refused"], found["waiting"], found["problem"]) == (1, 0, None)
        remedy = "its receiver refuses events, and goes without them; see `usage-tracker sinks refused hook`"
        assert remedy in self.run(dsn, "doctor")
        store.change(lambda execute: execute(f"UPDATE {store.dialect.prefix}sink_refused SET refused_at = 1", []))
        assert remedy not in self.run(dsn, "doctor"), "it was long ago"

    def test_doctor_names_a_sink_that_is_behind(self, dsn: str, store: Store, receiver: Receiver) -> None:
        feeder = begin_at(store, webhook(receiver), SECRET)
        store_events(store, [made_event()])
        receiver.answers = [500]
        with pytest.raises(NotTaken):
            feeder.step()
        said = self.run(dsn, "doctor")
        assert "1 waiting" in said
        assert "answered 500; it is tried again, and nothing is lost" in said
        assert SECRET not in said
        feeder.close()
