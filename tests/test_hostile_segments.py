"""Whatever somebody puts into a spool folder, it runs nothing, ends nothing, and holds no event up."""

import ast
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from spooled import Place, append, ids

import usage_tracker
from usage_tracker.journal.frames import EVENT, FRAME, ORIGIN, framed
from usage_tracker.journal.header import ANY_STORE, HEADER_SIZE, VERSION, Header

PIECES = st.one_of(
    st.binary(max_size=64),
    st.builds(
        FRAME.pack, st.sampled_from([EVENT, ORIGIN, b"\xf5P"]), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)
    ),
    st.builds(framed, st.sampled_from([EVENT, ORIGIN, b"\xf5P"]), st.binary(max_size=64)),
    st.just(bytes(300)),
)
EDITS = st.lists(st.tuples(st.integers(0, 4000), PIECES), max_size=6)


def drain(place: Place) -> None:
    shipper = place.shipper()
    assert shipper.spool.lead()
    while shipper.step():
        pass
    shipper.close()


def foreign_file(place: Place, content: bytes) -> Path:
    path = place.spool_folder / f"{uuid4()}.seg"
    path.write_bytes(content)
    return path


@settings(max_examples=60)
@given(EDITS, st.integers(0, 5000))
def test_a_segment_that_is_overwritten_anywhere_holds_no_other_up(edits: list[tuple[int, bytes]], end: int) -> None:
    with TemporaryDirectory() as folder:
        place = Place(Path(folder))
        append(place.journal, 20)
        place.journal.close()
        (path,) = place.spool().segments()
        with path.open("r+b") as file:
            for at, piece in edits:
                file.seek(at)
                file.write(piece)
            file.truncate(max(end, 1))
        append(place.journal, 3, first=100)
        place.journal.close()
        drain(place)
        stored = place.stored()
        assert set(ids(3, first=100)) <= set(stored)
        assert len(set(stored)) == len(stored)


@settings(max_examples=60)
@given(st.booleans(), st.lists(PIECES, max_size=8))
def test_a_file_of_any_bytes_holds_no_segment_up(headed: bool, pieces: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        place = Place(Path(folder))
        append(place.journal, 3)
        start = Header(VERSION, 1, uuid4(), ANY_STORE, 1).pack() if headed else b""
        foreign_file(place, start + b"".join(pieces))
        place.journal.close()
        drain(place)
        assert set(ids(3)) <= set(place.stored())


def test_a_segment_of_another_version_is_left_alone(place: Place) -> None:
    append(place.journal, 3)
    place.journal.close()
    (path,) = place.spool().segments()
    newer = Header(VERSION + 1, 1, uuid4(), ANY_STORE, 1).pack() + path.read_bytes()[HEADER_SIZE:]
    left = foreign_file(place, newer)
    append(place.journal, 2, first=10)
    place.journal.close()
    drain(place)
    assert place.stored() == ids(3) + ids(2, first=10)
    assert left.read_bytes() == newer, "a newer version ships it"


def test_what_is_set_aside_is_not_written_through_a_link(place: Place, tmp_path: Path) -> None:
    append(place.journal, 1)
    own = place.journal._current
    assert own is not None
    own.segment._write(framed(EVENT, b"no event"))
    place.journal.close()
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", place.spool_folder / "corrupt")
    drain(place)
    assert place.stored() == ids(1)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_no_module_can_run_what_it_reads() -> None:
    banned = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "code", "eval", "exec", "compile"}
    found = []
    for path in Path(usage_tracker.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    used = {name.name for name in names}
                case ast.ImportFrom(module=str(module)):
                    used = {module}
                case ast.Call(args=[ast.Constant()], keywords=[]):
                    continue  # a text of its own
                case ast.Call(func=ast.Name(id=name)):
                    used = {name}
                case _:
                    continue
            found += [(path.name, name) for name in used & banned]
    assert found == []
