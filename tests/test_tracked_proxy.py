"""An app leaves a call to a proxy that records it in the same store, and only then."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from capturing import ASK, KEY, Captured

import usage_tracker
from usage_tracker.capture.tracked_proxy import RECORDED_IN, mark_of
from usage_tracker.config import load_settings
from usage_tracker.demo.exchange import Asked, Reply
from usage_tracker.demo.standin import StandIn


def mark(dsn: str, **more: object) -> str | None:
    return mark_of(load_settings({}, dsn=dsn, **more))


def test_a_store_has_one_mark_whoever_connects_and_however_it_is_written() -> None:
    marks = {
        mark("postgresql://app:secret@db:5432/usage?sslmode=require"),
        mark("postgresql://proxy@DB/usage"),
        mark("host=db user=proxy dbname=usage password=other"),
    }
    assert len(marks) == 1
    assert "db" not in str(marks)
    assert mark("host=db port=6432 user=proxy dbname=usage") == mark("postgresql://app@db:6432/usage")
    assert mark("host=db user=usage") == mark("postgresql://usage@db")
    assert mark("postgresql:///usage?host=db&port=6432") == mark("postgresql://app@db:6432/usage")


def test_other_stores_have_other_marks() -> None:
    addresses = (
        "postgresql://app@db/usage", "postgresql://app@db/other", "postgresql://app@db:6432/usage",
        "postgresql://app@elsewhere/usage", "postgresql:///usage", "sqlite:////tmp/usage.db", "sqlite:////tmp/other.db",
        "postgresql:///usage?host=one", "postgresql:///usage?host=two", "postgresql://db?user=app&dbname=third",
        "hostaddr=10.0.0.1 dbname=usage", "hostaddr=10.0.0.2 dbname=usage", "host=db dbname='usage\\'s'",
    )  # fmt: skip
    assert len({mark(address) for address in addresses}) == len(addresses)
    assert mark(addresses[0]) != mark(addresses[0], fingerprint_key="of our own")


def test_a_local_server_is_that_of_its_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = ("postgresql:///usage", "dbname=usage port=6432", "postgresql://:6432/usage")
    here = [mark(address) for address in addresses]
    assert here[1] == here[2]
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename="elsewhere"))
    assert {mark(address, host="box-1") for address in addresses}.isdisjoint(here)


def test_the_port_that_an_address_names_is_that_of_the_host_which_a_variable_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was left out: of two servers on one host, an app took one for the other, and left its call to a proxy."""
    monkeypatch.setenv("PGHOST", "db")
    assert mark("postgresql://app@:6432/usage") == mark("postgresql://db:6432/usage") != mark("postgresql:///usage")


def test_an_address_that_only_a_file_of_the_machine_knows_has_no_mark() -> None:
    assert mark("service=usage") is mark("postgresql://?service=usage") is None
    assert mark("service=usage", store_name="main") is not None


def test_a_name_goes_before_the_address_and_is_all_that_a_sidecars_apps_have() -> None:
    named = mark("postgresql://app@db/usage", store_name="main")
    assert named == mark("postgresql://app@pgbouncer:6432/usage", store_name="main")
    assert named == mark_of(load_settings({}, ship=False, store_name="main"))
    assert mark_of(load_settings({}, ship=False)) is None


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_whoever_listens_hears_of_the_call_in_any_case(
    provider: StandIn, tmp_path: Path, same: bool, streamed: bool
) -> None:
    usage_tracker.install(dsn=f"sqlite:///{tmp_path}/own.db", spool_dir=tmp_path / "spool")
    captured = Captured()
    said = mark(f"sqlite:///{tmp_path}/{'own' if same else 'other'}.db")
    client: Any = openai.OpenAI(api_key=KEY, base_url=provider.base_url, max_retries=0)

    def answer(asked: Asked) -> Reply | None:
        if asked.body.get("user") == "nobody":
            return Reply({"error": {"message": "no"}}, 404, headers={RECORDED_IN: str(said)})
        reply = provider._answers.reply(asked, 1)
        return reply._replace(headers={**reply.headers, RECORDED_IN: str(said)})

    provider.reply = answer
    try:
        found = client.chat.completions.create(model="gpt-4o", messages=ASK, stream=streamed)
        list(found)
        assert captured.one().status == "ok"
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="gpt-4o", messages=ASK, user="nobody")
        assert captured.one().status == "error"
        assert usage_tracker.stats().captured == (0 if same else 2)
    finally:
        usage_tracker.uninstall()
        client.close()
