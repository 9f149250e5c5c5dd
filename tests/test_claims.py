"""Whose a claim is, and whether anybody has to wait for it."""

import os
import subprocess

import pytest

from usage_tracker.stores.claims import here, is_dead, make_claim, shown

HOST, SPACE = here()


@pytest.fixture(scope="module")
def ended() -> int:
    """The id of a process that is no more."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_nobody_waits_for_a_process_of_this_host_that_is_no_more(ended: int) -> None:
    assert is_dead(f"{HOST} {SPACE} {ended} x")


@pytest.mark.skipif(SPACE == "-", reason="a system without /proc doesn't tell")
def test_nobody_waits_for_a_process_that_has_ended_and_that_its_parent_has_not_asked_after() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays
        assert is_dead(f"{HOST} {SPACE} {process.pid} x")


def test_who_lives_or_may_live_is_waited_for(ended: int) -> None:
    assert not is_dead(make_claim())
    assert not is_dead(f"{HOST} {SPACE} 1 x"), "which may be another user's"
    assert not is_dead(f"elsewhere {SPACE} {ended} x"), "whose processes nobody sees from here"
    assert not is_dead(f"{HOST} another-container {ended} x"), "which has the host's name and ids of its own"
    assert not is_dead(f"{HOST}/{ended}/x"), "of another version"


def test_each_claim_is_like_no_other() -> None:
    assert make_claim() != make_claim()


def test_people_see_the_host_and_the_process() -> None:
    assert shown(make_claim()) == f"{HOST} process {os.getpid()}"
    assert shown("a/1/x") == "a/1/x"
