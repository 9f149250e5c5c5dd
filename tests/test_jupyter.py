"""A notebook's cells: what they use, and who they are for, by magic."""

from collections.abc import Iterator
from typing import Any

import pytest
from capturing import ASK, Capturing
from IPython.core.interactiveshell import InteractiveShell

from usage_tracker import tracker
from usage_tracker.attribution import NOBODY, current

EXTENSION = "usage_tracker.frameworks.jupyter"


class Cells:
    """A real shell of IPython, fed cell by cell."""

    def __init__(self, capturing: Capturing) -> None:
        shell: Any = InteractiveShell.instance(history_manager=None)
        self.shell = shell
        self.shell.push({"client": capturing.client, "aclient": capturing.aclient, "ASK": ASK})
        self.run(f"%load_ext {EXTENSION}")

    def run(self, cell: str) -> Any:
        done = self.shell.run_cell(cell)
        done.raise_error()
        return done.result


CALL = 'client.chat.completions.create(model="gpt-4o-mini", messages=ASK).id'


@pytest.fixture
def cells(capturing: Capturing) -> Iterator[Cells]:
    cells = Cells(capturing)
    yield cells
    cells.run(f"%unload_ext {EXTENSION}")
    InteractiveShell.clear_instance()
    assert current.get() == NOBODY


def test_what_was_said_once_holds_for_the_cells_from_there_on(cells: Cells, capturing: Capturing) -> None:
    cells.run(f"{CALL}\n%attribute project=alpha tags=a,b\n{CALL}")
    cells.run("%attribute user=u-1")
    assert cells.run(CALL)
    assert [(origin.project, origin.user_id, origin.tags) for origin, _ in capturing.all()] == [
        (None, None, ()), ("alpha", None, ("a", "b")), ("alpha", "u-1", ("a", "b")),
    ]  # fmt: skip


def test_a_cell_may_be_for_somebody_else(cells: Cells, capturing: Capturing) -> None:
    cells.run("%attribute project=alpha user=u-1")
    assert cells.run(f"%%attribute user='u 2'\n{CALL}")
    cells.run(CALL)
    assert [(origin.project, origin.user_id) for origin, _ in capturing.all()] == [("alpha", "u 2"), ("alpha", "u-1")]


def test_cells_may_await(cells: Cells, capturing: Capturing) -> None:
    cells.run(f"%%attribute user=u-1\nawait a{CALL.removesuffix('.id')}\nawait aclient.close()")
    assert capturing.one_call()[0].user_id == "u-1"


def test_usage_is_that_of_the_session_or_of_the_cell(
    cells: Cells, capsys: pytest.CaptureFixture[str], capturing: Capturing
) -> None:
    assert repr(cells.run("%usage")) == "0 calls · 0 input tokens · 0 output tokens · $0"
    cells.run(CALL)
    capsys.readouterr()
    cells.run(f"%%usage\n{CALL}\n'the last value'")
    shown = capsys.readouterr().out
    assert "1 call · " in shown
    assert " · $0.0" in shown
    assert "the last value" in shown
    assert repr(cells.run("%usage")).startswith("2 calls · ")


def test_a_cell_that_fails_ends_its_scopes(cells: Cells) -> None:
    with pytest.raises(ZeroDivisionError):
        cells.run("%%attribute user=u-1\n1 / 0")
    assert current.get() == NOBODY


@pytest.mark.parametrize(
    "wrong", ["%attribute", "%attribute u-1", "%attribute usr=u-1", "%attribute user=O'Brien", "%usage of this cell"]
)
def test_what_is_not_understood_is_said(cells: Cells, wrong: str) -> None:
    from IPython.core.error import UsageError

    with pytest.raises(UsageError, match=r"say|takes"):
        cells.run(wrong)


def test_loading_it_is_enough_to_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("TRACKER_SHIP", "off")
    monkeypatch.setenv("TRACKER_SPOOL_DIR", str(tmp_path))
    shell: Any = InteractiveShell.instance(history_manager=None)
    shell.run_cell(f"%load_ext {EXTENSION}").raise_error()
    assert tracker.installed is not None
    shell.run_cell(f"%unload_ext {EXTENSION}")
    InteractiveShell.clear_instance()
    tracker.uninstall()
