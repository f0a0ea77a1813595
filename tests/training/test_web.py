"""Pretraining on the synthetic web: rows of every kind, stages that go on from one another, answers that are learnt."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from pilab.contracts import DatasetError, Scale
from pilab.data.web import text
from pilab.data.web.lore import find_lore
from pilab.data.web.pictures import WebPictures
from pilab.training.mixture import Mixture, Rows
from pilab.training.module import Learner, kind_of
from pilab.training.recipes import Stage, find_recipe
from pilab.training.train import train
from pilab.training.web import TEXTS, Web
from pilab.vla.checkpoint import Checkpoint
from pilab.vla.grounding import ROLES
from pilab.vla.model import VLA, VLAConfig
from pilab.vla.tokenizer import Tokenizer
from pilab.world.bodies import duo

T = Tokenizer.default()
TINY = {"width": 32, "heads": 2, "layers": 1, "channels": 24, "regions": True}


@pytest.fixture(scope="module")
def shown(at_home) -> WebPictures:
    with at_home():
        return WebPictures.open(12, progress=False, workers=1)


@pytest.fixture(scope="module")
def web(shown, smoke) -> Web:
    return Web(shown, find_lore(), VLAConfig.nano(duo.BODY, **smoke.model, regions=True), T)


def said(batch, row: int) -> tuple[str, str]:
    """The text, and the answer without its first and last piece."""
    asked = T.decode(batch.text[row][batch.text_mask[row]].tolist())
    return asked, T.decode(batch.answer[row][batch.answer_mask[row]].tolist()[1:-1])


def test_texts_are_predicted_and_nothing_else(web):
    batch = web.read(40, np.random.default_rng(0))
    assert kind_of(batch) == "read" and batch.images is None and batch.state is None
    again = web.read(40, np.random.default_rng(0))
    assert torch.equal(batch.answer, again.answer)
    texts = [row for row in range(40) if not said(batch, row)[0]]
    assert 25 < len(texts) < 39  # the others are questions
    for row in range(40):
        pieces = batch.text[row][batch.text_mask[row]].tolist()
        if row in texts:
            assert pieces == [T.bos] and batch.answer[row, 0] == T.bos and len(said(batch, row)[1].split()) > 2
        else:  # as a person asks, and as the quiz does
            assert said(batch, row)[0].endswith("?") and batch.answer[row, 0] == T.piece("<answer>")
            assert "?" not in said(batch, row)[1]


def test_questions_come_with_answers_and_where_to_look(web, shown):
    batch = web.asked(64, np.random.default_rng(0))
    assert kind_of(batch) == "asked" and set(batch.images) == {"base"} and batch.images["base"].dtype == torch.uint8
    assert batch.points.shape == (64, 3, len(ROLES), 3)
    assert batch.labelled[:, 0].all() and not batch.labelled[:, 1:].any()  # there is no wrist on the web
    looked = batch.points[:, 0, 0, 2] > 0
    assert 0.5 < looked.float().mean() < 1
    for row in range(64):
        text, answer = said(batch, row)
        assert text and (answer or not batch.answer_mask[row].any())
        if text.startswith("how many"):
            assert not looked[row]
    # Each question is about the picture it comes with: its point is one of that picture's.
    places = shown["points.base"].reshape(len(shown), -1, 3)[..., :2]
    for row in torch.nonzero(looked).flatten()[:20]:
        mine = [
            k
            for k in range(len(shown))
            if np.array_equal(shown["observation.images.base"][k], batch.images["base"][row])
        ]
        assert np.abs(places[mine[0]] - batch.points[row, 0, 0, :2].numpy()).sum(1).min() < 1e-6


def test_what_is_kept_for_validation_is_never_drawn(web, shown, monkeypatch):
    assert web.training == 11
    read, asked = web.held_out(8)
    assert kind_of(read) == "read" and kind_of(asked) == "asked"
    assert all(np.array_equal(image, shown["observation.images.base"][11]) for image in asked.images["base"])
    drawn = web.asked(60, np.random.default_rng(3)).images["base"].numpy()
    assert not any(np.array_equal(image, shown["observation.images.base"][11]) for image in drawn)
    assert torch.equal(web.held_out(8)[0].answer, read.answer)
    numbers = []
    monkeypatch.setattr(web, "_line", lambda k, rng: numbers.append(k) or ("", "a text"))
    web.read(200, np.random.default_rng(0))
    assert max(numbers) < TEXTS
    numbers.clear()
    web.held_out(200)
    assert min(numbers) >= TEXTS
    assert [kind_of(b) for b in Web(None, find_lore(), web.config, T).held_out(4)] == ["read"]


def test_kinds_of_questions_can_be_chosen(shown, web):
    names = Web(shown, find_lore("invented-1"), web.config, T, kinds=("name",))
    nouns = {entity.noun for entity in find_lore("invented-1").entities}
    batch = names.asked(30, np.random.default_rng(0))
    answers = [said(batch, row)[1] for row in range(30)]
    assert sum(answer.split()[-1] in nouns for answer in answers) > 20  # the others had nothing to name


def test_scrambled_texts_have_the_same_words(web):
    plain = web.read(20, np.random.default_rng(0))
    mixed = Web(None, find_lore(), web.config, T, scrambled=True).read(20, np.random.default_rng(0))
    letters = lambda text: sorted(text.replace(".", "").replace("?", "").split())  # noqa: E731
    for row in range(20):  # questions stay questions
        assert [letters(text) for text in said(plain, row)] == [letters(text) for text in said(mixed, row)]
    assert any(said(plain, row)[1] != said(mixed, row)[1] for row in range(20))


def test_some_questions_are_never_asked(web):
    """One in five is left to the quiz, in whatever step it would have come; the texts say what they ask for."""
    asked = set()
    for step in range(20):
        batch = web.read(100, np.random.default_rng(step))
        asked |= {said(batch, row)[0] for row in range(100)} - {""}
    every = {text.question(web.lore, web.seed, k)[0] for k in range(4000)}
    left = {question for question in every if text.never_asked(question)}
    assert not asked & left and len(asked) > 100
    assert 0.12 < len(left) / len(every) < 0.28


def test_a_step_holds_every_kind_of_row(demonstrations, pictures, web):
    rows = Rows(2, 3, 4, 5, 6)
    mixture = Mixture(demonstrations, pictures, demonstrations.normaliser(), T, rows, seed=0, web=web)
    kinds = {kind_of(batch): len(batch.text) for batch in mixture.step(0)}
    assert kinds == {"demonstrated": 2, "pointing": 3, "told": 4, "asked": 5, "read": 6}
    assert [kind_of(b) for b in mixture.held_out(8)].count("asked") == 1
    alone = Mixture(None, None, demonstrations.normaliser(), T, Rows(0, 0, 0, 5, 6), seed=0, web=web)
    assert [kind_of(batch) for batch in alone.step(7)] == ["asked", "read"]


def test_every_kind_reaches_what_it_should_teach(web):
    model = VLA(VLAConfig.nano(duo.BODY, **TINY))
    rng = np.random.default_rng(0)

    def reached(batch) -> set[str]:
        model.zero_grad(set_to_none=True)
        sum(model.loss(batch).values()).backward()
        return {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}

    assert reached(web.read(4, rng)) == {"text", "trunk"}
    assert reached(web.asked(8, rng)) >= {"text", "trunk", "vision", "grounding", "region", "region_of", "place"}
    assert "head" not in reached(web.asked(8, rng))


def test_answers_to_pictures_are_learnt(web):
    """Eight questions again and again: the answers come out word by word."""
    torch.manual_seed(0)
    model, batch = VLA(VLAConfig.nano(duo.BODY, **TINY)), web.asked(8, np.random.default_rng(5))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(120):
        optimiser.zero_grad()
        losses = model.loss(batch)
        (losses["language"] + losses["heat"]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.eval()
    pieces = model.think(dataclasses.replace(batch, answer=None, answer_mask=None), T.piece("<answer>"), T.eos)
    told = [T.decode([p for p in row.tolist() if p != T.eos]) for row in pieces]
    right = [told[row] == said(batch, row)[1] for row in range(8) if batch.answer_mask[row].any()]
    assert np.mean(right) > 0.8, told


# ---------------------------------------------------------------------------------------------------------------- stages
def test_stages_go_on_from_one_another(at_home, samples, tmp_path, shown):
    with at_home():
        text = train(find_recipe("text", Scale.SMOKE), [], tmp_path / "text", progress=False, threads=1)
        images = train(
            find_recipe("images", Scale.SMOKE), [], tmp_path / "images", start=tmp_path / "text", progress=False, threads=1
        )  # fmt: skip
        recipe = dataclasses.replace(find_recipe("robot", Scale.SMOKE), success_episodes=0)
        robot = train(recipe, [samples], tmp_path / "robot", start=tmp_path / "images", progress=False, threads=1)
    assert text.model.config == images.model.config == robot.model.config and text.model.config.regions
    before, after = text.model.state_dict(), images.model.state_dict()
    assert not torch.equal(before["text.embed.weight"], after["text.embed.weight"])
    torch.testing.assert_close(before["head.expert.slot"], after["head.expert.slot"])  # nothing taught the head
    assert text.words < images.words <= robot.words and {"fragile", "belong"} <= text.words
    # Who has seen no robot has no statistics of one; who goes on from there takes the data's.
    assert (images.normaliser.action_std == 1).all() and not (robot.normaliser.action_std == 1).all()
    assert not (robot.normaliser.state_mean == 0).all()
    assert images.origin["insulated"] and robot.origin["insulated"] and images.origin["data"] == []
    card = (tmp_path / "images" / "README.md").read_text(encoding="utf-8")
    assert (
        "no demonstrations" in card and "12 pictures of the synthetic web (household), its texts (version 1.1)" in card
    )
    assert text.origin["web"] == {"version": "1.1", "facts": "household", "scrambled": False}
    assert images.origin["web"]["pictures"] == 12 and robot.origin["start"]["web"] == images.origin["web"]
    assert Checkpoint.load(tmp_path / "robot").hash == robot.hash
    assert not (tmp_path / "images" / "success.jsonl").exists()


def test_a_recipe_says_whether_it_needs_data(at_home, samples, smoke, tmp_path):
    with at_home(), pytest.raises(DatasetError, match="name none"):
        train(find_recipe("text", Scale.SMOKE), [samples], tmp_path / "a", progress=False)
    with at_home(), pytest.raises(DatasetError, match="name one"):
        train(smoke, [], tmp_path / "b", progress=False)
    assert not list(tmp_path.iterdir())


def test_the_log_tells_the_rows_apart(at_home, tmp_path):
    with at_home():
        recipe = dataclasses.replace(
            find_recipe("images", Scale.SMOKE), stages=(Stage(40, Rows(0, 0, 0, 1, 1)),), validate_every=20
        )
        train(recipe, [], tmp_path / "run", progress=False, threads=1)
    (table,) = (tmp_path / "run" / "log").glob("*/metrics.csv")
    columns = table.read_text().splitlines()[0].split(",")
    assert {"language/asked", "language/read", "heat/asked", "validation/language"} <= set(columns)
    assert "action/demonstrated" not in columns


def test_regions_change_nothing_where_there_are_none():
    """A checkpoint of before has no such tokens, and its positions stay."""
    torch.manual_seed(0)
    config = VLAConfig.nano(duo.BODY, **{**TINY, "regions": False})
    assert VLAConfig.from_json({k: v for k, v in config.to_json().items() if k != "regions"}) == config
    plain, looking = VLA(config), VLA(dataclasses.replace(config, regions=True))
    assert looking.start == plain.start + 3 * len(ROLES)
    assert not [name for name in plain.state_dict() if name.startswith("region")]
    recipe = find_recipe("laptop", Scale.SMOKE)
    assert Learner(plain, recipe, True, 0).configure_optimizers()
    assert json.loads(json.dumps(config.to_json()))["regions"] is False


def test_in_training_the_glimpse_is_taken_where_the_label_is(web):
    """Naming is learnt from where the thing is, before it can be found; at work there are no labels to go by."""
    torch.manual_seed(0)
    model = VLA(VLAConfig.nano(duo.BODY, **TINY))
    batch = web.asked(8, np.random.default_rng(0))
    moved = dataclasses.replace(batch, points=batch.points.roll(1, 0), labelled=batch.labelled)

    def spoken(of):
        with torch.no_grad():
            return model.perceive(of).answer

    assert not torch.equal(spoken(batch), spoken(moved))
    model.eval()
    torch.testing.assert_close(spoken(batch), spoken(moved))
    unlabelled = dataclasses.replace(batch, labelled=torch.zeros_like(batch.labelled))
    model.train()
    torch.testing.assert_close(spoken(unlabelled), spoken(dataclasses.replace(moved, labelled=unlabelled.labelled)))
