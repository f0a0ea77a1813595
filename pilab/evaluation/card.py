"""The evaluation card: what is left of a policy's success when one thing is changed, and when one is taken away.

A rate alone says how it does where it was tried. The card says how far that reaches: every axis of `perturbations` at each
severity that was tried, and every control, on the same scenes, each against the plain trial of the same scene (after the
axes of LIBERO-Plus, arXiv:2510.13626, and STAR-Gen, arXiv:2503.01238).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pilab.contracts import PilabError, Row
from pilab.evaluation.perturbations import AXES
from pilab.evaluation.statistics import PairedDifference, Rate, paired_difference, wilson

EXAM, SEVERITY = "exam", "severity"  # keys of the clusters of rows that belong on a card
OF = {axis.name: axis.of for axis in AXES.values()}  # what is not an axis is a control


@dataclass(frozen=True)
class Line:
    """One exam at one severity."""

    exam: str
    severity: float
    rate: Rate
    difference: PairedDifference | None  # to the plain trials of its scenes; None for these, and for other scenes

    @property
    def of(self) -> str:
        """Of the scene, of what is seen, of what is said, or a control."""
        return OF.get(self.exam, "control")


def lines(rows: Iterable[Row], plain: str) -> list[Line]:
    """Of the rows of one arm: the plain ones, other scenes, the axes in their order, the controls. plain: the exam that others
    are compared with.

    Raises `PilabError` for several arms, rows that are of no exam, and no plain ones.
    """
    cells: dict[tuple[str, float], list[Row]] = {}
    rows = list(rows)
    if len(arms := {row.arm for row in rows}) != 1:
        raise PilabError(f"rows of the arms {sorted(arms)}; a card is of one")
    for row in rows:
        if EXAM not in row.clusters:
            raise PilabError(f"a row of {row.suite!r} says no {EXAM!r}; expected rows of `pilab experiment reel`")
        cells.setdefault((str(row.clusters[EXAM]), float(row.clusters[SEVERITY])), []).append(row)
    if (plain, 0.0) not in cells:
        raise PilabError(f"no rows of {plain!r}: nothing to compare with")
    before, found = {row.scene: row.success for row in cells[plain, 0.0]}, []
    for (exam, severity), some in cells.items():
        rate = wilson(sum(row.success for row in some), len(some))
        compared = None
        if exam != plain and all(row.scene in before for row in some):
            compared = paired_difference([row.success for row in some], [before[row.scene] for row in some])
        found.append(Line(exam, severity, rate, compared))
    return sorted(found, key=lambda line: (_rank(line, plain), line.exam if line.exam not in OF else "", line.severity))


def _rank(line: Line, plain: str) -> int:
    """Of its exam, on a card."""
    axes = list(OF)
    first = 0 if line.exam == plain else 1 if line.difference is None else 2 + len(axes)
    return 2 + axes.index(line.exam) if line.exam in OF else first


def plain_exam(rows: Iterable[Row]) -> str:
    """The exam that the others are compared with: of those in which nothing was changed, the one in whose scenes most of the
    others were held. Raises `PilabError` where something was changed in all of them.
    """
    rows = list(rows)
    scenes: dict[str, set[str]] = {}
    for row in rows:
        if row.control == "none" and not row.clusters[SEVERITY]:
            scenes.setdefault(str(row.clusters[EXAM]), set()).add(row.scene)
    if not scenes:
        raise PilabError(f"{len(rows)} rows, and something was changed in each; expected an exam with nothing changed")
    return max(scenes, key=lambda exam: sum(row.scene in scenes[exam] for row in rows))


def markdown(found: Iterable[Line]) -> str:
    """A table for a model card: an exam a line, its severities beside one another."""
    found = list(found)
    grades = sorted({line.severity for line in found if line.severity})
    exams = dict.fromkeys(line.exam for line in found)
    by = {(line.exam, line.severity): line for line in found}
    told = ["| exam | of | " + " | ".join(f"severity {g:g}" for g in grades) + " | points lost |"]
    told.append("| --- | --- |" + " --- |" * (len(grades) + 1))
    for exam in exams:
        some = [by.get((exam, grade)) for grade in grades] if (exam, grades[-1]) in by else [by[exam, 0.0]]
        worst = some[-1]
        cells = [f"{line.rate.text()}" if line else "" for line in some]
        cells += [""] * (len(grades) - len(cells))
        lost = f"{-100 * worst.difference.estimate:.0f}" if worst.difference else ""
        told.append(f"| {exam} | {worst.of if worst.difference else ''} | {' | '.join(cells)} | {lost} |")
    return "\n".join(told)
