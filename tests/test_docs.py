"""What documents of the project point to is there: files, headings, code; and each guide is in their index."""

import re
from functools import cache
from pathlib import Path

import pytest
from commanding import invoke

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
INDEX = ROOT / "docs" / "README.md"
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FOLDERS = ("usage_tracker", "tests", "docs", "benchmarks", "deploy")


@cache
def prose(document: Path) -> str:
    """Without blocks of code."""
    return CODE.sub("", document.read_text(encoding="utf-8"))


def anchors(document: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_it_points_to_is_there(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = (document.parent / path).resolve() if path else document
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(found), target
    for name in re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w/.-]+)`", prose(document)):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_it_lets_make_do_is_in_the_makefile(document: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ )make ([a-z][\w-]*)", document.read_text(encoding="utf-8")))
    assert named <= targets


def test_every_guide_has_a_line_of_its_own_in_their_index() -> None:
    linked = re.findall(r"^\| .+ \| \[[\w-]+\.md\]\(([\w-]+\.md)\) \|$", prose(INDEX), re.MULTILINE)
    assert sorted(linked) == sorted(path.name for path in INDEX.parent.glob("*.md") if path != INDEX)


def test_the_readme_leads_to_that_index_and_to_what_its_words_mean() -> None:
    assert {"(docs/README.md)", "(docs/glossary.md)"} <= set(re.findall(r"\]([(][^)]+[)])", prose(ROOT / "README.md")))


def test_the_glossary_explains_each_word_once() -> None:
    words = re.findall(r"^\| ([\w -]+) \| \S", prose(INDEX.parent / "glossary.md"), re.MULTILINE)[1:]
    assert {"journal", "spool", "segment", "leader", "rollup", "ledger", "sidecar", "unpriced"} <= set(words)
    assert len(words) == len(set(words))


@pytest.mark.parametrize("guide", ["adding-a-store", "upgrading"])
def test_the_commands_run(guide: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKER_SDKS", "openai")  # doctor imports them
    [block] = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / f"{guide}.md").read_text(), re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        *settings, command = re.split(r" ?usage-tracker ", line)
        environ = dict(setting.split("=", 1) for setting in settings if setting)
        result = invoke(*command.split(), env=environ)
        assert result.exit_code == 0, f"{line}\n{result.output}"
