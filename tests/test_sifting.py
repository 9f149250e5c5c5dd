"""What a receiver refuses: each event that it never takes is left out, and nothing else."""

import json
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from certificates import certificate
from feeding import SECRET, begin_at, feed, in_order, stored, webhook
from made_events import NOON, made_event, store_events
from migrated import migrated
from receivers import Receiver, each_once

from usage_tracker.dsn import parse_dsn
from usage_tracker.sink_addresses import parse_sinks
from usage_tracker.sinks import Feeder, NotTaken, forget_sink, open_sink, refusals, sifting, standings
from usage_tracker.stores import Store, open_store


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    with migrated(dsn) as opened:
        yield opened


class TestRefused:
    """What a receiver finds wrong with one event holds no other one up; what it finds wrong with all of them is no
    event's fault."""

    @pytest.mark.parametrize("places", [[0], [7], [699], [0, 1, 2], [3, 300, 301, 302, 650], [698, 699]])
    def test_an_event_that_is_never_taken_is_set_aside_and_the_others_are_taken_once(
        self, store: Store, receiver: Receiver, places: list[int], caplog: pytest.LogCaptureFixture
    ) -> None:
        feeder = begin_at(store, webhook(receiver), SECRET)
        receiver.wrong = lambda body: b"unheard-of" in body
        batch = [made_event(model="unheard-of" if place in places else "gpt") for place in range(700)]
        store_events(store, [in_order(event, place) for place, event in enumerate(batch)])
        names = sorted(stored(store))
        with suppress(NotTaken):
            feed(feeder)
        store_events(store, [made_event() for _ in range(3)])  # so that the last ones have something after them
        feed(feeder)
        events, times = each_once(receiver.bodies(), "id", "events")
        wrong = [names[place] for place in places]
        assert sorted(event["event_id"] for event in events) == sorted(stored(store).keys() - set(wrong))
        assert set(times.values()) == {1}
        [standing] = standings(store)
        assert (standing.waiting, standing.events, standing.refused) == (0, 703 - len(places), len(places))
        assert standing.problem is None
        assert sorted(each.event_id for each in refusals(store, "hook")) == wrong
        assert {each.reason for each in refusals(store, "hook")} == {f"{webhook(receiver).shown} answered 400"}
        assert receiver.refused <= 40 * len(places)
        said = [record.message for record in caplog.records if "goes on without the event" in record.message]
        assert len(said) == 1
        assert said[0].startswith(f"the sink hook goes on without the event {wrong[0]}, which its receiver refuses: ")
        assert SECRET not in caplog.text
        feeder.close()

    @pytest.mark.parametrize("same_feeder", [True, False])
    def test_many_in_a_row_that_are_never_taken_hold_the_others_up_for_some_attempts(
        self, store: Store, receiver: Receiver, same_feeder: bool
    ) -> None:
        """As of one program, whose calls come together; also where cron feeds, with a new process for each attempt."""
        feeder = begin_at(store, webhook(receiver), SECRET)
        receiver.wrong = lambda body: b"unheard-of" in body
        batch = [made_event(model="unheard-of" if place < 50 else "gpt") for place in range(100)]
        store_events(store, [in_order(event, place) for place, event in enumerate(batch)])
        names = sorted(stored(store))
        for _ in range(2):
            with pytest.raises(NotTaken, match="answered 400"):
                feed(feeder)
            if not same_feeder:
                feeder.close()
                feeder = Feeder(webhook(receiver), store, open_sink)
        feed(feeder)
        events, times = each_once(receiver.bodies(), "id", "events")
        assert sorted(event["event_id"] for event in events) == names[50:]
        assert set(times.values()) == {1}
        assert sorted(each.event_id for each in refusals(store, "hook")) == names[:50]
        assert standings(store)[0].waiting == 0
        assert receiver.refused < 130
        feeder.close()

    def test_nobody_looks_for_one_that_is_taken_without_end(
        self, store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sifting, "MOST_SUSPECTS", 30)
        feeder = begin_at(store, webhook(receiver), SECRET)
        receiver.wrong = lambda body: True
        store_events(store, [made_event() for _ in range(100)])
        asked = []
        for _ in range(5):
            before = receiver.refused
            with pytest.raises(NotTaken, match="answered 400"):
                feed(feeder)
            asked.append(receiver.refused - before)
        halved = 6  # times, from 100
        assert asked[1:] == [halved + 11, halved + 1, halved + 1, halved + 1]
        receiver.wrong = lambda body: False
        feed(feeder)
        assert (standings(store)[0].waiting, standings(store)[0].refused) == (0, 0)
        feeder.close()

    @pytest.mark.parametrize("reads_all", [True, False])
    def test_one_that_is_too_large_by_itself_is_set_aside_and_later_posts_are_large_again(
        self, store: Store, receiver: Receiver, reads_all: bool
    ) -> None:
        feeder = begin_at(store, webhook(receiver), SECRET)
        receiver.largest, receiver.reads_all = 600_000, reads_all
        large = made_event(tags=tuple(f"{number:0>100}" for number in range(7000 if reads_all else 90_000)))
        batch = [*(made_event() for _ in range(40)), large, *(made_event() for _ in range(40))]
        batch = [in_order(event, place) for place, event in enumerate(batch)]  # the last one would wait for another
        store_events(store, batch)
        feed(feeder)
        assert [each.event_id for each in refusals(store, "hook")] == [str(batch[40].event_id)]
        assert standings(store)[0].events == 80
        self.large_again(feeder, store, receiver)

    def test_one_that_is_too_large_over_tls_is_set_aside(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served = certificate(tmp_path / "tls", "localhost")
        monkeypatch.setenv("SSL_CERT_FILE", str(served[0]))
        with closing(Receiver(certificate=served)) as receiver:
            receiver.largest, receiver.reads_all = 600_000, False
            [address] = parse_sinks((f"hook=https://localhost:{receiver.port}/",))
            feeder = begin_at(store, address, SECRET)
            large = made_event(tags=tuple(f"{number:0>100}" for number in range(90_000)))
            batch = [in_order(event, place) for place, event in enumerate((large, made_event()))]
            store_events(store, batch)
            for _ in range(20):  # an answer may be lost with the connection
                with suppress(NotTaken):
                    feed(feeder)
            feeder.close()
        assert [each.event_id for each in refusals(store, "hook")] == [str(batch[0].event_id)]
        assert standings(store)[0].waiting == 0

    def test_later_posts_are_large_again_after_a_large_event_that_is_taken_by_itself(
        self, store: Store, receiver: Receiver
    ) -> None:
        feeder = begin_at(store, webhook(receiver), SECRET)
        receiver.largest = 600_000
        large = made_event(tags=tuple(f"{number:0>100}" for number in range(5800)))
        store_events(store, [*(made_event() for _ in range(40)), large, *(made_event() for _ in range(40))])
        feed(feeder)
        assert standings(store)[0].events == 81
        self.large_again(feeder, store, receiver)

    def large_again(self, feeder: Feeder, store: Store, receiver: Receiver) -> None:
        for _ in range(20):
            store_events(store, [made_event() for _ in range(80)])
            feed(feeder)
        assert len(json.loads(receiver.posts[-1][2])["events"]) == 80
        feeder.close()

    def test_while_everything_is_refused_everything_waits(self, store: Store, receiver: Receiver) -> None:
        """As with a wrong secret, or while the receiver's program is a broken one."""
        feeder = begin_at(store, webhook(receiver), SECRET)
        receiver.wrong = lambda body: True
        for count in (1, 2, 100, 700):
            store_events(store, [made_event() for _ in range(count)])
            for _ in range(3):
                with pytest.raises(NotTaken, match="answered 400"):
                    feed(feeder)
        assert receiver.refused < 12 * 40, "it is not asked for each event at each attempt"
        [standing] = standings(store)
        assert (standing.waiting, standing.events, standing.refused) == (803, 0, 0)
        assert standing.problem == f"{webhook(receiver).shown} answered 400"
        receiver.wrong = lambda body: False
        feed(feeder)
        events, times = each_once(receiver.bodies(), "id", "events")
        assert sorted(event["event_id"] for event in events) == sorted(stored(store))
        assert set(times.values()) == {1}
        feeder.close()

    def test_what_is_refused_only_until_others_are_taken_is_taken(self, store: Store, receiver: Receiver) -> None:
        """As while a broken program goes, and the one before it comes back."""
        feeder = begin_at(store, webhook(receiver), SECRET)
        store_events(store, [made_event() for _ in range(20)])
        receiver.answers = [400] * 12
        feed(feeder)
        events, times = each_once(receiver.bodies(), "id", "events")
        assert sorted(event["event_id"] for event in events) == sorted(stored(store))
        assert set(times.values()) == {1}
        assert standings(store)[0].refused == 0
        feeder.close()

    @pytest.mark.parametrize("same_feeder", [True, False])
    def test_what_a_receiver_refuses_that_refuses_everything_again_is_not_set_aside(
        self, store: Store, receiver: Receiver, same_feeder: bool
    ) -> None:
        """As where it was right for one event, then away, and then as broken as before."""
        feeder = begin_at(store, webhook(receiver), SECRET)
        batch = [made_event(model="unheard-of"), *(made_event() for _ in range(3))]
        store_events(store, [in_order(event, place) for place, event in enumerate(batch)])
        receiver.answers = [400, 400, 400, 400, 200, 503]  # four, two, one by one
        with pytest.raises(NotTaken, match="answered 503"):
            feed(feeder)
        [standing] = standings(store)
        assert (standing.waiting, standing.events, standing.refused) == (3, 1, 0)
        if not same_feeder:
            feeder.close()
            feeder = Feeder(webhook(receiver), store, open_sink)
        receiver.wrong = lambda body: True
        for _ in range(3):
            with pytest.raises(NotTaken, match="answered 400"):
                feed(feeder)
        assert standings(store)[0].refused == 0
        receiver.wrong = lambda body: b"unheard-of" in body
        feed(feeder)
        events, _ = each_once(receiver.bodies(), "id", "events")
        [refused] = refusals(store, "hook")
        assert sorted([refused.event_id, *(event["event_id"] for event in events)]) == sorted(stored(store))
        assert refused.event_id == min(stored(store))
        assert standings(store)[0].events == 3
        feeder.close()

    @pytest.mark.parametrize("count", [5, 30, 700])
    def test_what_was_taken_without_an_answer_is_sent_again_as_it_was_after_everything_was_refused(
        self, store: Store, receiver: Receiver, count: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As where a receiver ends within a post, and what is started in its place is a broken program for a while."""
        feeder = begin_at(store, webhook(receiver), SECRET)
        store_events(store, [made_event() for _ in range(count)])
        receiver.answers = [-1]
        with monkeypatch.context() as patch:
            patch.setattr("usage_tracker.outgoing.ATTEMPT_SECONDS", 0.5)
            with pytest.raises(NotTaken, match="can't be reached"):
                feeder.step()
        receiver.wrong = lambda body: True
        for _ in range(3):
            store_events(store, [made_event()])
            with pytest.raises(NotTaken, match="answered 400"):
                feed(feeder)
            feeder.close()
            feeder = Feeder(webhook(receiver), store, open_sink)
        receiver.wrong = lambda body: False
        feed(feeder)
        events, _ = each_once(receiver.bodies(), "id", "events")
        assert sorted(event["event_id"] for event in events) == sorted(stored(store))
        assert standings(store)[0].refused == 0
        feeder.close()

    @pytest.mark.parametrize("stopped_by", [503, -1])
    def test_what_was_taken_ahead_of_others_is_not_sent_again_with_others(
        self, store: Store, receiver: Receiver, stopped_by: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As while some of a receiver's programs are broken ones, and all that it has are right in the end."""
        monkeypatch.setattr("usage_tracker.outgoing.ATTEMPT_SECONDS", 0.5)
        feeder = begin_at(store, webhook(receiver), SECRET)
        store_events(store, [made_event() for _ in range(40)])
        receiver.answers = [400] * 5 + [400] * 15 + [200] + [stopped_by]
        with pytest.raises(NotTaken, match="503" if stopped_by == 503 else "can't be reached"):
            feed(feeder)
        feeder.close()
        successor = Feeder(webhook(receiver), store, open_sink)
        feed(successor)
        events, times = each_once(receiver.bodies(), "id", "events")
        assert sorted(event["event_id"] for event in events) == sorted(stored(store))
        assert sorted(times.values())[-2:] == ([1, 1] if stopped_by == 503 else [1, 2])
        [standing] = standings(store)
        assert (standing.waiting, standing.events, standing.refused) == (0, 40, 0)
        successor.close()

    def test_one_that_is_alone_waits_until_another_one_is_taken(self, store: Store, receiver: Receiver) -> None:
        feeder = begin_at(store, webhook(receiver), SECRET)
        receiver.wrong = lambda body: b"unheard-of" in body
        store_events(store, [made_event(model="unheard-of")])
        [wrong] = stored(store)
        for _ in range(2):
            with pytest.raises(NotTaken, match="answered 400"):
                feed(feeder)
        assert standings(store)[0].waiting == 1
        feeder.close()
        successor = Feeder(webhook(receiver), store, open_sink)
        store_events(store, [made_event()])
        feed(successor)
        assert [each.event_id for each in refusals(store, "hook")] == [wrong]
        [standing] = standings(store)
        assert (standing.waiting, standing.events, standing.problem) == (0, 1, None)
        assert forget_sink(store, "hook")
        assert not list(refusals(store, "hook"))
        successor.close()

    def test_what_was_refused_and_is_pruned_meanwhile_holds_nothing_up(self, store: Store, receiver: Receiver) -> None:
        feeder = begin_at(store, webhook(receiver), SECRET)
        receiver.wrong = lambda body: b"unheard-of" in body
        store_events(store, [made_event(model="unheard-of")])
        with pytest.raises(NotTaken):
            feed(feeder)
        assert sum(store.prune(NOON + timedelta(days=1))) == 1
        table = f"{store.dialect.prefix}sink"
        store.change(lambda execute: execute(f"UPDATE {table} SET claim = NULL", []))
        with suppress(NotTaken):
            feed(feeder)  # finds that the sink is not its own any more
        feed(feeder)
        store_events(store, [made_event(NOON + timedelta(days=2))])
        feed(feeder)
        [standing] = standings(store)
        assert (standing.waiting, standing.events, standing.refused) == (0, 1, 0)
        feeder.close()

    def test_what_was_refused_is_forgotten_with_the_events_that_are_pruned(
        self, store: Store, receiver: Receiver
    ) -> None:
        feeder = begin_at(store, webhook(receiver), SECRET)
        receiver.wrong = lambda body: b"unheard-of" in body
        batch = [made_event(model="unheard-of" if place < 2 else "gpt") for place in range(3)]
        store_events(store, [in_order(event, place) for place, event in enumerate(batch)])
        feed(feeder)
        feeder.close()
        early, late = sorted(each.event_id for each in refusals(store, "hook"))
        mark, table = store.dialect.placeholder, f"{store.dialect.prefix}sink_refused"
        sql = f"UPDATE {table} SET refused_at = {mark} + CASE WHEN event_id = {mark} THEN 3600 ELSE 90000 END"
        store.change(lambda execute: execute(sql, [NOON.timestamp(), early]))
        assert sum(store.prune(NOON + timedelta(days=1))) == 3
        assert [each.event_id for each in refusals(store, "hook")] == [late]

    def test_who_loses_the_sink_meanwhile_sets_nothing_aside(self, store: Store, receiver: Receiver, dsn: str) -> None:
        feeder = begin_at(store, webhook(receiver), SECRET)
        batch = [made_event(model="unheard-of"), made_event()]
        store_events(store, [in_order(event, place) for place, event in enumerate(batch)])

        def wrong(body: bytes) -> bool:
            if b"unheard-of" in body and len(json.loads(body)["events"]) == 1:
                taken_away.append(forget_sink(other, "hook"))
            return b"unheard-of" in body

        taken_away: list[bool] = []
        with closing(open_store(parse_dsn(dsn))) as other:
            receiver.wrong = wrong
            feed(feeder)
        assert taken_away == [True]
        assert not receiver.posts
        feeder.close()
