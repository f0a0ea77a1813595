"""Recipes: what is trained, on what, for how long. One file to read, one dataclass to change.

A recipe holds numbers and a reason for each; `pilab train NAME` runs one at a scale. `RECIPES` maps a name to a function
of the scale, so that "smoke" differs from "laptop" in amounts only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pilab.contracts import PilabError, Scale, UnknownNameError, load
from pilab.data.web.instructions import Framing
from pilab.data.web.questions import ASKERS
from pilab.training.mixture import Rows
from pilab.training.thoughts import Thinking
from pilab.vla.checkpoint import Driving
from pilab.world.combinations import Combination

PRACTISED = (*(kind for kind in ASKERS if kind != "spell"), "name", "name", "caption", "point")
"""Kinds of questions, as often as each is asked: forty-two names take more practice than six numbers."""


MANNERS_SAID = ("", "words", "pieces")


@dataclass(frozen=True)
class Stage:
    """Some steps of a training. Each stage has a warm-up and a cosine of the learning rate to itself."""

    steps: int
    rows: Rows = field(default_factory=Rows)
    only: tuple[str, ...] = ()  # the parts of the VLA that learn, such as "head"; all of them if none is named


@dataclass(frozen=True)
class Recipe:
    """Everything a training is a function of, beside its data and its seed."""

    stages: tuple[Stage, ...]
    tasks: tuple[str, ...] = ("put", "push", "open", "close")  # collected in turn
    episodes: int = 1500  # demonstrations to collect, where no data is given …
    noise: float = 1.0  # … the share of them that is disturbed, …
    close: float = 0.5  # … and how much near things: see world.demonstrators.CoverageNoise
    labels: bool = True  # False: pictures, joints and instructions alone, as of a robot that nobody labels anything for
    fast: bool = False  # the trunk also learns to write chunks of actions as tokens: see vla.fast
    most: int = 0  # episodes of the first dataset that are learnt from; 0 for all
    tagged: bool = False  # ℓ begins with the quality of its episode: mistakes teach, and are not asked for
    manners: str = ""  # how ℓ says in which manner an episode was done: "words", "pieces" in front of it, or not at all
    without: tuple[
        Combination, ...
    ] = ()  # patterns of what is held out: no episode, and no words about a picture, shows it
    relabelled: float = (
        0.0  # share of the instructions that name another place in view, as long as that makes no difference
    )
    mislabelled: float = 0.0  # share of the episodes whose words name another thing in view: a careless annotator's
    untold: bool = False  # pictures come from frames without points: a person's few, beside many that can be told
    pointing_scenes: int = 8000  # pictures beside the demonstrations' own; 0 for none
    web_pictures: int = 12_000  # of the synthetic web, where a stage asks about them
    web_signs: tuple[
        str, ...
    ] = ()  # words of which one stands on a sign in every one of them, "" for none; see WebRecipe
    facts: str = "household"  # what the web calls things: household, or invented-SEED
    questions: tuple[str, ...] = PRACTISED  # kinds of them
    thinking: Thinking | None = None  # what a thought is made of; None: as what it goes on from
    corrections: bool = False  # refuse data in which nobody said what would have been right
    babbled: bool = False  # what was said is about anything instead: the control
    framing: Framing = field(default_factory=Framing)  # what single frames are about, where a stage draws some
    scrambled: bool = False  # the web's texts with their words in random order: the control
    signs: bool = True  # the web's texts say what signs mean
    model: Mapping[str, object] = field(default_factory=dict)  # changes to VLAConfig.nano
    size: str = "nano"
    anew: tuple[str, ...] = ()  # parts of the VLA that are not taken over from a checkpoint to start from
    further: bool = False  # goes on from what another recipe made, and is refused without it
    per_step_statistics: bool = True  # of actions; see actions.Normaliser
    insulate: bool = True  # the flow's gradient stays out of the trunk, if something else trains it
    weights: Mapping[str, float] = field(
        # A point that is off by one picture width costs 3; the others are of the size of the flow's loss at the start.
        default_factory=lambda: {"action": 1.0, "heat": 0.3, "points": 3.0, "visible": 0.3, "language": 0.3}
    )
    learning_rate: float = 1.5e-3  # small models bear, and need, more than large ones
    head_rate: float = 2.0  # the action head's learning rate over that; insulated, it may be in a hurry
    muon: bool = True  # for the matrices inside; False: AdamW for all
    weight_decay: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: int = 60  # steps
    clip: float = 1.0  # of the gradient's norm
    turns: int = 1  # in which a step's rows go through, their gradients added: less memory, the same step
    average: float = 0.995  # decay of the weights' moving average, which is what is evaluated and kept; 0 for none
    state_noise: float = 0.02  # on the normalised state: joints are not to be trusted to the last digit
    validate_every: int = 500  # steps
    success_every: int = 0  # steps between closed-loop measurements; 0 for none but the last
    success_episodes: int = 40  # validation scenes of each of them
    success_suite: str = "all"
    driving: Driving | None = None  # how the policy is to be run; None: as what it goes on from
    precision: str = "32-true"  # Lightning's; bf16 is slower than fp32 on most CPUs
    compile: bool = False  # `torch.compile` what costs most: a minute or two at the start, faster steps afterwards

    def __post_init__(self) -> None:
        """Refuse what would silently never happen."""
        if self.success_every % self.validate_every:
            raise PilabError(
                f"success_every {self.success_every} is not a multiple of validate_every {self.validate_every}: success is "
                "measured at the end of a validation"
            )
        if self.manners not in MANNERS_SAID:
            raise UnknownNameError("way to say a manner", self.manners, MANNERS_SAID)
        if self.thinking and self.thinking.memory and not any(stage.rows.coached for stage in self.stages):
            raise PilabError("a memory is taught by rows of thoughts alone; set Rows.coached in a stage")

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def has_robot(self) -> bool:
        """Whether any stage learns from a robot's data."""
        rows = [stage.rows for stage in self.stages]
        return any(r.demonstrations or r.pointing or r.point_only or r.watched or r.coached for r in rows)

    @property
    def has_web(self) -> bool:
        """Whether any stage learns from the synthetic web."""
        return any(s.rows.asked or s.rows.read or s.rows.thought for s in self.stages)

    def at(self, step: int) -> tuple[Stage, int]:
        """The stage that a step belongs to, and how many steps of it are done; the last one goes on without end."""
        for stage in self.stages[:-1]:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        return self.stages[-1], step

    def rows(self, step: int) -> Rows:
        """What a step draws."""
        return self.at(step)[0].rows


TINY = {"width": 32, "heads": 2, "layers": 1, "channels": 24}  # a model for a smoke test
SHORT = {"horizon": 8, "steps_per_token": 2, "hear": 2}
"""Half a chunk: what lies further ahead is uncertain, is planned anew before it comes, and drowns the steps that count.
The expert reads the words itself: what the trunk keeps of them, for seeing, is the noun and not the verb."""

LOOKING = {"regions": True, "coordinates": True, "reach": 4}
"""Who is asked about pictures has to say what is there, what is left of it and what stands beside it."""


def laptop(scale: Scale) -> Recipe:
    """The robot that listens: four verbs on two CPU cores. First see and name, from pictures; then act, mostly without."""
    if scale is Scale.SMOKE:
        stages = Stage(2, Rows(4, 4, 0)), Stage(2, Rows(4, 0, 8), ("head",))
        return Recipe(
            stages,
            episodes=8,
            pointing_scenes=8,
            validate_every=2,
            success_episodes=0,
            warm_up=2,
            model={**SHORT, **TINY},
        )
    if scale is Scale.GPU:
        stages = Stage(20_000, Rows(256, 256, 0)), Stage(20_000, Rows(64, 0, 2048), ("head",))
        return Recipe(
            stages, pointing_scenes=40_000, size="small", learning_rate=6e-4, precision="bf16-mixed", model=SHORT
        )
    stages = Stage(1600, Rows(24, 16, 0)), Stage(1800, Rows(8, 0, 448), ("head",))
    return Recipe(stages, model=SHORT)


def practise(scale: Scale) -> Recipe:
    """Actions for one that sees already: start from a checkpoint. Nothing but the head learns.

    On what a demonstrator says in states that the checkpoint itself came into (`pilab collect --novice`), it learns the way
    back from its own mistakes.
    """
    if scale is Scale.SMOKE:
        stages = (Stage(4, Rows(4, 0, 8), ("head",)),)
        return Recipe(stages, pointing_scenes=0, validate_every=2, success_episodes=0)
    steps, rows = (20_000, Rows(64, 0, 2048)) if scale is Scale.GPU else (2400, Rows(8, 0, 448))
    return Recipe((Stage(steps, rows, ("head",)),), pointing_scenes=0, model=SHORT)


def teach(scale: Scale) -> Recipe:
    """Something new from a handful of a person's demonstrations, on top of a checkpoint: the head alone.

    Give it older data too, as a second dataset: what is not rehearsed is forgotten (Robins 1995). What is new has no thought
    yet, and the thoughts of the old tasks would be in its way: it acts on the instruction.
    """
    driving = Driving(thinks=False)
    if scale is Scale.SMOKE:
        stages = (Stage(2, Rows(4, 0, 8), ("head",)),)
        return Recipe(
            stages, untold=True, pointing_scenes=0, validate_every=2, success_episodes=0, warm_up=1, driving=driving
        )
    stages = (Stage(300, Rows(24, 0, 224), ("head",)),)
    return Recipe(
        stages, untold=True, pointing_scenes=0, model=SHORT, validate_every=100, success_episodes=0, driving=driving
    )


def coach(scale: Scale) -> Recipe:
    """What to think next, from words alone: episodes in which a person, or an oracle, said what would have been right.

    Nothing is learnt of acting. The result thinks; let the checkpoint that it started from act (`TwoLevels`, or HIGH+LOW
    for `pilab evaluate`): its hands are then the same as before, to the bit. Give it older data too, to rehearse.
    """
    steps, rows = (2, 4) if scale is Scale.SMOKE else (300, 32)
    return Recipe(
        (Stage(steps, Rows(0, 0, 0, coached=rows)),), corrections=True, further=True, pointing_scenes=0, success_episodes=0,
        learning_rate=5e-4, average=0.98, warm_up=min(30, steps - 1), validate_every=min(100, steps),
    )  # fmt: skip


def text(scale: Scale) -> Recipe:
    """The first stage of pretraining: what things are and where they belong, before anything is seen."""
    if scale is Scale.SMOKE:
        return _web(scale, Stage(2, Rows(0, 0, 0, 0, 4)))
    return _web(scale, Stage(20_000, Rows(0, 0, 0, 0, 512)) if scale is Scale.GPU else Stage(600, Rows(0, 0, 0, 0, 96)))


def images(scale: Scale) -> Recipe:
    """The second stage: to find, name and count what is seen, and to say what is known of it. Text goes on beside it."""
    if scale is Scale.SMOKE:
        return _web(scale, Stage(2, Rows(0, 0, 0, 4, 2)), 12)
    if scale is Scale.GPU:
        return _web(scale, Stage(20_000, Rows(0, 0, 0, 384, 128)), 100_000)
    return _web(scale, Stage(2250, Rows(0, 0, 0, 32, 8)))


LONG = ("away", "tidy", "serve", "pack", "heed", "check")  # their words leave open what to do first


def robot(scale: Scale) -> Recipe:
    """The third stage: what a robot does and thinks, on top of what was read and seen. The web goes on beside it
    (arXiv:2307.15818).

    It learns to think in chains, to go on from a person's, and to remember; and to know the subtask at once. What names all
    that it means is taken at its word: there, acting on its own thoughts cost it 26 of 240 scenes.
    """
    thinking = Thinking(chain=True, memory=True, edited=0.3, dropped=0.3)
    about = {
        "thinking": thinking,
        "driving": Driving(chain=True, literal=True, remembers=True),
        "per_step_statistics": False,
    }
    if scale is Scale.SMOKE:
        stages = Stage(2, Rows(4, 4, 0, 4, 2, coached=4)), Stage(2, Rows(4, 0, 8), ("head",))
        about |= {"stages": stages, "web_pictures": 12, "model": {**SHORT, **LOOKING, **TINY}}
    elif scale is Scale.GPU:
        stages = Stage(20_000, Rows(192, 192, 0, 128, 64, coached=96)), Stage(20_000, Rows(64, 0, 2048), ("head",))
        about |= {"stages": stages, "web_pictures": 100_000}
    else:
        about |= {"stages": (Stage(1600, Rows(24, 16, 0, 16, 8, coached=12)), Stage(3600, Rows(8, 0, 448), ("head",)))}
    model = {**SHORT, **LOOKING}
    return dataclasses.replace(laptop(scale), **{"tasks": (*laptop(scale).tasks, *LONG), "model": model, **about})


def refine(scale: Scale) -> Recipe:
    """A second round on top of `robot`: first what to think, then the hands again.

    After `robot`, one thing is put away in 50 of 60 validation scenes, a table is set in 6, and in 28 the wrong thing is moved:
    thoughts lag behind, of which a step there holds few. Half of a step is thoughts here. Seeing, reading and what the web
    knows are rehearsed beside them; the head goes last, because what it reads has changed.
    """
    about = dataclasses.replace(robot(scale), further=True)
    if scale is Scale.SMOKE:
        return about
    thinks, hands = Rows(8, 8, 0, 8, 4, coached=48), Rows(8, 0, 448)
    if scale is Scale.GPU:
        thinks, hands = Rows(64, 64, 0, 64, 32, coached=384), Rows(64, 0, 2048)
        return dataclasses.replace(about, stages=(Stage(10_000, thinks), Stage(20_000, hands, ("head",))))
    return dataclasses.replace(about, stages=(Stage(2400, thinks), Stage(6000, hands, ("head",))), learning_rate=1e-3)


def _web(scale: Scale, stage: Stage, pictures: int = 12_000) -> Recipe:
    """Nothing but the synthetic web: no robot, so no success to measure."""
    quick = {"validate_every": 2, "warm_up": 1} if scale is Scale.SMOKE else {}
    model = {**SHORT, **LOOKING, **(TINY if scale is Scale.SMOKE else {})}
    return Recipe(
        (stage,), web_pictures=pictures, pointing_scenes=0, success_episodes=0, model=model,
        size="small" if scale is Scale.GPU else "nano", **quick,
    )  # fmt: skip


RECIPES: Mapping[str, Callable[[Scale], Recipe]] = {
    "laptop": laptop, "practise": practise, "teach": teach, "coach": coach, "text": text, "images": images, "robot": robot,
    "refine": refine,
}  # fmt: skip


def find_recipe(name: str, scale: Scale) -> Recipe:
    """A recipe by name, or `MODULE:FUNCTION` of a scale."""
    if ":" in name:
        return load(name, "recipe", list(RECIPES))(scale)
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, list(RECIPES), "or MODULE:FUNCTION for one of your own")
    return RECIPES[name](scale)
