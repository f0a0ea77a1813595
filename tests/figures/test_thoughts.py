"""Thoughts on pictures: marks stand where the points are, heat tints what it is on, words stay on the paper.

Words are told by their ink: black for what is said, grey for the sentences on the way and for what goes on, blue for a person.
"""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from PIL import Image

from pilab.contracts import TASK, PilabError, Thought, UnknownNameError, image_key
from pilab.figures.strips import GAP, PAPER
from pilab.figures.theme import GRID
from pilab.figures.thoughts import FAINTEST, PERSON, RADIUS, ROLES, TRACE, draw_camera, draw_thought, thought_strip
from pilab.world.bodies.duo import BODY

HEIGHTS = (96, 144, 240, 480)  # as seen, between whole factors, the default, tall
SPOT = (0.6, 0.55)
CHAIN = ("i see the apple.", "the apple is a fruit.", "fruits belong in the bowl.")
WAY = ((0.2, 0.3), (0.4, 0.3), (0.6, 0.5), (0.8, 0.5))


def observation(grey: int = 120, task: str = "put the mug on the tray") -> dict:
    return {TASK: task} | {image_key(c.name): np.full((c.height, c.width, 3), grey, np.uint8) for c in BODY.cameras}


def pointing(role: str, point=SPOT, camera: str = "base") -> Thought:
    return Thought(subtask="grasp the mug", points={camera: {role: point}})


def panel(picture: Image.Image, camera: str, height: int) -> np.ndarray:
    """The pixels of one camera in a drawn thought."""
    widths = [round(c.width * height / c.height) for c in BODY.cameras]
    i = [c.name for c in BODY.cameras].index(camera)
    left = sum(widths[:i]) + i * GAP
    return np.asarray(picture)[:height, left : left + widths[i]].astype(int)


def colour_at(pixels: np.ndarray, spot: np.ndarray, angle: float, distance: float) -> np.ndarray:
    """Angles are in degrees, the distance is in heights of the picture."""
    direction = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    x, y = (spot + direction * distance * len(pixels)).astype(int)
    return pixels[y, x]


# --------------------------------------------------------------------------------------------------------------- points
@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize("camera", ["base", "left_wrist", "right_wrist"])
def test_a_ring_stands_around_the_object(height, camera):
    pixels = panel(draw_thought(observation(), BODY, pointing("object", camera=camera), height=height), camera, height)
    spot = np.array(SPOT) * pixels.shape[1::-1]
    for angle in range(0, 360, 15):
        assert np.abs(colour_at(pixels, spot, angle, RADIUS) - ROLES["object"]).max() < 60, angle
        assert (colour_at(pixels, spot, angle, RADIUS * 0.55) == 120).all(), "what is inside stays visible"
    assert np.abs(colour_at(pixels, spot, 0, 0) - ROLES["object"]).max() < 60, "a dot is on the point itself"


@pytest.mark.parametrize("height", HEIGHTS)
def test_a_diamond_stands_around_the_place(height):
    pixels = panel(draw_thought(observation(), BODY, pointing("place"), height=height), "base", height)
    spot = np.array(SPOT) * pixels.shape[1::-1]
    for angle in (45, 135, 225, 315):  # the middles of its sides, and where a ring would be
        assert np.abs(colour_at(pixels, spot, angle, RADIUS / math.sqrt(2)) - ROLES["place"]).max() < 60
        assert np.abs(colour_at(pixels, spot, angle, RADIUS) - ROLES["place"]).max() > 60
    assert np.abs(colour_at(pixels, spot, 180, RADIUS) - ROLES["place"]).max() < 60


def test_a_mark_stands_on_its_own_camera_only():
    plain, drawn = (draw_thought(observation(), BODY, t) for t in (Thought("grasp the mug"), pointing("object")))
    for camera in ("left_wrist", "right_wrist"):
        assert np.array_equal(panel(plain, camera, 240), panel(drawn, camera, 240))
    assert not np.array_equal(panel(plain, "base", 240), panel(drawn, "base", 240))


@pytest.mark.parametrize("point", [(0, 0), (1, 1), (0, 1), (1, 0.5), (0.5, 0)])
def test_at_a_border_the_name_stays_in_the_picture(point):
    """The name has as many pixels there as in the middle: it is neither cut off nor covered."""

    def letters(where):
        drawn = draw_thought(observation(), BODY, pointing("object", where))
        spot = np.array(where) * (320, 240)
        y, x = np.mgrid[:240, :320]
        beyond = np.hypot(x + 0.5 - spot[0], y + 0.5 - spot[1]) > 240 * RADIUS + 6  # outside the ring and its rim
        return (beyond & (panel(drawn, "base", 240) != 120).any(-1)).sum()

    assert letters(point) == pytest.approx(letters(SPOT), rel=0.1)


@pytest.mark.parametrize(
    ("object_at", "place_at"),
    [(SPOT, (SPOT[0], SPOT[1] - 0.2)), ((0.98, 0.5), (0.84, 0.5))],  # a name above would hit the other mark, or name
)
def test_two_names_do_not_cover_each_other_or_the_other_mark(object_at, place_at):
    near = {"object": object_at, "place": place_at}
    both, one, other = (
        panel(draw_thought(observation(), BODY, Thought(points={"base": points})), "base", 240)
        for points in (near, {"object": object_at}, {"place": place_at})
    )
    inked = [(pixels != 120).any(-1).sum() for pixels in (both, one, other)]
    assert inked[0] == pytest.approx(inked[1] + inked[2], rel=0.02)


def test_without_points_nothing_is_drawn_on_the_pictures():
    for thought in (Thought.nothing(), Thought("wait", points={"base": {}, "left_wrist": {}})):
        drawn = draw_thought(observation(), BODY, thought)
        assert all((panel(drawn, c.name, 240) == 120).all() for c in BODY.cameras)


@pytest.mark.parametrize("point", [(1.2, 0.5), (0.5, -0.01), (math.nan, 0.5), (0.5, 0.5, 1.0)])
def test_refuses_points_outside_the_picture(point):
    with pytest.raises(PilabError, match=r"the object on camera 'base' is at .* expected"):
        draw_thought(observation(), BODY, pointing("object", point))


def test_refuses_names_that_are_not_there():
    with pytest.raises(UnknownNameError, match="'ceiling'; valid: base, left_wrist"):
        draw_thought(observation(), BODY, pointing("object", camera="ceiling"))
    with pytest.raises(UnknownNameError, match="'ceiling'"):
        draw_thought(observation(), BODY, Thought(), heat={"ceiling": np.ones((2, 4, 4))})
    with pytest.raises(UnknownNameError, match="'tool'; valid: object, place"):
        draw_thought(observation(), BODY, pointing("tool"))


def test_one_camera_is_drawn_as_it_is_among_the_others():
    thought = Thought(points={"base": {"object": SPOT}, "left_wrist": {"place": SPOT}}, trace=WAY)
    heat = {"left_wrist": np.ones((2, 4, 4))}
    drawn = draw_thought(observation(), BODY, thought, heat, height=144)
    for camera in BODY.cameras:
        alone = draw_camera(observation(), BODY, camera.name, thought, heat.get(camera.name), height=144)
        assert np.array_equal(np.asarray(alone), panel(drawn, camera.name, 144))
    with pytest.raises(UnknownNameError, match="'ceiling'; valid: base, left_wrist"):
        draw_camera(observation(), BODY, "ceiling", thought)


# ---------------------------------------------------------------------------------------------------------------- trace
@pytest.mark.parametrize("height", HEIGHTS)
def test_a_trace_is_a_line_with_dots_that_fade(height):
    pixels = panel(draw_thought(observation(), BODY, Thought(trace=WAY), height=height), "base", height)
    corners = np.array(WAY) * pixels.shape[1::-1]
    dots = np.array([pixels[int(y), int(x)] for x, y in corners])
    cover = ((dots - 120) @ (np.array(TRACE) - 120)) / np.square(np.array(TRACE) - 120).sum()
    assert cover == pytest.approx(np.linspace(1, FAINTEST, len(WAY)), abs=0.02)
    for one, other in itertools.pairwise(corners):
        for share in (0.25, 0.5, 0.75):
            x, y = (one + share * (other - one)).astype(int)
            assert (pixels[y, x] != 120).any(), "the line between two dots"
    assert (pixels[: int(0.2 * height)] == 120).all() and (pixels[int(0.6 * height) :] == 120).all()


def test_a_trace_is_in_the_first_camera_only_and_below_the_marks():
    plain, drawn = (draw_thought(observation(), BODY, Thought(trace=way)) for way in ((), WAY))
    assert not np.array_equal(panel(plain, "base", 240), panel(drawn, "base", 240))
    for camera in ("left_wrist", "right_wrist"):
        assert np.array_equal(panel(plain, camera, 240), panel(drawn, camera, 240))
    seen = [(observation(), Thought(trace=WAY))]
    assert (np.asarray(thought_strip(seen, BODY))[:160] != 120).any()
    assert (np.asarray(thought_strip(seen, BODY, "left_wrist"))[:160] == 120).all()
    pointed = dataclasses.replace(pointing("object", WAY[0]), trace=WAY)
    pixels = panel(draw_thought(observation(), BODY, pointed), "base", 240)
    assert np.abs(colour_at(pixels, np.array(WAY[0]) * (320, 240), 0, RADIUS) - ROLES["object"]).max() < 60


def test_refuses_a_trace_that_leaves_the_picture():
    for way in ((SPOT, (0.5, 1.1)), ((math.nan, 0.5),), ((0.5, 0.5, 0.5),)):
        with pytest.raises(PilabError, match=r"the trace on camera 'base' is at .* expected \(u, v\)"):
            draw_thought(observation(), BODY, Thought(trace=way))


# ----------------------------------------------------------------------------------------------------------------- heat
@pytest.mark.parametrize(("role", "row"), [("object", 0), ("place", 1)])
def test_heat_tints_its_cell_and_nothing_else(role, row):
    heat = np.zeros((2, 24, 32))
    heat[row, 6, 20] = 0.7
    plain = draw_thought(observation(), BODY, Thought("grasp the mug"))
    drawn = draw_thought(observation(), BODY, Thought("grasp the mug"), {"base": heat})
    cell = np.zeros((plain.height, plain.width), bool)
    cell[60:70, 200:210] = True  # 240 / 24 = 10 px a cell
    assert np.array_equal((np.asarray(plain) != np.asarray(drawn)).any(-1), cell)
    shift = np.asarray(drawn)[65, 205].astype(int) - 120
    assert (np.sign(shift) == np.sign(np.array(ROLES[role]) - 120)).all(), "towards the colour of the role"
    assert (np.abs(shift) < np.abs(np.array(ROLES[role]) - 120)).all(), "the picture shines through"


def test_heat_is_in_proportion_to_its_peak():
    heat = np.zeros((2, 1, 4))
    heat[0] = [0.0, 0.1, 0.2, 0.4]
    row = panel(draw_thought(observation(), BODY, Thought(), {"base": heat}), "base", 240)[100, 40::80, 2] - 120
    assert row[0] == 0
    assert row[1:] / row[3] == pytest.approx([0.25, 0.5, 1], abs=0.02)


def test_a_grid_of_another_size_spans_the_picture():
    heat = np.zeros((2, 2, 2), np.float32)
    heat[1, 1, 0] = 1
    drawn = panel(draw_thought(observation(), BODY, Thought(), {"left_wrist": heat}), "left_wrist", 240)
    assert np.array_equal((drawn != 120).any(-1), np.kron([[False, False], [True, False]], np.ones((120, 120), bool)))


@pytest.mark.parametrize(
    "heat",
    [np.ones((24, 32)), np.ones((1, 4, 4)), np.ones((2, 0, 4)), *(np.full((2, 4, 4), x) for x in (-1, np.nan, np.inf))],
)
def test_refuses_what_is_no_heat(heat):
    with pytest.raises(PilabError, match=r"the heat on camera 'base' is .* expected"):
        draw_thought(observation(), BODY, Thought(), {"base": heat})


# ------------------------------------------------------------------------------------------------------------- pictures
def test_pixels_stay_pixels():
    rng = np.random.default_rng(0)
    seen = observation() | {
        image_key("base"): rng.integers(0, 255, (96, 128, 3), dtype=np.uint8),
        image_key("left_wrist"): rng.integers(0, 255, (48, 48, 3), dtype=np.uint8),
    }
    drawn = draw_thought(seen, BODY, Thought())
    assert np.array_equal(panel(drawn, "left_wrist", 240)[2::5, 2::5], seen[image_key("left_wrist")])
    middles = ((np.arange(96) + 0.5) * 2.5).astype(int)[:, None], ((np.arange(128) + 0.5) * 2.5).astype(int)
    assert np.array_equal(panel(drawn, "base", 240)[middles], seen[image_key("base")])


def test_an_absent_camera_has_a_frame_that_differs_from_a_black_picture():
    seen = observation()
    del seen[image_key("left_wrist")]
    full, lacking = draw_thought(observation(), BODY, Thought()), draw_thought(seen, BODY, Thought())
    assert lacking.size == full.size
    frame = panel(lacking, "left_wrist", 240)
    assert (frame[120 - 40 : 120 - 30, 120] == [int(GRID[i : i + 2], 16) for i in (1, 3, 5)]).all()
    assert (frame[105:135, 90:150] < 60).all(-1).any(), "the word"
    for camera in ("base", "right_wrist"):
        assert np.array_equal(panel(lacking, camera, 240), panel(full, camera, 240))


def test_what_is_believed_on_an_absent_camera_is_shown():
    seen = observation()
    del seen[image_key("base")]
    pixels = panel(draw_thought(seen, BODY, pointing("object")), "base", 240)
    assert np.abs(colour_at(pixels, np.array(SPOT) * (320, 240), 90, RADIUS) - ROLES["object"]).max() < 60


def test_the_frames_of_a_film_fit_too():
    seen = observation() | {image_key("base"): np.full((480, 640, 3), 120, np.uint8)}
    assert draw_thought(seen, BODY, Thought()).size == draw_thought(observation(), BODY, Thought()).size


@pytest.mark.parametrize("wrong", [np.zeros((3, 96, 128), np.uint8), np.zeros((96, 128, 3)), np.zeros((96, 128))])
def test_refuses_what_is_no_picture(wrong):
    with pytest.raises(PilabError, match=r"the picture of camera 'base' is .* expected uint8"):
        draw_thought(observation() | {image_key("base"): wrong}, BODY, Thought())


def test_the_observation_and_the_heat_are_left_alone():
    seen, heat = observation(), {"base": np.random.default_rng(0).random((2, 24, 32))}
    before = heat["base"].copy()
    draw_thought(seen, BODY, pointing("object"), heat)
    assert np.array_equal(heat["base"], before)
    assert all((seen[image_key(c.name)] == 120).all() for c in BODY.cameras)


# ---------------------------------------------------------------------------------------------------------------- words
def ink(pixels: np.ndarray) -> dict[str, int]:
    """How many pixels of words are black, grey or blue; the edges of letters are none of them."""
    pixels = pixels.astype(int)
    plain = np.ptp(pixels, axis=-1) == 0
    return {
        "black": int((plain & (pixels[..., 0] < 60)).sum()),
        "grey": int((plain & (abs(pixels[..., 0] - 110) < 10)).sum()),
        "blue": int((abs(pixels - PERSON).max(-1) < 20).sum()),
    }


def words(thought: Thought, height: int = 240, **seen) -> np.ndarray:
    """What stands below the pictures, without the names of the cameras."""
    return np.asarray(draw_thought(observation(**seen), BODY, thought, height=height))[height + 30 :]


def test_the_chain_stands_above_the_subtask_sentence_by_sentence():
    drawn = [words(Thought("put the apple in the bowl", CHAIN[:count])) for count in range(4)]
    heights = np.diff([len(pixels) for pixels in drawn])
    assert (heights > 12).all(), "a line each"
    plain, chained = drawn[0], drawn[3]
    assert ink(chained)["grey"] > 3 * ink(plain)["grey"]
    rows = [np.flatnonzero([ink(row[None])["black"] for row in pixels]) for pixels in (plain, chained)]
    gap = int(np.diff(rows[1]).argmax())  # between the instruction and the subtask
    between = ink(chained[rows[1][gap] + 1 : rows[1][gap + 1]])
    assert between["grey"] > 100 and between["black"] == 0
    below = [pixels[black[-1] - 11 :][:14] for pixels, black in zip((plain, chained), rows, strict=True)]
    assert np.array_equal(*below), "the subtask is as it was"
    other = words(Thought("put the apple in the bowl", (*CHAIN[:2], "fruits belong in the sink.")))
    assert other.shape == chained.shape and not np.array_equal(other, chained)


@pytest.mark.parametrize("height", [96, 240])
def test_long_sentences_wrap_and_do_not_overflow(height):
    for text in ("the apple is a fruit and " * 40, "W" * 600):
        short, long = (words(Thought("wait", (said,)), height) for said in ("i see it.", text))
        assert long.shape[1] == short.shape[1] and len(long) > len(short) + 30
        assert (long[:, -GAP // 2 :] == PAPER).all()


def test_whose_thought_it_is_is_told_in_words_and_by_colour():
    policy, person = (words(Thought("wait", CHAIN, author=author)) for author in ("policy", "person"))
    assert ink(policy)["blue"] == 0 and ink(person)["blue"] > 50
    begun = [words(Thought(None, CHAIN, author=author)) for author in ("policy", "demonstrator")]
    assert not np.array_equal(*begun), "a chain without a subtask has an author too"


@pytest.mark.parametrize("text", ["put the mug on the tray " * 40, "W" * 600, "two\nlines\n" * 20])
@pytest.mark.parametrize("height", [96, 240])
def test_long_text_wraps_and_does_not_overflow(text, height):
    short, long = (draw_thought(observation(), BODY, Thought(said), height=height) for said in ("wait", text))
    assert long.width == short.width
    assert long.height > short.height
    words = np.asarray(long)[height:]
    assert (words[:, -GAP // 2 :] == PAPER).all(), "free on the right"
    assert (words[-GAP // 2 :] == PAPER).all(), "free below"
    assert (words[-4 * GAP :] < 100).any(), "written to the end"
    assert np.array_equal(np.asarray(long)[:height], np.asarray(short)[:height])


def test_who_wrote_the_subtask_is_told():
    drawn = {
        np.asarray(draw_thought(observation(), BODY, thought)).tobytes()
        for thought in (Thought("wait"), Thought("wait", author="person"), Thought.nothing())
    }
    assert len(drawn) == 3


# --------------------------------------------------------------------------------------------------------------- strips
def test_a_strip_has_every_moment_in_order():
    moments = [(observation(grey), Thought("wait")) for grey in (100, 120, 140, 160, 180)]
    strip = np.asarray(thought_strip(moments, BODY, height=96, columns=3))
    assert strip.shape[1] == 3 * 128 + 2 * GAP
    assert [strip[50, 64 + i * (128 + GAP), 0] for i in range(3)] == [100, 120, 140]
    starts = np.flatnonzero((strip[:, 5] == 160).all(-1))
    assert len(starts) == 96, "the second row"
    assert [strip[starts[50], 64 + i * (128 + GAP), 0] for i in range(3)] == [160, 180, 255]


def test_a_strip_marks_the_points_of_its_camera():
    moments = [(observation(), pointing("object", camera="left_wrist")), (observation(), Thought("wait"))]
    base, wrist = (np.asarray(thought_strip(moments, BODY, camera))[:160] for camera in (None, "left_wrist"))
    assert (base[:, :213] == 120).all()
    assert np.abs(colour_at(wrist.astype(int), np.array(SPOT) * 160, 90, RADIUS) - ROLES["object"]).max() < 60
    assert (wrist[:, 160 + GAP :] == 120).all()


def test_the_instruction_stands_where_it_changes():
    """Text below a moment is taller where the instruction is told again."""
    tasks = ["put the mug away", "put the mug away", "stop", "stop"]
    strip = np.asarray(thought_strip([(observation(task=t), Thought("wait")) for t in tasks], BODY, height=96))
    below = [(strip[96:, i * (128 + GAP) : i * (128 + GAP) + 128] < 100).any((1, 2)).sum() for i in range(4)]
    assert below[0] > below[1] == below[3]
    assert below[2] > below[3]


def below(thoughts: list[Thought]) -> list[dict[str, int]]:
    """The ink below each moment of a strip in one row, all under the same instruction."""
    strip = np.asarray(thought_strip([(observation(), t) for t in thoughts], BODY, height=96, columns=len(thoughts)))
    cells = [strip[96:, i * (128 + GAP) : i * (128 + GAP) + 128] for i in range(len(thoughts))]
    return [
        ink(cell) | {"lines": 1 + int(np.flatnonzero((cell < 200).any((1, 2))).max() - GAP) // 17} for cell in cells
    ]


def test_in_a_strip_only_what_changed_stands_in_full():
    thought = Thought("wait", CHAIN)
    first, same, new_chain, new_words, gone, person = below(
        [
            thought,
            dataclasses.replace(thought, born=3.0, memory={"x": 1}),
            Thought("wait", (*CHAIN[:2], "so wait.")),
            Thought("stop", (*CHAIN[:2], "so wait.")),
            Thought("stop"),
            Thought("stop", author="person"),
        ]
    )
    assert first["black"] and first["grey"] > same["grey"] > 0
    assert same["black"] == 0 and same["lines"] == 1, "one grey line: the subtask goes on"
    assert new_chain["black"] == 0 and new_chain["grey"] > 3 * same["grey"], "the chain, and a grey subtask"
    assert new_words["black"] > 4 * new_words["grey"] and new_words["lines"] <= 2, "a subtask without the chain"
    assert gone["black"] == 0 and gone["grey"] > same["grey"] and gone["lines"] == 3, "and that there is no chain"
    assert person["blue"] and person["black"] == person["grey"] == 0, "the same words, of somebody else"


def test_a_long_episode_is_as_wide_as_a_short_one_and_little_taller_than_its_pictures():
    thoughts = [Thought("put the apple in the bowl", CHAIN)] * 40
    short, long = (thought_strip([(observation(), t) for t in some], BODY) for some in (thoughts[:4], thoughts))
    assert long.width == short.width
    assert long.height - short.height < 9 * (160 + 40)


def test_a_strip_needs_moments_and_a_camera_that_exists():
    with pytest.raises(PilabError, match="0 moments"):
        thought_strip([], BODY)
    with pytest.raises(UnknownNameError, match="'ceiling'"):
        thought_strip([(observation(), Thought())], BODY, "ceiling")
    with pytest.raises(UnknownNameError, match="'ceiling'"):
        thought_strip([(observation(), pointing("object", camera="ceiling"))], BODY)


def test_another_body_works_by_its_data_alone():
    eye = dataclasses.replace(BODY.cameras[0], name="head", height=40, width=100)
    body = dataclasses.replace(BODY, name="one-eyed", cameras=(eye,))
    seen = {TASK: "look", image_key("head"): np.full((40, 100, 3), 120, np.uint8)}
    assert draw_thought(seen, body, Thought()).width == 600
    assert thought_strip([(seen, Thought("look"))], body).width == 400
