"""The `pilab` command: parses and calls one function per verb. Heavy imports wait until a verb needs them."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from pilab import __version__
from pilab.contracts import PilabError, Scale


def main(arguments: list[str] | None = None) -> int:
    """Run a verb; a `PilabError` becomes one clear line and exit status 2."""
    # The reader's own MODULE:OBJECT files are looked for where the command is given.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    options = parse(arguments)
    try:
        return options.verb(options) or 0
    except PilabError as error:
        print(f"pilab: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"pilab: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "pilab: interrupted; `collect` and `train` go on where they stopped when the same command is given again",
            file=sys.stderr,
        )
        return 130


# ---------------------------------------------------------------------------------------------------------------- verbs
def quickstart(options: argparse.Namespace) -> None:
    """Notebook 00, executed."""
    from pilab import notebook

    out = Path(options.out).resolve()
    began = time.perf_counter()
    if not options.json:
        print("Notebook 00: a robot with three cameras, asked in words and measured. This takes a minute or two.")
    parameters = {"SCALE": Scale(options.scale).value, "SEED": options.seed}
    executed, page, numbers = notebook.run("00", out, parameters, progress=not options.json)
    numbers["minutes"] = round((time.perf_counter() - began) / 60, 2)
    if options.json:
        print(json.dumps({**numbers, "notebook": str(executed), "html": str(page)}))
        return
    print("\nWhat was measured:")
    for line in numbers["measured"]:
        print(f"  {line}")
    print(f"\nThe executed notebook: {executed}\nTo read in a browser:  {page}")
    print(f"It took {numbers['minutes']:.1f} minutes. Next: `pilab lab` opens the notebooks, to change and to run.")


def lab(options: argparse.Namespace) -> int:
    """JupyterLab on working copies."""
    from pilab import notebook

    folder = Path(options.folder).resolve()
    copies = notebook.working_copies(folder)
    print(f"{len(copies)} working copies in {folder}; what you change there stays yours")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}", *options.more]
    return subprocess.call(command)


def doctor(options: argparse.Namespace) -> int:
    """What is here, what is missing."""
    from pilab import doctor as physician

    findings = physician.examine()
    print(physician.to_json(findings) if options.json else physician.report(findings))
    needed = [f for f in findings if f.state == "missing" and f.name not in physician.EXTRAS]
    return int(bool(needed))


def collect(options: argparse.Namespace) -> None:
    """Demonstrations into a dataset."""
    from pilab.data.cards import describe, format_info
    from pilab.data.lerobot import LeRobotDataset
    from pilab.robots.collection import Recipe
    from pilab.robots.collection import collect as run

    recipe = Recipe(
        tuple(options.tasks), options.seed, options.body, tuple(options.manner), options.arm, options.noise,
        options.close, options.novice, options.object, options.place, driver=options.driver, overheard=options.overheard,
        outcome=options.outcome,
    )  # fmt: skip
    run(recipe, options.episodes, options.out, workers=options.workers, progress=not options.json)
    about = describe(LeRobotDataset(options.out))
    print(json.dumps(about) if options.json else format_info(about))


def web(options: argparse.Namespace) -> None:
    """The synthetic web: draw it, and perhaps copy some of it to look at."""
    from pilab.data.web.export import export
    from pilab.data.web.lore import find_lore
    from pilab.data.web.pictures import WebPictures, describe

    find_lore(options.facts)  # an unknown one is said before the pictures are drawn
    pictures = WebPictures.open(options.pictures, options.seed, progress=not options.json, workers=options.workers)
    about = {"facts": options.facts, "folder": str(pictures.folder), **describe(pictures)}
    if options.out:
        copied = min(options.copies, len(pictures))
        about["copy"] = str(
            export(options.out, copied, options.texts, seed=options.seed, facts=options.facts, progress=False)
        )
    print(json.dumps(about) if options.json else "\n".join(f"{key:>24}  {value}" for key, value in about.items()))


def dataset_info(options: argparse.Namespace) -> None:
    """Counts of a dataset."""
    from pilab.data.cards import describe, format_info
    from pilab.data.lerobot import LeRobotDataset

    about = describe(LeRobotDataset(options.folder))
    print(json.dumps(about) if options.json else format_info(about))


def dataset_card(options: argparse.Namespace) -> None:
    """Write a dataset's card."""
    from pilab.data.cards import write_card

    print(write_card(options.folder))


def dataset_edit(options: argparse.Namespace) -> None:
    """A new dataset from others: merge, split, delete, relabel, export."""
    from pilab.data.cards import describe, format_info, write_card
    from pilab.data.lerobot import edit

    kind, out = options.edit, Path(options.out)
    if kind == "merge":
        made = edit.merge(options.folders, out)
    elif kind == "relabel":
        made = edit.relabel(options.folder, out, options.task, options.episodes)
    elif kind == "export":
        print(edit.export_v21(options.folder, out))
        return
    else:
        made = {"split": edit.split, "delete": edit.delete}[kind](options.folder, out, options.episodes)
    write_card(out)
    print(format_info(describe(made)))


def dataset_repair(options: argparse.Namespace) -> None:
    """What can still be read of a damaged dataset."""
    from pilab.data.cards import describe, format_info, write_card
    from pilab.data.lerobot import LeRobotDataset
    from pilab.data.lerobot.edit import repair

    lost = repair(options.folder, options.out)
    write_card(options.out)
    print(format_info(describe(LeRobotDataset(options.out))))
    print("\n".join(f"lost: {line}" for line in lost) or "nothing was lost")


def numbers(text: str) -> list[int]:
    """Parse 0,3,5:9 as [0, 3, 5, 6, 7, 8]."""
    found: list[int] = []
    for part in text.split(","):
        start, colon, stop = part.partition(":")
        if not start.strip().isdigit() or (colon and not stop.strip().isdigit()):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a list of episodes; write 0,3,5:9 (the last not included)"
            )
        found += range(int(start), int(stop)) if colon else [int(start)]
    return found


def train(options: argparse.Namespace) -> None:
    """A recipe, on datasets given or collected."""
    from pilab.robots.collection import Recipe as Collection
    from pilab.robots.collection import collect as run
    from pilab.training.recipes import find_recipe
    from pilab.training.train import train as learn

    recipe, out = find_recipe(options.recipe, Scale(options.scale)), Path(options.out)
    first = os.environ.get("LOCAL_RANK", "0") == "0"  # of several processes: it collects, and speaks for all
    data = options.data
    if not data and recipe.has_robot:
        data = [out / "demonstrations"]
        collection = Collection(recipe.tasks, body=options.body, noise=recipe.noise, close=recipe.close)
        if first:
            run(collection, recipe.episodes, data[0], progress=not options.json)
    done = learn(
        recipe, data or [], out, body=options.body, seed=options.seed, start=options.start, threads=options.threads,
        progress=not options.json, processes=options.processes, shard=options.shard,
    )  # fmt: skip
    if not first:
        return
    if options.json:
        print(json.dumps({"checkpoint": str(out), "hash": done.hash, **done.origin}))
    else:
        sees = recipe.has_robot or any(stage.rows.asked for stage in recipe.stages)
        later = f"pilab train {'robot' if sees else 'images'} --start {out} --out FOLDER"
        print(f"checkpoint {done.hash} in {out}")
        print(f"Next: {f'pilab evaluate {out} --suite all --seed 500000' if recipe.has_robot else later}")


def evaluate(options: argparse.Namespace) -> None:
    """Rates of a policy."""
    from pilab.evaluation import rollout
    from pilab.evaluation.rows import write_rows

    if options.rows:  # a file that cannot be written is better known now than when the episodes are done
        path = Path(options.rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    began = time.perf_counter()
    rows = rollout.evaluate(
        options.policy, options.suite, options.episodes, options.seed, control=options.control,
        perturbed=dict(options.perturb or ()), body=options.body, arm=options.arm,
        batch=options.batch, threads=options.threads, progress=not options.json,
        on_episode=_strip_writer(Path(options.strips)) if options.strips else None,
    )  # fmt: skip
    if options.rows:
        write_rows(path, rows)
    digest = rollout.summary(rows, time.perf_counter() - began)
    print(json.dumps(digest) if options.json else rollout.table(digest))


def ablate(options: argparse.Namespace) -> None:
    """A policy without its sensors."""
    from pilab.engine import Engine
    from pilab.evaluation import ablation
    from pilab.evaluation.rows import write_rows
    from pilab.evaluation.statistics import p_text

    rows = ablation.ablate(
        options.policy, options.sensors, options.ways, options.most, body=options.body, suite=options.suite,
        episodes=options.episodes, seed=options.seed, engine=Engine(options.out, options.workers),
    )  # fmt: skip
    if options.rows:
        write_rows(options.rows, rows)
    found = ablation.losses(rows)
    if options.json:
        print(json.dumps([{"arm": f.arm, "k": f.rate.k, "n": f.rate.n, "p": f.p} for f in found]))
        return
    for loss in found:
        against = f"{loss.difference.text()}, Holm's {p_text(loss.p)}" if loss.difference else ""
        print(f"{loss.arm:40s} {loss.rate.text():36s} {against}")


def probe(options: argparse.Namespace) -> None:
    """Combinations, shown and never shown."""
    from pilab.evaluation import probe as probing
    from pilab.evaluation.rows import write_rows
    from pilab.world import objects, places
    from pilab.world.combinations import grid

    looks = [objects.household().look(name) for name in options.objects or ()] or objects.HANDLED
    cells = grid(options.verbs, looks, options.places or tuple(places.PLACES), options.manners, reserved=True)
    unseen, why = probing.never_shown(cells, options.policy, options.data)
    rows = probing.probe(
        options.policy, cells, options.episodes, options.seed, held_out=unseen, body=options.body,
        progress=not options.json,
    )  # fmt: skip
    if options.rows:
        write_rows(options.rows, rows)
    groups = {"all": rows} | {verb: [row for row in rows if row.clusters["verb"] == verb] for verb in options.verbs}
    both = {name: some for name, some in groups.items() if {row.clusters[probing.SEEN] for row in some} == {0, 1}}
    gaps = {name: probing.gap(some) for name, some in both.items()}
    if options.json:
        told = {name: {"lost": g.difference, "low": g.interval[0], "high": g.interval[1]} for name, g in gaps.items()}
        print(json.dumps({"combinations": len(cells), "unseen": len(unseen), "why": why, "gaps": told}))
        return
    print(f"{len(cells)} combinations, {len(unseen)} of them never shown: {why}")
    for (step, seen), rate in probing.by_step(rows).items():
        print(f"{step:16s} {'shown' if seen else 'never shown':12s} {rate.text()}")
    for name, found in gaps.items():
        print(f"{name:16s} {found.text()}")


def experiment(options: argparse.Namespace) -> None:
    """What is missing of an experiment."""
    from pilab.evaluation.rollout import rate_of
    from pilab.experiments import Grid, find_experiment

    found, scale = find_experiment(options.name), Scale(options.scale)
    out = Path(options.out or f"runs/experiments/{found.rows}_{scale.value}")
    if options.plan or not options.json:
        print(json.dumps({"plan": found.plan(scale)}) if options.json else found.plan(scale), flush=True)
    if options.plan:
        return
    if options.rows and scale is Scale.SMOKE:
        raise PilabError(f"smoke tries the wiring: its rows are no results, and do not belong into {options.rows}")
    grid = Grid(out, options.rows or out / "rows.jsonl.gz", options.workers, progress=not options.json)
    found.conduct(grid, scale)
    if options.json:
        print(json.dumps({"rows": str(grid.path), "number": len(grid.rows)}))
        return
    for arm, suite in dict.fromkeys((row.arm, row.suite) for row in grid.rows):
        print(f"{arm:32s} {suite:20s} {rate_of([r for r in grid.rows if (r.arm, r.suite) == (arm, suite)]).text()}")
    print(f"{len(grid.rows)} rows in {grid.path}")


def serve(options: argparse.Namespace) -> None:
    """A policy for openpi's clients, until interrupted."""
    from pilab.evaluation.rollout import make_policy
    from pilab.robots.bridges.openpi import PolicyServer
    from pilab.world.scenes import find_body

    body, token = find_body(options.body), options.token or os.environ.get("PILAB_TOKEN")
    server = PolicyServer(make_policy(options.policy, body), options.host, options.port, token, body=body)

    def ready() -> None:
        about = {"url": server.url, **server.metadata}
        said = f"{about['policy']} for {about['body']} at {server.url}; Ctrl-C ends it"
        print(json.dumps(about) if options.json else said, flush=True)

    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever(ready)


def report(options: argparse.Namespace) -> None:
    """Write a checkpoint's card."""
    from pilab.evaluation.rows import read_rows
    from pilab.training.card import write_card

    print(write_card(options.folder, [row for name in options.rows or () for row in read_rows(name)]))


def _strip_writer(folder: Path):
    """Save a film strip of every episode: six moments, with what the policy had in mind."""
    from pilab.figures.strips import film_strip
    from pilab.world.films import shoot

    folder.mkdir(parents=True, exist_ok=True)

    def write(outcome, reel) -> None:
        count = min(6, len(reel.snapshots))
        moments = [round(i * (len(reel.snapshots) - 1) / max(count - 1, 1)) for i in range(count)]
        frames = shoot(outcome.world, [reel.snapshots[i] for i in moments], height=240, width=320)
        verdict = "success" if outcome.monitor.success else "failure"
        scene = outcome.trial.scene
        name = f"{scene.seed}_{scene.goal.verb}_{verdict}.png"
        film_strip(frames, count, [reel.subtasks[i] for i in moments]).save(folder / name)

    return write


def bench(options: argparse.Namespace) -> None:
    """Speed."""
    from pilab import bench as benchmarks

    results = benchmarks.run(options.peer, progress=not options.json)
    print(json.dumps(results) if options.json else "\n".join(f"{k:30s} {v:12,.2f}" for k, v in results.items()))


def notebooks_run(options: argparse.Namespace) -> None:
    """Execute a notebook."""
    from pilab import notebook

    for name in options.names:
        parameters = {"SCALE": Scale(options.scale).value, "SEED": options.seed}
        out = Path(options.out).resolve() / notebook.find_notebook(name).stem
        executed, page, _ = notebook.run(name, out, parameters)
        print(f"{executed}\n{page}")


def notebooks_publish(options: argparse.Namespace) -> None:
    """Execute notebooks and put the outputs into the repository's copies."""
    from pilab import publish

    for name in options.names:
        print(publish.publish(name, Path(options.out).resolve()))


# --------------------------------------------------------------------------------------------------------------- parser
def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a command line. `more` is what only JupyterLab knows; every other verb refuses it."""
    top = parser()
    options, options.more = top.parse_known_args(arguments)
    if options.more and options.verb is not lab:
        top.error(f"unrecognized arguments: {' '.join(options.more)}")
    return options


def positive(text: str) -> int:
    """An argument that counts something."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def severity(text: str) -> tuple[str, float]:
    """An argument such as `light=0.5`."""
    axis, found, share = text.partition("=")
    try:
        return axis, float(share if found else 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not AXIS=SEVERITY, such as light=0.5") from None


def parser() -> argparse.ArgumentParser:
    """All verbs, each with an example in its help."""
    top = argparse.ArgumentParser(prog="pilab", description="A laboratory for physical intelligence in a notebook.")
    top.add_argument("--version", action="version", version=f"pilab {__version__}")
    verbs = top.add_subparsers(title="verbs", required=True, metavar="VERB")

    def verb(parent, name, function, about, example) -> argparse.ArgumentParser:
        p = parent.add_parser(
            name, help=about, description=about, epilog=f"example: {example}",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )  # fmt: skip
        p.set_defaults(verb=function)
        return p

    def machine(p: argparse.ArgumentParser) -> None:
        p.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def scaled(p: argparse.ArgumentParser) -> None:
        p.add_argument("--scale", default="laptop", help="smoke, laptop or gpu: how much is done")
        p.add_argument("--seed", type=int, default=0, help="of everything random")

    p = verb(verbs, "quickstart", quickstart, "run notebook 00 and say what was measured", "pilab quickstart")
    scaled(p), machine(p)
    p.add_argument("--out", default="runs/quickstart", help="folder for the executed notebook and its files")

    p = verb(verbs, "lab", lab, "open working copies of the notebooks in JupyterLab", "pilab lab --no-browser")
    p.add_argument("--folder", default="runs/lab", help="folder for the working copies")
    p.epilog += "; what is not listed here is passed on to jupyter lab"

    p = verb(
        verbs,
        "doctor",
        doctor,
        "say what is present, what is missing, what that costs and how to get it",
        "pilab doctor",
    )
    machine(p)

    p = verb(
        verbs,
        "collect",
        collect,
        "collect demonstrations into a LeRobot dataset",
        "pilab collect put push --episodes 100 --out runs/demos",
    )
    p.add_argument(
        "tasks",
        nargs="+",
        metavar="TASK",
        help="put, push, open, close, stack, handover, point, away, tidy, serve, pack, heed, check or MODULE:TASK, in turn",
    )
    p.add_argument("--episodes", type=positive, required=True, help="episodes the dataset shall have")
    p.add_argument("--out", required=True, help="folder of the dataset; goes on with one of the same recipe")
    p.add_argument("--seed", type=int, default=0, help="first scene seed; training seeds are below 500000")
    p.add_argument("--body", default="duo", help="duo, solo, duo_touch, duo_soft or MODULE:BODY")
    p.add_argument(
        "--manner",
        nargs="+",
        default=["normal"],
        help="ways of doing it, in turn: normal, slow, quick, 'from above', …",
    )
    p.add_argument("--arm", help="always this arm; the nearer one if not given")
    p.add_argument("--noise", type=float, default=0.6, help="share of episodes with coverage noise")
    p.add_argument("--close", type=float, default=0.0, help="how much of the noise remains near things, 0 to 1")
    p.add_argument(
        "--novice", metavar="CHECKPOINT", help="a policy that drives for a while before the demonstrator takes over"
    )
    p.add_argument(
        "--driver", metavar="CHECKPOINT", help="a policy that drives instead of the demonstrator, undisturbed"
    )
    p.add_argument(
        "--overheard",
        action="store_true",
        help="beside what the driver thinks, an oracle notes the subtask that is right",
    )
    p.add_argument(
        "--outcome", choices=["success", "failure", "any"], default="success", help="which of its episodes to keep"
    )
    p.add_argument("--object", help="only this object, by noun or look")
    p.add_argument("--place", help="and this place")
    p.add_argument("--workers", type=positive, help="processes; all cores if not given")
    machine(p)

    p = verb(
        verbs, "web", web, "draw the synthetic web: pictures to ask about, and texts",
        "pilab web --pictures 2000 --out runs/web",
    )  # fmt: skip
    p.add_argument("--pictures", type=positive, default=12_000, help="how many; 36 kB each, kept in the cache")
    p.add_argument("--seed", type=int, default=0, help="of everything drawn")
    p.add_argument("--facts", default="household", help="household, or invented-SEED: a world nobody knows")
    p.add_argument("--workers", type=positive, help="processes; all cores if not given")
    p.add_argument("--out", help="a new folder for a copy to look at: PNG, JSON lines, a card")
    p.add_argument("--copies", type=positive, default=60, help="pictures in that copy")
    p.add_argument("--texts", type=positive, default=400, help="texts in it, and as many questions")
    machine(p)

    group = verbs.add_parser("dataset", help="look at a dataset, or make another one of it").add_subparsers(
        required=True, metavar="VERB"
    )
    for name, function, about in (
        ("info", dataset_info, "count what is in a dataset"),
        ("card", dataset_card, "write its card"),
    ):
        p = verb(group, name, function, about, f"pilab dataset {name} data_samples/demonstrations")
        p.add_argument("folder", metavar="DIR")
        if function is dataset_info:
            machine(p)
    for name, about, more in (
        ("merge", "all episodes of several datasets, as a new one", "runs/a runs/b"),
        ("split", "some episodes, as a new dataset", "runs/a --episodes 0:40"),
        ("delete", "all episodes but some, as a new dataset", "runs/a --episodes 3,7"),
        (
            "relabel",
            "another instruction for some episodes, as a new dataset",
            "runs/a --task 'put the fork in the tray'",
        ),
        ("export", "the same in LeRobot's format v2.1, which openpi reads", "runs/a"),
    ):
        p = verb(group, name, dataset_edit, about, f"pilab dataset {name} {more} --out runs/new")
        p.set_defaults(edit=name)
        p.add_argument(
            "folders" if name == "merge" else "folder", metavar="DIR", nargs="+" if name == "merge" else None
        )
        p.add_argument("--out", required=True, help="folder of the new dataset; the old one stays as it is")
        if name in ("split", "delete", "relabel"):
            p.add_argument("--episodes", type=numbers, required=name != "relabel", help="such as 0,3,5:9")
        if name == "relabel":
            p.add_argument("--task", required=True, help="the new instruction")
    about = "what can still be read of a damaged one, as a new dataset"
    p = verb(group, "repair", dataset_repair, about, "pilab dataset repair runs/a --out runs/new")
    p.add_argument("folder", metavar="DIR")
    p.add_argument("--out", required=True, help="folder of the new dataset; the old one stays as it is")

    p = verb(verbs, "train", train, "train a VLA", "pilab train laptop --data runs/demos --out runs/vla")
    p.add_argument(
        "recipe",
        help="text, images, robot, laptop; from --start: practise, refine, teach, coach; or MODULE:FUNCTION of your own",
    )
    p.add_argument("--start", metavar="CHECKPOINT", help="go on from these weights")
    p.add_argument("--data", nargs="+", metavar="DIR", help="LeRobot datasets; collects the recipe's own if not given")
    p.add_argument("--out", required=True, help="folder of the checkpoint; goes on with a run that was interrupted")
    p.add_argument("--body", default="duo", help="duo, solo, duo_touch, duo_soft or MODULE:BODY")
    p.add_argument("--threads", type=positive, help="of the network; all cores if not given")
    p.add_argument("--processes", type=positive, default=1, help="that share the rows of a step; one for each GPU")
    p.add_argument(
        "--shard", action="store_true",
        help="FSDP: each process keeps a part of the model; needs a recipe with muon=False and average=0.0",
    )  # fmt: skip
    scaled(p), machine(p)

    p = verb(
        verbs,
        "evaluate",
        evaluate,
        "measure a policy in simulation",
        "pilab evaluate demonstrator --suite all --episodes 40",
    )
    p.add_argument(
        "policy",
        help="default, the folder of a checkpoint, demonstrator, random, hold, ws://HOST:PORT or MODULE:OBJECT; or two of them "
        "as HIGH+LOW: the first thinks, the second acts",
    )
    p.add_argument("--suite", default="all", help="all (put, push, open, close), a verb or MODULE:TASK")
    p.add_argument(
        "--episodes", type=positive, default=40, help="N: scenes are the seeds S … S+N−1, dealt to the verbs in turn"
    )
    p.add_argument("--seed", type=int, default=600_000, help="S, the first scene seed")
    p.add_argument("--control", default="none", help="none, black, swap, scramble, paraphrase or replay")
    p.add_argument(
        "--perturb", nargs="+", metavar="AXIS=S", type=severity,
        help="make every trial harder: position, things, clutter, start, light, table, camera, blur, noise, dark, delay, "
        "freeze, joints, lag, offset, mumble or german; severity 0 to 1",
    )  # fmt: skip
    p.add_argument("--body", default="duo", help="duo, solo, duo_touch, duo_soft or MODULE:BODY")
    p.add_argument(
        "--arm", help="the name in the rows, which also seeds the policy's noise; the policy's own if not given"
    )
    p.add_argument("--batch", type=positive, default=8, help="worlds at a time")
    p.add_argument("--threads", type=positive, help="threads that advance them; all cores if not given")
    p.add_argument("--rows", metavar="FILE", help="write the result rows here (.jsonl or .jsonl.gz)")
    p.add_argument("--strips", metavar="DIR", help="save a film strip of every episode here")
    machine(p)

    p = verb(
        verbs, "probe", probe, "can a policy combine what it has learnt? Combinations that were shown, and that never were",
        "pilab probe default --verbs put push --episodes 2",
    )  # fmt: skip
    p.add_argument("policy", help="as for evaluate")
    p.add_argument("--verbs", nargs="+", default=("put", "push"), metavar="VERB", help="put, push or both")
    p.add_argument(
        "--objects", nargs="+", metavar="NOUN", help="such as apple; all that training data handle, if not given"
    )
    p.add_argument("--places", nargs="+", metavar="PLACE", help="such as bowl; all four if not given")
    p.add_argument(
        "--manners", nargs="+", default=("normal",), metavar="MANNER",
        help="normal, slow, quick, 'from above', left-handed, right-handed: asked for in words, and measured",
    )  # fmt: skip
    p.add_argument("--episodes", type=positive, default=1, help="of each combination")
    p.add_argument("--seed", type=int, default=600_000, help="the first of the scene seeds")
    p.add_argument(
        "--data", nargs="+", metavar="DIR",
        help="datasets that it learnt from: what they do not show is unseen; else as its checkpoint says",
    )  # fmt: skip
    p.add_argument("--body", default="duo", help="duo, solo, duo_touch, duo_soft or MODULE:BODY")
    p.add_argument("--rows", metavar="FILE", help="write the result rows here (.jsonl or .jsonl.gz)")
    machine(p)

    p = verb(
        verbs, "ablate", ablate, "what does a policy need of what it senses?",
        "pilab ablate default --sensors base left_wrist right_wrist --ways black freeze --most 3 --episodes 40",
    )  # fmt: skip
    p.add_argument("policy", help="as for evaluate")
    p.add_argument(
        "--sensors", nargs="+", default=(), metavar="NAME", help="a body's cameras, joints, …; all if not given"
    )
    p.add_argument(
        "--ways",
        nargs="+",
        default=["black"],
        metavar="WAY",
        help="remove, black, freeze, noise, blur, delay, contact",
    )
    p.add_argument(
        "--most", type=positive, default=1, help="sensors that are taken at once, at most; every set is tried"
    )
    p.add_argument("--suite", default="put", help="as for evaluate")
    p.add_argument("--episodes", type=positive, default=40, help="of every set, on the same scenes")
    p.add_argument("--seed", type=int, default=600_000, help="the first scene seed")
    p.add_argument("--body", default="duo", help="duo, solo, duo_touch, duo_soft or MODULE:BODY")
    p.add_argument("--out", default="runs/ablation", help="folder of its runs, which go on where they were interrupted")
    p.add_argument("--rows", metavar="FILE", help="write the result rows here (.jsonl or .jsonl.gz)")
    p.add_argument("--workers", type=positive, default=os.cpu_count(), help="sets at a time, with a core each")
    machine(p)

    p = verb(
        verbs, "serve", serve, "answer openpi's clients with a policy, over a websocket", "pilab serve runs/vla --port 8000"
    )  # fmt: skip
    p.add_argument("policy", help="default, the folder of a checkpoint, random, hold or MODULE:OBJECT")
    p.add_argument("--host", default="127.0.0.1", help="address to listen on; any but this machine's own needs a token")
    p.add_argument("--port", type=int, default=8000, help="0 for any that is free")
    p.add_argument("--token", help="what clients have to know; $PILAB_TOKEN if not given, which others cannot see")
    p.add_argument("--body", default="duo", help="duo, solo, duo_touch, duo_soft or MODULE:BODY")
    machine(p)

    p = verb(verbs, "report", report, "write a checkpoint's card", "pilab report runs/vla --rows runs/put.jsonl")
    p.add_argument("folder", metavar="CHECKPOINT")
    p.add_argument(
        "--rows", nargs="+", metavar="FILE", help="result rows of these weights, as `evaluate --rows` writes them"
    )

    p = verb(
        verbs, "experiment", experiment, "run what is missing of the experiment behind a notebook",
        "pilab experiment recipe --plan",
    )  # fmt: skip
    p.add_argument("name", help="recipe (notebook 00), pretraining (02) or MODULE:EXPERIMENT of your own")
    p.add_argument("--scale", default="laptop", help="smoke, laptop or gpu: how much is done")
    p.add_argument("--plan", action="store_true", help="only say what would be done")
    p.add_argument(
        "--rows", metavar="FILE", help="rows to go on from and to add to, such as those of data_samples/rows"
    )
    p.add_argument(
        "--out", help="folder of its runs, which go on where they were interrupted; runs/experiments/… if not given"
    )
    p.add_argument("--workers", type=positive, default=os.cpu_count(), help="runs at a time, with a core each")
    machine(p)

    p = verb(verbs, "bench", bench, "measure speed on this machine", "pilab bench --json")
    p.add_argument("--peer", metavar="PYTHON", help="a Python with the real lerobot library, to compare reading with")
    machine(p)

    group = verbs.add_parser("notebooks", help="run or publish notebooks").add_subparsers(required=True, metavar="VERB")
    for name, function, about in (
        ("run", notebooks_run, "execute notebooks through papermill"),
        ("publish", notebooks_publish, "execute notebooks at laptop scale, outputs into notebooks/ (needs chromium)"),
    ):
        p = verb(group, name, function, about, f"pilab notebooks {name} 00")
        p.add_argument("names", nargs="+", metavar="NOTEBOOK", help="number or name")
        if function is notebooks_run:
            scaled(p)
        p.add_argument("--out", default="runs/notebooks", help="folder for executed copies")
    return top


if __name__ == "__main__":
    sys.exit(main())
