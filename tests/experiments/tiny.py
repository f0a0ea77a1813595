"""An experiment that is nobody's: three arms of one row each, which takes no time."""

from pilab.contracts import Row
from pilab.experiments import Experiment, keep_rows

ARMS = ("one", "two", "three")


def run(config, folder):
    with (folder / "calls.txt").open("a") as calls:
        calls.write("called\n")
    if config["arm"] == config["broken"]:
        raise ValueError("this arm is broken")
    keep_rows(folder, [Row("episode", "?", "put", "none", 1, "abc", True, {}, {"verb": "put"})], config, minutes=2.0)
    return {"arm": config["arm"]}


def conduct(grid, scale, broken=None):
    for seed in (0, 1):
        grid.run("tiny:run", [{"arm": arm, "seed": seed, "broken": broken} for arm in ARMS])


EXPERIMENT = Experiment("99", lambda scale: f"three arms, at {scale.value}", conduct)
