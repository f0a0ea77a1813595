"""What the rows say about a claim, in one of four words. No notebook words its own verdict.

Design choices
--------------
* **Decided in this order**, where d is the smallest effect that matters. *Not testable at this scale*: a condition of
  entry fails, declared or among the `_conditions`. *Supported*: the 95 % interval is above 0, the estimate reaches d,
  every training seed has the same sign. *Not supported*: the whole interval is below d. *Inconclusive*: otherwise.
* **The widest interval decides**: Tango's over pairs of one scene and training seed, Student's over seeds or objects.
* **A score** (R², progress) is judged like a rate, over training seeds alone: its folds or frames are no trials of their own.
* **"Equal" is a claim, not the lack of a difference**: two one-sided tests at 5 %, or a 90 % interval within ± d.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pilab.contracts import PilabError, Row, Scale, UnknownNameError
from pilab.evaluation.statistics import Rate, p_text, paired_difference, points, seed_differences, wilson

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = "supported", "not supported", "inconclusive"
NOT_TESTABLE = "not testable at this scale"
SIGNS = {"increase": 1, "decrease": -1, "equal": 0}  # the sign that is claimed of arm − against
SEED = "training_seed"  # the cluster key of rows whose model was trained anew
CEILING, FLOOR, FEWEST_PAIRS, FEWEST_CLUSTERS = 0.97, 0.50, 300, 3


@dataclass(frozen=True)
class Entry:
    """A condition without which the experiment says nothing about its claim."""

    name: str
    ok: bool
    why: str  # what was found, with its numbers; read where it is not ok


@dataclass(frozen=True)
class Verdict:
    """A claim, the word for it, and the numbers behind the word. Differences are arm − against, as fractions."""

    claim: str
    word: str
    sentence: str
    estimate: float
    interval: tuple[float, float]
    confidence: float  # 0.95, or 0.90 where equality is claimed
    n: int  # pairs
    p: float  # exact McNemar, or two one-sided tests for equality; the largest, where clusters count too
    seeds: Mapping[str | int, float]  # training seed → difference; empty for a single model
    entry: tuple[Entry, ...]  # the declared conditions, then verdict's own
    provenance: str

    def text(self) -> str:
        return f"{self.word.upper()}: {self.claim}. {self.sentence} ({self.provenance})"

    def _repr_markdown_(self) -> str:
        return f"**{self.word}**: {self.claim}. {self.sentence}\n\n*{self.provenance}*"


def verdict(
    claim: str,
    arm: Sequence[Row],
    against: Sequence[Row],
    *,
    metric: str | tuple[str, str] = "success",
    direction: str = "increase",
    smallest: float = 0.10,
    scale: Scale | str,
    entry: Sequence[Entry] = (),
    cluster: str | None = None,
) -> Verdict:
    """Judge the claim that `arm` is above `against` ("increase"), below it ("decrease"), or "equal" to it.

    metric: "success" or a key of `Row.metrics`, which is True or False, or a number wherever rows are of several training
    seeds; or two, for arm and against, which may then be the same rows. smallest: the smallest effect that matters, a
    fraction, or in the unit of the score. cluster: a key of `Row.clusters` ("object")
    where the claim is about all of that kind. Raises `PilabError` for rows without a partner and values that are None.

    `verdict("the words decide what moves", plain, swapped, scale=SCALE, entry=[Entry("replay", ok, why)])`
    """
    scale = Scale(scale)
    if direction not in SIGNS:
        raise UnknownNameError("direction", direction, list(SIGNS))
    metrics = (metric, metric) if isinstance(metric, str) else metric
    names = [_name(rows, key) for rows, key in zip((arm, against), metrics, strict=True)]
    left, right = _paired(arm, against, names)
    a, b = _values(left, metrics[0], names[0]), _values(right, metrics[1], names[1])
    counted = isinstance(a[0], bool)
    if counted != isinstance(b[0], bool):
        raise PilabError(f"{names[0]} is {a[0]!r} and {names[1]} {b[0]!r}; expected True or False in both, or numbers")
    if not 0 < smallest < (1 if counted else np.inf):
        raise PilabError(f"smallest effect {smallest}; expected a fraction between 0 and 1, such as 0.10 for 10 points")

    trained = len({row.clusters.get(SEED) for row in left}) > 1  # of one model, the claim is about that one alone
    keys = [SEED] * trained + [cluster] * (cluster is not None)
    groups = {key: (_grouped(left, a, key), _grouped(left, b, key)) for key in keys}
    confidence = 0.90 if direction == "equal" else 0.95
    over = {key: seed_differences(*sides, confidence) for key, sides in groups.items() if len(sides[0]) > 1}
    seeds = over[SEED].by_seed if trained else {}
    found = [*([paired_difference(a, b, confidence)] if counted else ()), *over.values()]
    if not found:
        raise PilabError(
            f"{names[0]} is a score of one training seed; expected rows of several, which say how far it varies"
        )
    estimate, p = found[0].estimate, max(d.equivalence(smallest) if direction == "equal" else d.p for d in found)
    most = 1.0 if counted else np.inf
    low, high = max(-most, min(d.low for d in found)), min(most, max(d.high for d in found))
    rates = [wilson(sum(values), len(values)) for values in (a, b)] if counted else []
    checks = (*entry, *_conditions(direction, scale, names[1], rates, groups))
    if missed := [f"{check.name} ({check.why})" for check in checks if not check.ok]:
        word, reason = NOT_TESTABLE, f"Not met: {'; '.join(missed)}"
    else:
        size = f"{100 * smallest:g} points that matter" if counted else f"{smallest:g} that matters"
        word, reason = _decide(SIGNS[direction], smallest, size, estimate, low, high, list(seeds.values()))
    means = [rate.text() for rate in rates] if counted else [f"{np.mean(values):.2f}" for values in (a, b)]
    told = "; ".join(f"{name} {mean}" for name, mean in zip(names, means, strict=True))
    signs = f", training seeds {''.join('0+−'[int(np.sign(d))] for d in seeds.values())}" if seeds else ""
    gap = points(estimate, low, high) if counted else f"{estimate:+.2f} [{low:+.2f}, {high:+.2f}]"
    numbers = f"{gap} ({100 * confidence:.0f} % interval, {len(a)} pairs{signs}, {p_text(p)})"
    sentence, origin = f"{told}; difference {numbers}. {reason}.", _provenance([*arm, *against], scale)
    return Verdict(claim, word, sentence, estimate, (low, high), confidence, len(a), p, seeds, checks, origin)


def shared(*groups: Sequence[Row]) -> list[list[Row]]:
    """The rows of each group whose scene (and training seed) is in all of them: what `verdict` can pair.

    Raises `PilabError` where they have none in common.
    """
    keys = set.intersection(*({_key(row) for row in rows} for rows in groups))
    if not keys:
        raise PilabError(f"groups of {', '.join(str(len(rows)) for rows in groups)} rows have no scene in common")
    return [[row for row in rows if _key(row) in keys] for rows in groups]


def _key(row: Row) -> tuple[str | int | None, str]:
    return row.clusters.get(SEED), row.scene


def _conditions(
    direction: str, scale: Scale, name: str, rates: Sequence[Rate], groups: Mapping[str, tuple]
) -> Iterator[Entry]:
    """verdict's own conditions of entry; the last rate, of `name`, is that of what the arm is held against."""
    yield Entry("scale", scale is not Scale.SMOKE, "smoke tries the wiring and measures nothing")
    rate = rates[-1] if rates else None  # scores have neither a ceiling nor a floor
    if rate and direction == "increase":
        yield Entry("ceiling", rate.rate <= CEILING, f"{name} is above {100 * CEILING:.0f} %: no room to rise")
    elif rate:
        yield Entry("floor", rate.rate >= FLOOR, f"{name} is below {100 * FLOOR:.0f} %: little to lose")
    if rate and direction == "equal":
        yield Entry("pairs", rate.n >= FEWEST_PAIRS, f"{rate.n} of them, equality needs {FEWEST_PAIRS}")
    for key, (by_a, _) in groups.items():
        yield Entry(key, len(by_a) >= FEWEST_CLUSTERS, f"{len(by_a)} of them, at least {FEWEST_CLUSTERS} are needed")


def _decide(
    sign: int, smallest: float, size: str, estimate: float, low: float, high: float, seeds: Sequence[float]
) -> list[str]:
    """The word where every condition of entry holds, and what decided it."""
    if sign == 0:
        where = "inside" if max(-low, high) < smallest else "outside" if max(low, -high) >= smallest else "across"
        word = {"inside": SUPPORTED, "outside": NOT_SUPPORTED, "across": INCONCLUSIVE}[where]
        return [word, f"The interval lies {where} ± the {size}"]
    near, far = sorted((sign * low, sign * high))
    doubts = ["the interval does not exclude 0"] * (near <= 0)
    doubts += [f"the estimate is short of the {size}"] * (sign * estimate < smallest)
    doubts += ["the training seeds differ in sign"] * any(sign * d <= 0 for d in seeds)
    if not doubts:
        return [SUPPORTED, f"The interval excludes 0 and the estimate reaches the {size}"]
    if far < smallest:
        return [NOT_SUPPORTED, f"The interval stays below the {size}"]
    return [INCONCLUSIVE, f"Undecided: {', '.join(doubts)}"]


def _paired(arm: Sequence[Row], against: Sequence[Row], names: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """The rows of each side, so that those of the same scene and training seed stand at the same place."""
    left, right = ({_key(row): row for row in rows} for rows in (arm, against))
    twice, lonely = len(arm) - len(left) + len(against) - len(right), left.keys() ^ right.keys()
    if twice or lonely or not left:
        raise PilabError(
            f"{len(arm)} rows of {names[0]}, {len(against)} of {names[1]}: {len(lonely)} scenes without a partner, "
            f"{twice} rows repeated; expected one row on each side for every scene and {SEED}, and at least one"
        )
    return list(left.values()), [right[key] for key in left]


def _values(rows: Sequence[Row], metric: str, name: str) -> list[bool] | list[float]:
    values = [row.success if metric == "success" else row.metrics.get(metric) for row in rows]
    if all(isinstance(value, float) for value in values):
        return values
    if odd := [value for value in values if not isinstance(value, bool)]:
        found, known = f"{odd[0]!r} in {len(odd)} of {len(values)} rows", ", ".join(["success", *rows[0].metrics])
        raise PilabError(f"{name}: {found}; expected True or False in each, or numbers in all, for a metric of {known}")
    return values


def _grouped(rows: Sequence[Row], values: Sequence[float], key: str) -> dict[str | int, list[float]]:
    if lacking := [row for row in rows if key not in row.clusters]:
        raise UnknownNameError("cluster", key, list(lacking[0].clusters), "in every row")
    groups: dict[str | int, list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        groups.setdefault(row.clusters[key], []).append(value)
    return groups


def _name(rows: Sequence[Row], metric: str) -> str:
    who = {row.arm + (f" under {row.control}" if row.control != "none" else "") for row in rows}
    return f"{metric} of {' and '.join(sorted(who)) or 'nobody'}"


def _provenance(rows: Sequence[Row], scale: Scale) -> str:
    facts = {key: " ".join(sorted({getattr(row, key) for row in rows} - {""})) for key in ("checkpoint", "commit")}
    return ", ".join(f"{name} {fact}" for name, fact in {"scale": scale.value, **facts}.items() if fact)
