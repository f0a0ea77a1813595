"""The notes in papers/ keep their form, and notes, bibliography and README agree with one another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAPERS = ROOT / "papers"
NOTES = sorted(p for p in PAPERS.glob("*.md") if p.name != "README.md")
HEADINGS = ["Claim", "Method", "Number", "Tested by", "How pilab uses it"]
PAGE = 30, 2400  # lines and characters of one printed page, generously


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def sections(note: Path) -> dict[str, str]:
    """Bold heading at the start of a paragraph → its text, unwrapped."""
    parts = re.split(r"^\*\*([^*]+)\*\* ", text(note), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (" ".join(p.split()) for p in parts[2::2]), strict=True))


def notebooks(line: str) -> set[str]:
    """`notebook 03 (planned)` → {"03"}."""
    return set(re.findall(r"[Nn]otebook (\d\d)\b", line))


def bibliography(source: str) -> dict[str, dict[str, str]]:
    """BibTeX → key → fields. Braces must balance and keys be unique: `ValueError` says which one is not."""
    entries: dict[str, dict[str, str]] = {}
    for match in re.finditer(r"^@(\w+)\{([\w-]+),", source, flags=re.MULTILINE):
        key, depth, fields, start, begin = match[2], 1, {}, match.end(), 0
        for i, character in enumerate(source[start:], start):
            if character == "{":
                depth, begin = depth + 1, begin if depth > 1 else i + 1
            elif character == "}":
                depth -= 1
                if depth == 1:
                    name = re.search(r"(\w+) = \{$", source[start:begin])
                    if name is None:
                        raise ValueError(f"{key}: a value without a name before {source[begin:i]!r}")
                    fields[name[1]] = source[begin:i]
                if depth == 0:
                    break
            elif character == "@" and depth > 0:
                break
        if depth:
            raise ValueError(f"{key}: braces do not balance")
        if key in entries:
            raise ValueError(f"{key}: the key occurs twice")
        entries[key] = fields
    return entries


@pytest.fixture(scope="module")
def entries() -> dict[str, dict[str, str]]:
    return bibliography(text(PAPERS / "references.bib"))


def test_there_are_notes() -> None:
    assert len(NOTES) >= 14


@pytest.mark.parametrize("note", NOTES, ids=lambda p: p.stem)
def test_note_has_its_form(note: Path) -> None:
    body = text(note)
    assert re.match(r"# \S.*\n\n\S", body), "a title, then authors and venue"
    assert list(sections(note)) == HEADINGS and all(sections(note).values())
    assert len(body.splitlines()) <= PAGE[0] and len(body) <= PAGE[1]
    assert max(map(len, body.splitlines())) <= 120


@pytest.mark.parametrize("note", NOTES, ids=lambda p: p.stem)
def test_note_says_planned_only_of_notebooks_that_do_not_exist(note: Path) -> None:
    tested = sections(note)["Tested by"]
    assert notebooks(tested)
    for number in re.findall(r"[Nn]otebook (\d\d) \(planned\)", tested):
        assert not list((ROOT / "notebooks").glob(f"{number}_*.ipynb")), f"notebook {number} exists: drop (planned)"


@pytest.mark.parametrize("note", NOTES, ids=lambda p: p.stem)
def test_note_agrees_with_the_bibliography(note: Path, entries: dict[str, dict[str, str]]) -> None:
    entry = entries[note.stem]
    header = text(note).split("**Claim**")[0]
    assert entry["year"] in header
    if "eprint" in entry:
        assert f"[arXiv:{entry['eprint']}](https://arxiv.org/abs/{entry['eprint']})" in header
    if "doi" in entry:
        assert f"https://doi.org/{entry['doi']}" in header


def test_bibliography_is_complete(entries: dict[str, dict[str, str]]) -> None:
    source = text(PAPERS / "references.bib")
    assert len(entries) == source.count("@") > len(NOTES)  # every @ opens an entry that was read
    for key, entry in entries.items():
        assert {"author", "title", "year"} <= entry.keys(), key
        assert re.fullmatch(r"(19|20)\d\d", entry["year"]), key
        if "eprint" in entry:
            assert re.fullmatch(r"\d{4}\.\d{4,5}", entry["eprint"]), key
            # A paper may appear after its preprint, never before; the number of a preprint begins with its year.
            assert 0 <= int(entry["year"]) - 2000 - int(entry["eprint"][:2]) <= 2, key
    eprints = [e["eprint"] for e in entries.values() if "eprint" in e]
    assert len(eprints) == len(set(eprints))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("@misc{a,\n  title = {x,\n}\n\n@misc{b,\n  title = {y},\n}\n", "a: braces"),
        ("@misc{a,\n  title = {x},\n}\n\n@misc{a,\n  title = {y},\n}\n", "a: the key occurs twice"),
        ("@misc{a,\n  {x},\n}\n", "a: a value without a name"),
    ],
)
def test_a_broken_bibliography_is_noticed(broken: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        bibliography(broken)


def test_readme_lists_every_note_and_its_notebooks() -> None:
    rows = re.findall(
        r"^\| \[([\w-]+)\]\(([\w-]+)\.md\) \| .+ \| ([\d, ]+) \|$", text(PAPERS / "README.md"), flags=re.MULTILINE
    )
    assert all(shown == target for shown, target, _ in rows) and len(rows) == len(NOTES)
    listed = {key: set(numbers.split(", ")) for key, _, numbers in rows}
    assert listed == {note.stem: notebooks(sections(note)["Tested by"]) for note in NOTES}


def test_readme_turns_the_table_round_correctly() -> None:
    rows = re.findall(r"^\| (\d\d) [^|]+ \| ([\w, -]+) \|$", text(PAPERS / "README.md"), flags=re.MULTILINE)
    turned = {(key, number) for number, keys in rows for key in keys.split(", ")}
    tested = {note.stem: notebooks(sections(note)["Tested by"]) for note in NOTES}
    assert turned == {(key, number) for key, numbers in tested.items() for number in numbers}
