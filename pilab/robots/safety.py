"""Safety: the last word on every command, whoever wants it.

Design choices
--------------
* **On by default, and in the loop**: a person, a network and a script go through the same limits, and no widget or policy
  can leave them out. The limits are the `Embodiment`'s own; `SafetyConfig` holds only what is not a fact about the robot.
* **Pure**: every call is told the time, so each rule can be tested without a thread and without waiting.
* **A command never leaves a limit, and always may return**: a robot found outside joint limits or workspace may move
  inwards and stay, never further out. Every rule only shortens the step from the command before, so no rule undoes another.
* **What is wrong is held, what stays wrong is let go**: the last command is repeated; after two seconds nothing more is sent
  until a person arms again, so that no robot comes back to life unexpectedly. Braking is never slowed down by a limit.
* The first command is where the robot *is*, not where it was wanted: arming never moves it.

This is software: hardware needs a stop that cuts the power, within reach of a hand.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from pilab.contracts import STAMPS, STATE, Embodiment, Observation, PilabError, image_key
from pilab.world.kinematics import chain

FRACTIONS = np.linspace(0, 1, 11)  # of a step, where the tool tips are looked at


class SafetyError(PilabError, RuntimeError):
    """A robot that cannot be armed, or a limit that makes no sense."""


class Mode(StrEnum):
    """What the robot may do."""

    DISARMED = "disarmed"  # nothing is sent; `arm` ends it
    ARMED = "armed"  # it does what is wanted
    HOLDING = "holding"  # the last command is repeated until the cause is gone
    STOPPED = "stopped"  # the last command is repeated until a person arms again

    @property
    def engaged(self) -> bool:
        """Whether wishes count."""
        return self in (Mode.ARMED, Mode.HOLDING)


class Event(StrEnum):
    """What was done to a command."""

    JOINT = "joint limit"
    GRIPPER = "gripper limit"
    VELOCITY = "velocity limit"
    ACCELERATION = "acceleration limit"
    WORKSPACE = "workspace limit"
    REJECTED = "rejected"  # not A finite numbers: held
    STALE = "stale sensor"  # held
    WATCHDOG = "watchdog"  # nobody drives: held
    DISENGAGED = "disengaged"  # from now on nothing is sent
    STOPPED = "stopped"  # held


HELD = frozenset({Event.REJECTED, Event.STALE, Event.WATCHDOG, Event.STOPPED})


@dataclass(frozen=True)
class SafetyConfig:
    """What a person may choose; everything else is a fact about the robot and stands in its Embodiment."""

    hold_after: float = 0.3  # s without input: nine lost messages at 30 Hz, and shorter than anyone takes to look away
    disengage_after: float = 2.0  # s: longer than a hiccup; who comes back later has to look at the robot first
    warm_up: float = 30.0  # s until the first input after arming or a change of hands: a network compiles; it holds
    stale_after: float = 0.5  # s without a new reading: five periods at 10 Hz, several pictures of the slowest camera
    speed: float = 1.0  # share of the Embodiment's max_speed; turn it down for a first run on hardware
    ramp: float = 0.1  # s from rest to max_speed; one period at 10 Hz, so only faster loops and turning round feel it
    home_speed: float = 0.15  # share of max_speed on the way home: nobody plans that way, so it must be easy to stop

    def __post_init__(self) -> None:
        for f in fields(self):
            value, most = getattr(self, f.name), 1.0 if f.name.endswith("speed") else 1e6
            if not 0 < value <= most:
                raise SafetyError(
                    f"SafetyConfig.{f.name} is {value}; expected above 0 and up to {most}, as {f.default}"
                )
        if self.hold_after >= self.disengage_after:
            raise SafetyError(f"hold_after {self.hold_after} is not below disengage_after {self.disengage_after} s")


@dataclass(frozen=True)
class Decision:
    """What became of one wish."""

    command: np.ndarray | None  # (A,) float32 to send; None to send nothing
    mode: Mode
    events: tuple[Event, ...] = ()
    why: str = ""  # for people: each event with value, limit and fix

    @property
    def held(self) -> bool:
        """Whether the wish was set aside, not only shortened."""
        return self.command is None or not HELD.isdisjoint(self.events)


class Safety:
    """One robot's limits and its watchdog. Times are seconds on any clock that does not run backwards."""

    def __init__(self, body: Embodiment, period: float, config: SafetyConfig | None = None) -> None:
        """period: s between two commands."""
        self.body, self.period, self.config = body, period, config or SafetyConfig()
        self.mode, self.why = Mode.DISARMED, "not armed yet"  # why: what led to this mode
        self.command: np.ndarray | None = None  # (A,) float64: the last one
        self.stale = ""  # which readings are too old, in words
        action = body.action
        self._low, self._high = action.low, action.high
        self._fastest = self.config.speed * action.max_speed
        self._is_joint = np.array([not name.endswith("_gripper") for name in action.names])
        self._floor, self._ceiling = np.array(body.workspace, float).T  # (3,) m
        self._velocity = np.zeros(body.size)
        self._since = self._at = 0.0  # when the present driver began; when the last command was given
        self._seen: dict[str, tuple[float, tuple | None]] = {}  # key → when its last new reading came; stamp and pixels
        self._state: np.ndarray | None = None

    def arm(self, now: float) -> None:
        """Let it move, from where it is. Ends a stop. Raises `SafetyError` when it is not known where that is."""
        if self._state is None or self.stale:
            raise SafetyError(f"not armed: {self.stale or 'no state was read yet; connect the robot first'}")
        if self.mode in (Mode.DISARMED, Mode.STOPPED) or self.command is None:
            self.command, self._velocity = self._state.copy(), np.zeros(self.body.size)
        self.mode, self.why, self._at = Mode.ARMED, "armed", now - self.period
        self.hand_over(now)

    def hand_over(self, now: float) -> None:
        """Somebody else drives from now on, and may take the time to begin."""
        self._since = now

    def stop(self, why: str = "stopped by a person") -> None:
        """Hold, until a person arms again. A robot that is not armed stays so: there is nothing to hold."""
        self.mode, self.why = Mode.STOPPED if self.mode is not Mode.DISARMED else Mode.DISARMED, why

    def disarm(self, why: str = "disarmed by a person") -> None:
        """Send nothing more."""
        self.mode, self.why = Mode.DISARMED, why

    def see(self, observation: Observation, now: float) -> None:
        """Note which readings are new: finite states and the pictures of every camera.

        A robot that adds `stamps` ({key: s}) has real sensors: a reading is then new when its stamp is, and a picture when
        its pixels changed too, because the noise of a real one never repeats. Otherwise it is new when it is there.
        """
        stamps = observation.get(STAMPS)
        for key in (STATE, *(image_key(c.name) for c in self.body.cameras)):
            reading = observation.get(key)
            before = self._seen.setdefault(key, (now, None))[1]
            if reading is None or (key == STATE and not self._is_wish(reading)):
                continue
            if stamps is not None and key in stamps:
                pixels = b"" if key == STATE else np.asarray(reading)[::4, ::4].tobytes()  # noise is everywhere
                if before and (stamps[key] == before[0] or (pixels and pixels == before[1])):
                    continue
                before = (stamps[key], pixels)
            self._seen[key] = (now, before)
            if key == STATE:
                self._state = np.array(reading, float)
        limit, ages = self.config.stale_after, {key: now - at for key, (at, _) in self._seen.items()}
        told = ", ".join(f"{key} is {age:.1f} s old" for key, age in ages.items() if age > limit)
        self.stale = f"{told} (limit {limit} s): check its cable and driver" if told else ""

    def step(self, wanted: np.ndarray | None, now: float, input_at: float | None) -> Decision:
        """The command (A,) to send instead of `wanted` (None: stay), and why it differs.

        input_at: when whoever drives last gave a sign of life; None for never. Call `see` first.
        """
        if self.mode is Mode.STOPPED:
            return self._hold(Event.STOPPED, f"stopped ({self.why}): arm again to go on")
        if self.mode is Mode.DISARMED:
            return Decision(None, self.mode, (), f"disarmed ({self.why}): arm to go on")
        if (trouble := self._watch(now, input_at)) is not None:
            return trouble
        if wanted is not None and not self._is_wish(wanted):
            why = f"the wanted action is {wanted!r}; expected {self.body.size} finite numbers"
            return self._hold(Event.REJECTED, why, now)
        self.mode, self.why = Mode.ARMED, "armed"
        if wanted is None:
            return self._give(np.array(self.command), now, [], [])
        return self._limit(np.asarray(wanted, float), now)

    def _is_wish(self, wanted: object) -> bool:
        array = np.asarray(wanted)
        return array.shape == self._low.shape and array.dtype.kind in "fiu" and bool(np.isfinite(array).all())

    def _watch(self, now: float, input_at: float | None) -> Decision | None:
        """Old sensors and silent drivers."""
        config, begun = self.config, input_at is not None and input_at >= self._since
        silent = now - (input_at if begun else self._since)
        patience = config.disengage_after if begun else config.warm_up  # before that it stands still anyway
        old = max((now - at for at, _ in self._seen.values()), default=0.0)
        if old > config.stale_after + config.disengage_after or silent > patience:
            self.disarm(self.stale or f"nobody has driven for {silent:.1f} s (limit {patience} s)")
            return Decision(None, self.mode, (Event.DISENGAGED,), f"disengaged: {self.why}; mend it, then arm again")
        if self.stale:
            return self._hold(Event.STALE, self.stale, now)
        if silent > config.hold_after:
            return self._hold(Event.WATCHDOG, f"no input for {silent:.2f} s (limit {config.hold_after} s)", now)
        return None

    def _hold(self, event: Event, why: str, now: float | None = None) -> Decision:
        if now is not None:  # a hold that ends by itself
            self.mode, self.why, self._at = Mode.HOLDING, why, now
        self._velocity = np.zeros(self.body.size)
        return Decision(np.asarray(self.command, np.float32), self.mode, (event,), why)

    def _limit(self, wanted: np.ndarray, now: float) -> Decision:
        last, joint = self.command, self._is_joint
        within = np.clip(wanted, np.minimum(self._low, last), np.maximum(self._high, last))
        # A late loop gets no longer steps: the robot would make them in one period all the same.
        seconds = min(max(now - self._at, 0.0), self.period)
        slow = last + np.clip(within - last, -self._fastest * seconds, self._fastest * seconds)
        gain = np.where(joint, self._fastest / self.config.ramp, 1e9) * seconds  # a gripper has nothing to swing
        least, most = np.minimum(self._velocity - gain, 0), np.maximum(self._velocity + gain, 0)  # it may always brake
        soft = last + np.clip(slow - last, least * seconds, most * seconds)
        stages = (wanted, within, slow, soft, self._keep_inside(soft))
        events: list[Event] = []
        told: list[str] = []
        rules = (Event.JOINT, Event.VELOCITY, Event.ACCELERATION, Event.WORKSPACE)
        for rule, before, after in zip(rules, stages, stages[1:], strict=False):
            for i in np.flatnonzero(np.abs(before - after) > 1e-6):
                events.append(rule if joint[i] else Event.GRIPPER)
                told.append(f"{events[-1]}: {self.body.action.names[i]} {before[i]:.3f} → {after[i]:.3f}")
        return self._give(stages[-1], now, events, told)

    def _keep_inside(self, wanted: np.ndarray) -> np.ndarray:
        """Go as far towards `wanted` as no tool tip leaves the box, or moves further out of it."""
        command = wanted.copy()
        for arm in self.body.arms:
            start = self.body.slice(arm.name).start
            joints = slice(start, start + len(arm.joints))
            way = self.command[joints] + FRACTIONS[:, None] * (wanted - self.command)[joints]  # (11, J)
            tips = chain(arm).forward(way)[0]
            outside = np.maximum(self._floor - tips, 0) + np.maximum(tips - self._ceiling, 0)  # (11, 3) m
            bad = (outside > outside[0] + 1e-6).any(-1)
            if bad.any():
                command[joints] = way[np.argmax(bad) - 1]
        return command

    def _give(self, command: np.ndarray, now: float, events: list[Event], told: list[str]) -> Decision:
        self._velocity = (command - self.command) / max(min(now - self._at, self.period), 1e-9)
        self.command, self._at = command, now
        return Decision(command.astype(np.float32), self.mode, tuple(dict.fromkeys(events)), "; ".join(told))
