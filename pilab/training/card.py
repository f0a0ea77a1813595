"""The card of a checkpoint: what it is, what it learnt from, what it can do and what not, written from its own files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pilab.contracts import Row
from pilab.evaluation.card import EXAM, markdown, plain_exam
from pilab.evaluation.card import lines as card_lines
from pilab.evaluation.statistics import wilson
from pilab.vla.checkpoint import CARD, WEIGHTS, Checkpoint
from pilab.vla.model import VLAConfig
from pilab.vla.senses import OWN

STAGE = "stage"  # the cluster that says of which stage of a training a row is


def write_card(folder: str | Path, rows: Sequence[Row] = ()) -> Path:
    """Write README.md beside the weights. rows: results to report, of these weights; and, where they say of which `STAGE`, of
    those that these went on from.
    """
    folder = Path(folder)
    checkpoint = Checkpoint.load(folder)
    o, config, driving = checkpoint.origin or {}, checkpoint.model.config, checkpoint.driving
    recipe, mine = o.get("recipe", {}), [row for row in rows if row.checkpoint == checkpoint.hash]
    labels = ", ".join(name for name, there in o.get("labels", {}).items() if there) or "none"
    size = (folder / WEIGHTS).stat().st_size / 1e6
    lines = [
        f"# A VLA for the body `{config.body}`",
        "",
        "Written by pilab from the checkpoint's own files.",
        "",
        f"- **Weights** `{checkpoint.hash}`: {o.get('parameters', 0):,} parameters, {size:.1f} MB; chunks of {config.horizon} "
        f"steps, action space `{config.action_space}`, head `{config.head}`.",
        f"- **Senses** cameras {', '.join(f'{n} {w}×{h}' for n, h, w in config.cameras)}; {_felt(config)}.",
        f"- **Driven** at temperature {driving.temperature:g}; a new chunk every {driving.replan_interval} control steps and "
        + (f"a thought every {driving.think_interval}" if driving.thinks else "no thought: on the instruction alone")
        + ("; where the words say it all, it acts on them." if driving.thinks and driving.literal else "."),
        f"- **Data** {_data(o)}; labels: {labels}; {_drawn(o)}. All simulated.",
        f"- **Recipe** {_stages(recipe)}; learning rate {recipe.get('learning_rate')}, seed {o.get('seed')}; "
        f"the expert was {'insulated from the trunk' if o.get('insulated') else 'not insulated'}.",
        *_start(o.get("start")),
        f"- **Made** in {o.get('minutes')} minutes{_cost(o)} of training at commit {o.get('commit') or 'unknown'} with "
        + ", ".join(f"{n} {v}" for n, v in o.get("versions", {}).items())
        + ".",
    ]
    if plain := [row for row in mine if EXAM not in row.clusters and STAGE not in row.clusters]:
        head = [
            "| arm | suite | control | seeds from | what | rate [95 % Wilson interval] |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += ["", "## Measured", "", *head, *_table(plain)]
    if changed := [row for row in mine if EXAM in row.clusters]:
        lines += ["", "## When one thing is changed", "", markdown(card_lines(changed, plain_exam(changed)))]
    known = {checkpoint.hash, *_before(o)}
    if staged := [row for row in rows if STAGE in row.clusters and row.checkpoint in known]:
        lines += ["", "## What each stage bought", "", *_by_stage(staged)]
    lines += [
        "", "## Limits", "",
        f"It knows {len(checkpoint.words)} words; others are accepted and flagged. "
        f"{o.get('reserved', 0)} of its training episodes hold something that is reserved for testing. It remembers nothing "
        "but its thought, and has been tried in simulation alone.",
        "",
    ]  # fmt: skip
    path = folder / CARD
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _felt(config: VLAConfig) -> str:
    """What it feels, and what was missing in training, always or at times."""
    further = ", ".join(name for name in config.felt if name not in OWN)
    told = f"it feels {', '.join(config.felt) or 'nothing'}" if further or config.felt != OWN else "no touch, no force"
    gone = [f"{name} in {share:.0%} of the rows" if share < 1 else f"{name} always" for name, share in config.missing]
    return told + (f"; missing in training: {', '.join(gone)}" if gone else "")


def _start(before: dict | None) -> list[str]:
    """The checkpoint it went on from."""
    if not before:
        return []
    recipe, stopped = before.get("recipe", {}), before.get("stopped_at")
    return [
        f"- **Started** from weights `{before.get('hash')}`: {_stages(recipe)}"
        + (f" (stopped after {stopped})" if stopped else "")
        + f", on {_data(before)} and {_drawn(before)}, in {before.get('minutes')} minutes.",
        *_start(before.get("start")),
    ]


def _before(origin: dict) -> list[str]:
    """Hashes of the weights that it went on from, the latest first."""
    before = origin.get("start")
    return [str(before.get("hash")), *_before(before)] if before else []


def _by_stage(rows: Sequence[Row]) -> list[str]:
    """Success in per cent, and of how many: a line for each stage, in the order of the rows, a column for each suite."""
    stages, suites = (
        list(dict.fromkeys(names)) for names in zip(*((r.clusters[STAGE], r.suite) for r in rows), strict=True)
    )
    lines = [f"| {' | '.join(('stage', *suites))} |", "| --- " * (1 + len(suites)) + "|"]
    for stage in stages:
        cells = [[r.success for r in rows if (r.clusters[STAGE], r.suite) == (stage, suite)] for suite in suites]
        told = [f"{100 * sum(won) / len(won):.0f} % of {len(won)}" if won else "" for won in cells]
        lines.append(f"| {' | '.join((str(stage), *told))} |")
    return lines


def _cost(origin: dict) -> str:
    """Operations, where they were counted."""
    return f" and {origin['flops'] / 1e15:.2g} PFLOP" if origin.get("flops") else ""


def _stages(recipe: dict) -> str:
    """What was drawn for how long, and what learnt from it."""
    if "stages" not in recipe:  # before recipes had stages
        later = f", then {recipe['later']}" if recipe.get("later") else ""
        return f"{recipe.get('steps')} steps of {recipe.get('rows')}{later}"
    told = []
    for stage in recipe.get("stages", []):
        rows = " + ".join(f"{n} {kind.replace('_', '-')}" for kind, n in stage["rows"].items() if n)
        told.append(
            f"{stage['steps']} steps of {rows} rows" + (f" ({', '.join(stage['only'])} only)" * bool(stage["only"]))
        )
    return ", then ".join(told)


def _data(origin: dict) -> str:
    """Names and sizes of datasets, and how much of them was used for what."""
    said, most = [], origin.get("recipe", {}).get("most")
    for d in origin.get("data", []):
        only = f", {most} of them learnt from" if most and not said else ", watched" if d.get("watched") else ""
        said.append(f"{d['name']} ({d['episodes']} episodes, {d['frames']:,} frames{only})")
    if wrong := origin.get("mislabelled"):
        said.append(f"{wrong} of them mislabelled on purpose")
    return ", ".join(said) or "no demonstrations"


def _drawn(origin: dict) -> str:
    """Pictures and texts that were drawn for it."""
    recipe, web = origin.get("recipe", {}), origin.get("web", {})
    rows = [stage.get("rows", {}) for stage in recipe.get("stages", [])]
    drawn = [f"{recipe.get('pointing_scenes', 0)} pointing scenes"]
    if any(r.get("asked") for r in rows):
        drawn.append(f"{recipe['web_pictures']} pictures of the synthetic web ({recipe['facts']})")
    if any(r.get("read") for r in rows):
        drawn.append(f"its texts{' with their words scrambled' * bool(recipe['scrambled'])}")
    if web:
        drawn[-1] += f" (version {web['version']})"
    if recipe.get("tagged"):
        drawn.append("what is told begins with the quality of its episode")
    return ", ".join(drawn)


def _table(rows: Sequence[Row]) -> list[str]:
    """Success per arm, suite, control and verb, and how often the spoken goal was followed."""
    lines = []
    for arm, suite, control in dict.fromkeys((row.arm, row.suite, row.control) for row in rows):
        group = [row for row in rows if (row.arm, row.suite, row.control) == (arm, suite, control)]
        first = min(row.seed for row in group)
        verbs = dict.fromkeys(str(row.clusters.get("verb", "")) for row in group)
        by_verb = {verb: [row for row in group if row.clusters.get("verb") == verb] for verb in verbs}
        parts = {"success": group, **(by_verb if len(verbs) > 1 else {})}
        for name, some in parts.items():
            rate = wilson(sum(r.success for r in some), len(some))
            lines.append(f"| {arm} | {suite} | {control} | {first} | {name} | {rate.text()} |")
        if control == "swap":
            heard = [bool(r.metrics["followed"]) for r in group]
            rate = wilson(sum(heard), len(heard))
            lines.append(f"| {arm} | {suite} | {control} | {first} | followed the spoken words | {rate.text()} |")
    return lines
