"""The model: every loss on fake batches, masks, insulation, sampling, thinking, golden outputs.

`golden.json` holds numbers of a fixed model. Where a change of the model means them to change, write them anew with
`PILAB_GOLDEN=write pytest tests/vla/test_model.py -k golden`, and say in the commit why they did.
"""

import copy
import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch

from pilab.contracts import PilabError, PolicyError, UnknownNameError
from pilab.vla.flow import FlowHead
from pilab.vla.grounding import ROLES
from pilab.vla.model import VLA, Batch, VLAConfig
from pilab.world.bodies import duo, solo

GOLDEN = Path(__file__).with_name("golden.json")
HEADS = pytest.mark.parametrize(
    ("head", "clean"), [("flow", True), ("flow", False), ("regression", True)], ids=["clean", "velocity", "regression"]
)
ROBOT = {"action", "heat", "points", "visible", "language"}


@pytest.fixture(scope="module")
def config(tiny):
    return tiny()


@pytest.fixture(scope="module")
def model(config, lively):
    return lively(config)


def losses(model, batch, insulate=True, seed=0):
    """The losses, with the same noise every time."""
    torch.manual_seed(seed)
    return model.loss(batch, insulate)


def gradients(model, loss):
    """By name; None where nothing arrives."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


def arrived(gradients, *parts):
    """The largest gradient among the parameters of these parts of the model."""
    mine = [g for name, g in gradients.items() if name.split(".")[0] in parts and g is not None]
    return max((float(g.abs().max()) for g in mine), default=0.0)


def rows(batch, which):
    """Some rows of a batch."""
    take = lambda x: {k: v[which] for k, v in x.items()} if isinstance(x, dict) else x[which]  # noqa: E731
    values = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    return Batch(**{name: None if x is None else take(x) for name, x in values.items()})


def noise_for(config, count, seed=0):
    return torch.randn(count, config.horizon, config.action_slots, generator=torch.Generator().manual_seed(seed))


def told(config, count=4, **changes):
    """Rows without pictures: the expert is told the points."""
    return dataclasses.replace(
        config.fake_batch(count), images=None, camera_mask=None, labelled=None, answer=None, answer_mask=None, **changes
    )


# --------------------------------------------------------------------------------------------------------------- losses
@HEADS
def test_every_term_is_finite_and_reaches_every_parameter(tiny, lively, head, clean):
    config = tiny(head=head, clean=clean)
    model = lively(config)
    found = losses(model, config.fake_batch())
    assert set(found) == {"action", "heat", "points", "visible", "language"}
    assert all(value.shape == () and torch.isfinite(value) and value > 0 for value in found.values())
    reached = gradients(model, sum(found.values()))
    silent = [name for name, g in reached.items() if g is None or not g.any() or not torch.isfinite(g).all()]
    # A regression reads an empty chunk, so that there is nothing to learn about it.
    assert silent == (["head.expert.read_chunk.weight"] if head == "regression" else [])


def test_the_model_as_it_is_built_learns_too(config):
    """The expert's output starts at zero: the first step moves the output alone, later ones everything."""
    torch.manual_seed(0)
    model, batch = VLA(config), config.fake_batch()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for step in range(3):
        reached = gradients(model, sum(losses(model, batch, seed=step).values()))
        optimiser.step()
    assert [name for name, g in reached.items() if g is None or not g.any()] == []


@pytest.mark.parametrize(
    ("gone", "terms"),
    [
        (("labelled",), {"action", "language"}),
        (("answer", "answer_mask"), ROBOT - {"language"}),
        (("actions", "action_mask"), ROBOT - {"action"}),
        (("images",), {"action", "language"}),
        (("images", "state", "points", "actions", "action_mask"), {"language"}),
        (("state", "answer", "answer_mask", "actions", "action_mask"), {"heat", "points", "visible"}),
        (("labelled", "answer", "actions"), set()),
    ],
    ids=["no points", "no thought", "no actions", "told", "text", "pointing", "nothing"],
)
def test_a_term_is_absent_without_its_labels(config, model, gone, terms):
    batch = dataclasses.replace(config.fake_batch(), **dict.fromkeys(gone))
    found = losses(model, batch)
    assert set(found) == terms
    assert all(torch.isfinite(value) for value in found.values())


def test_one_term_does_not_depend_on_the_labels_of_another(config, model):
    batch = config.fake_batch()
    whole = losses(model, batch)
    for gone, term in ((("answer", "answer_mask"), "action"), (("labelled",), "action"), (("actions",), "language")):
        alone = losses(model, dataclasses.replace(batch, **dict.fromkeys(gone)))
        torch.testing.assert_close(alone[term], whole[term], atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------------------------------------------------------- masks
def hide_words(batch):
    batch.text_mask[:, 5:] = False
    return lambda b: b.text[:, 5:].add_(1)


def hide_thought(batch):
    batch.answer_mask[1:, 3:] = False
    return lambda b: b.answer[1:, 3:].add_(1)


def hide_actions(batch):
    batch.action_mask[:, :, 14:] = 0
    batch.action_mask[1] = 0
    return lambda b: (b.actions[:, :, 14:].add_(1), b.actions[1].add_(1))


def hide_camera(batch):
    batch.camera_mask[:2, 1] = False
    return lambda b: (b.images["left_wrist"][:2].add_(77), b.points[:2, 1].mul_(0.5))


def hide_points(batch):
    batch.labelled[0], batch.labelled[1:, 2, 1] = 0, 0
    return lambda b: (b.points[0].mul_(0.5), b.points[1:, 2, 1].mul_(0.5))


@pytest.mark.parametrize("hide", [hide_words, hide_thought, hide_actions, hide_camera, hide_points])
def test_what_is_masked_changes_no_bit_and_no_gradient(config, model, hide):
    plain, masked = config.fake_batch(), config.fake_batch()
    change = hide(masked)
    changed = copy.deepcopy(masked)
    change(changed)
    a, b = losses(model, masked), losses(model, changed)
    assert {name: x.item() for name, x in a.items()} == {name: x.item() for name, x in b.items()}
    ga, gb = gradients(model, sum(a.values())), gradients(model, sum(b.values()))
    assert [name for name in ga if not torch.equal(ga[name], gb[name])] == []
    # Without the mask the same change counts.
    seen = copy.deepcopy(plain)
    change(seen)
    assert {n: x.item() for n, x in losses(model, plain).items()} != {
        n: x.item() for n, x in losses(model, seen).items()
    }


@pytest.mark.parametrize("hide", [hide_words, hide_camera])
def test_what_is_masked_changes_no_bit_of_the_chunk(config, model, hide):
    masked = dataclasses.replace(config.fake_batch(), labelled=None)
    change = hide(masked)
    changed = copy.deepcopy(masked)
    change(changed)
    noise = noise_for(config, 3)
    assert torch.equal(model.act(masked, noise)[0], model.act(changed, noise)[0])


def test_a_camera_that_is_missing_is_a_camera_that_is_masked(config, model):
    batch = dataclasses.replace(config.fake_batch(), labelled=None, points=None)
    gone, masked = copy.deepcopy(batch), copy.deepcopy(batch)
    del gone.images["left_wrist"]
    masked.camera_mask[:, 1] = False
    noise = noise_for(config, 3)
    chunk = model.act(masked, noise)[0]
    torch.testing.assert_close(model.act(gone, noise)[0], chunk, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(model.act(batch, noise)[0], chunk, atol=1e-4)


def test_text_pictures_and_robot_in_one_batch(config, model):
    """Row 0 is text, row 1 a picture with points, row 2 a robot: each term learns from its rows alone."""
    batch = config.fake_batch()
    batch.camera_mask[0] = False
    batch.answer_mask[1:] = False
    batch.labelled[0] = batch.labelled[2] = 0
    batch.action_mask[:2] = 0
    whole = losses(model, batch)
    assert set(whole) == ROBOT
    for term, row in (("language", 0), ("heat", 1), ("visible", 1)):
        alone = losses(model, rows(batch, slice(row, row + 1)))
        torch.testing.assert_close(alone[term], whole[term], atol=1e-4, rtol=1e-4)
    others = copy.deepcopy(batch)
    others.text[:2] += 1
    others.images["base"][:2] += 77
    assert torch.equal(losses(model, others)["action"], whole["action"])


# ------------------------------------------------------------------------------------------------- knowledge insulation
KNOWING = ("text", "vision", "grounding", "trunk", "place", "state")


@pytest.mark.parametrize("head", ["flow", "regression"])
def test_insulated_actions_do_not_touch_what_knows(tiny, lively, head):
    config = tiny(head=head)
    model, batch = lively(config), config.fake_batch()
    kept = gradients(model, losses(model, batch, insulate=True)["action"])
    assert arrived(kept, *KNOWING) == 0
    assert arrived(kept, "head") > 0
    reached = gradients(model, losses(model, batch, insulate=False)["action"])
    for part in KNOWING:
        assert arrived(reached, part) > 0, part
    # Forwards there is no difference.
    assert torch.equal(losses(model, batch, insulate=True)["action"], losses(model, batch, insulate=False)["action"])


@pytest.mark.parametrize("head", ["flow", "regression"])
def test_it_learns_in_half_precision(tiny, lively, head):
    """What a GPU does under `bf16-mixed`: nearly the same losses, and gradients that are numbers."""
    config = tiny(head=head, hear=2, regions=True)
    model, batch = lively(config), config.fake_batch()
    whole = losses(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = losses(model, batch)
    assert half.keys() == whole.keys()
    for name in whole:
        assert float(half[name]) == pytest.approx(float(whole[name]), rel=0.1, abs=0.1), name
    assert all(g is None or g.isfinite().all() for g in gradients(model, sum(half.values())).values())
    with torch.autocast("cpu", torch.bfloat16):
        assert model.eval().think(batch, 5, 1).shape[0] == len(batch.text)
        assert model.act(batch, noise_for(config, len(batch.text)))[0].isfinite().all()


@pytest.mark.parametrize("insulate", [True, False])
@pytest.mark.parametrize("term", ["heat", "points", "visible", "language"])
def test_knowledge_does_not_touch_the_expert(config, model, term, insulate):
    reached = gradients(model, losses(model, config.fake_batch(), insulate)[term])
    assert arrived(reached, "head") == 0
    assert arrived(reached, "vision") > 0 and arrived(reached, "text") > 0
    assert (arrived(reached, "trunk") > 0) == (term == "language")


# ------------------------------------------------------------------------------------------------------------- learning
@HEADS
def test_one_batch_is_overfitted(tiny, head, clean):
    config = tiny(head=head, clean=clean, layers=1, flow_samples=8, steps_per_token=2, robust=0.0)
    torch.manual_seed(0)
    model, batch = VLA(config), told(config, 3)
    batch.action_mask[:, :, 7:] = 0  # the actions of one arm
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    calmer = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, 300)
    before = losses(model, batch)["action"].item()
    for step in range(300):
        optimiser.zero_grad()
        losses(model, batch, seed=step + 1)["action"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        calmer.step()
    assert losses(model, batch)["action"].item() < before / 10
    chunk, _ = model.act(batch, noise_for(config, 3) * batch.action_mask)
    miss = lambda actions: (chunk - actions)[..., :7].abs().mean()  # noqa: E731
    assert miss(batch.actions) < 0.15  # of numbers between 0 and 1, whose mean would miss by 0.25
    assert miss(batch.actions.roll(1, 0)) > 0.25  # and each row has its own


def test_the_expert_hears_the_words_itself(tiny, lively):
    config = tiny(hear=2)
    model, batch = lively(config), config.fake_batch()
    batch.text_mask[0, 5:] = False
    context = model.context(batch, model.perceive(batch))
    assert not context.words.requires_grad  # insulated
    act = lambda c: model.head.sample(c, noise_for(config, 3), torch.ones_like(noise_for(config, 3)))  # noqa: E731
    with torch.no_grad():
        chunk = act(context)
        assert not torch.allclose(act(dataclasses.replace(context, words=context.words.roll(1, 0))), chunk, atol=1e-3)
        noisy = context.words + torch.randn_like(context.words) * ~context.spoken[..., None]
        torch.testing.assert_close(act(dataclasses.replace(context, words=noisy)), chunk)  # padding is no word


# ------------------------------------------------------------------------------------------------------------- sampling
@HEADS
def test_the_chunk_is_a_function_of_its_noise(tiny, lively, head, clean):
    config = tiny(head=head, clean=clean)
    model, batch = lively(config), dataclasses.replace(config.fake_batch(), labelled=None)
    first, again, other = (model.act(batch, noise_for(config, 3, seed))[0] for seed in (0, 0, 1))
    assert first.shape == (3, config.horizon, config.action_slots)
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (head == "regression")


def constant(config, lively, value):
    """A model whose network says `value`, whatever it sees."""
    model = lively(config)
    with torch.no_grad():
        model.head.expert.write_chunk.weight.zero_()
        model.head.expert.write_chunk.bias.copy_(value.repeat(config.steps_per_token))
    return model


def test_predicting_the_clean_chunk_goes_straight_to_it(tiny, lively):
    """v = (x̂ − x_τ) / (1 − τ): every Euler step lies on the line from the noise to x̂, and the last one is x̂."""
    config = tiny(clean=True, flow_steps=4)
    clean, noise = torch.linspace(-1, 2, config.action_slots), noise_for(config, 3)
    model, visited = constant(config, lively, clean), []
    model.head.expert.register_forward_pre_hook(lambda module, inputs: visited.append((inputs[2], inputs[3])))
    chunk, _ = model.act(told(config, 3), noise)
    torch.testing.assert_close(chunk, clean.expand_as(chunk), atol=1e-5, rtol=1e-5)
    assert len(visited) == 4
    for i, (x, time) in enumerate(visited):
        assert (time == i / 4).all()
        torch.testing.assert_close(x, i / 4 * clean + (1 - i / 4) * noise, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_constant_velocity_is_added_to_the_noise(tiny, lively, steps):
    config = tiny(clean=False, flow_steps=steps)
    velocity, noise = torch.linspace(-1, 2, config.action_slots), noise_for(config, 3)
    chunk, _ = constant(config, lively, velocity).act(told(config, 3), noise)
    torch.testing.assert_close(chunk, noise + velocity, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("clean", [True, False])
def test_the_loss_is_the_formula(tiny, lively, clean):
    """Of a network that says 0: the mean square of the actions, or of actions − noise, where the mask is 1."""
    config = tiny(clean=clean, flow_samples=2, robust=0.0)
    model, batch = constant(config, lively, torch.zeros(config.action_slots)), told(config, 3)
    batch.action_mask[:, :, 14:] = 0
    noise, seen = noise_for(config, 6), []
    context = model.context(batch, model.perceive(batch))
    time = torch.tensor([0.0, 0.25, 0.5, 0.75, 0.9, 0.999])
    drawn = noise.unflatten(0, (3, 2)), time.unflatten(0, (3, 2))
    model.head.expert.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    loss = model.head.loss(context, batch.actions, batch.action_mask, batch.counts()["action"], drawn)
    actions = batch.actions.repeat_interleave(2, 0)
    target = actions if clean else actions - noise
    torch.testing.assert_close(loss, target[..., :14].square().mean())
    model.head.robust = 0.3  # the pseudo-Huber loss
    loss = model.head.loss(context, batch.actions, batch.action_mask, batch.counts()["action"], drawn)
    torch.testing.assert_close(loss, ((target[..., :14].square() + 0.09).sqrt() - 0.3).mean())
    τ = time[:, None, None]
    torch.testing.assert_close(seen[0][..., :14], (τ * actions + (1 - τ) * noise)[..., :14])
    assert not seen[0][..., 14:].any()


def test_noisy_times_are_drawn_more_often(config, model):
    """τ = 0.999 (1 − t) with t ~ Beta(1.5, 1), whose mean is 0.6 and whose distribution function is t^1.5."""
    head, seen = FlowHead(model.head.expert, True, 0.0, 2000, 1), []
    batch = told(config, 2)
    hook = model.head.expert.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[3]))
    torch.manual_seed(0)
    with torch.no_grad():
        head.loss(
            model.context(batch, model.perceive(batch)), batch.actions, batch.action_mask, batch.counts()["action"]
        )
    hook.remove()
    t = 1 - seen[0] / 0.999
    assert len(t) == 4000
    assert t.min() >= 0 and t.max() <= 1
    assert float(t.mean()) == pytest.approx(0.6, abs=0.015)
    for quarter in (0.25, 0.5, 0.75):
        assert float((t <= quarter).float().mean()) == pytest.approx(quarter**1.5, abs=0.03)


def test_rows_agree_alone_and_in_a_batch(config, model):
    batch = dataclasses.replace(config.fake_batch(5), labelled=None, answer=None)
    batch.text_mask[1, 3:] = batch.text_mask[2, 1:] = batch.text_mask[4, 6:] = False
    noise = noise_for(config, 5)
    whole, _ = model.act(batch, noise)
    for i in range(5):
        alone, _ = model.act(rows(batch, slice(i, i + 1)), noise[i : i + 1])
        torch.testing.assert_close(alone[0], whole[i], atol=1e-4, rtol=0)


# --------------------------------------------------------------------------------------------------------------- points
def test_points_that_are_told_replace_those_that_are_seen(tiny, lively):
    """Without image tokens and glimpses, points are the only way from pixels to actions: all told, pictures do not matter."""
    config = tiny(image_tokens=False, glimpse=0)
    model, batch, noise = lively(config), config.fake_batch(), noise_for(config, 3)
    chunk, _ = model.act(batch, noise)
    dark = dataclasses.replace(batch, images={name: torch.zeros_like(x) for name, x in batch.images.items()})
    assert torch.equal(model.act(dark, noise)[0], chunk)
    # It is what a row without pictures is told.
    alone = dataclasses.replace(batch, images=None, camera_mask=None, labelled=None)
    torch.testing.assert_close(model.act(alone, noise)[0], chunk, atol=1e-5, rtol=1e-4)
    moved = copy.deepcopy(batch)
    moved.points[..., :2] = 1 - moved.points[..., :2]
    assert not torch.allclose(model.act(moved, noise)[0], chunk, atol=1e-3)


def test_points_that_are_not_told_stay_those_that_are_seen(config, model):
    batch, noise = config.fake_batch(), noise_for(config, 3)
    batch.labelled = torch.zeros_like(batch.labelled)
    own, _ = model.act(dataclasses.replace(batch, points=None, labelled=None), noise)
    assert torch.equal(model.act(batch, noise)[0], own)
    batch.labelled[1, 0, 0], batch.points[1, 0, 0] = 1, torch.tensor([0.2, 0.8, 1.0])
    chunk, _ = model.act(batch, noise)
    assert torch.equal(chunk[[0, 2]], own[[0, 2]])
    assert not torch.allclose(chunk[1], own[1], atol=1e-3)


def test_where_an_invisible_thing_is_does_not_matter(config, model):
    batch, noise = told(config, 3), noise_for(config, 3)
    batch.points[..., 2] = 0
    chunk, _ = model.act(batch, noise)
    batch.points[..., :2] = 1 - batch.points[..., :2]
    batch.glimpses += 50
    assert torch.equal(model.act(batch, noise)[0], chunk)


def test_a_glimpse_is_taken_where_the_point_is(config, model):
    """A pixel beside the point that is told changes the chunk even where image tokens are the same."""
    plain = dataclasses.replace(config, image_tokens=False)
    net = VLA(plain)
    net.load_state_dict(model.state_dict())
    batch, noise = config.fake_batch(), noise_for(config, 3)
    batch.labelled[:], batch.points[:] = 1, torch.tensor([0.5, 0.5, 1.0])
    chunk, _ = net.act(batch, noise)
    near, far = copy.deepcopy(batch), copy.deepcopy(batch)
    near.images["base"][:, 48:52, 64:68] = 255
    far.images["base"][:, :8, :8] = 255
    assert torch.equal(net.act(far, noise)[0], chunk)
    assert not torch.equal(net.act(near, noise)[0], chunk)


# ------------------------------------------------------------------------------------------------------------- thinking
FIRST, END = 5, 1


def test_an_answer_is_as_long_as_allowed(tiny, lively):
    config = tiny(answer_length=6)
    batch = dataclasses.replace(config.fake_batch(), answer=None)
    pieces = lively(config).think(batch, FIRST, end=-1)  # no piece has this number
    assert pieces.shape == (3, 6)
    assert (pieces >= 0).all() and (pieces < config.vocabulary).all()


def test_word_by_word_is_what_was_learnt_at_once(tiny, lively):
    """Every piece is the most likely one after those before it, in the pass that training makes."""
    config = tiny(answer_length=6)
    model, batch = lively(config), config.fake_batch()
    pieces = model.think(dataclasses.replace(batch, answer=None), FIRST, end=-1)
    batch.answer = torch.cat([torch.full((3, 1), FIRST), pieces], 1)
    batch.answer_mask = torch.ones_like(batch.answer, dtype=torch.bool)
    with torch.no_grad():
        logits = model.perceive(batch).answer @ model.text.embed.weight.T
    best, chosen = logits.max(-1).values, logits.gather(-1, pieces[..., None])[..., 0]
    assert logits.shape == (3, 6, config.vocabulary)
    torch.testing.assert_close(chosen, best, atol=1e-4, rtol=0)  # equal but for rounding, should two tie
    assert len({tuple(row) for row in pieces.tolist()}) > 1


def test_a_thought_goes_on_from_how_it_was_begun(tiny, lively):
    config = tiny(answer_length=6)
    model, batch = lively(config), dataclasses.replace(config.fake_batch(), answer=None)
    free = model.think(batch, FIRST, end=-1)
    begun, mask = (
        torch.tensor([[9, 8, 7], [9, 8, 0], [0, 0, 0]]),
        torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 0]]).bool(),
    )
    pieces = model.think(batch, FIRST, end=-1, begun=(begun, mask))
    assert torch.equal(pieces[:, :3][mask], begun[mask])
    assert torch.equal(pieces[2], free[2])  # nothing was put into its mouth
    longer = torch.cat([begun[:1], pieces[:1, 3:5]], 1)  # what came to mind, said for it, changes nothing
    again = model.think(batch.rows(torch.tensor([0])), FIRST, end=-1, begun=(longer, torch.ones_like(longer).bool()))
    assert torch.equal(again, pieces[:1])


def test_what_was_put_into_its_mouth_is_read_and_not_learnt(tiny, lively):
    model, batch = lively(tiny()), tiny().fake_batch()
    batch.learnt = batch.answer_mask.clone()
    batch.learnt[:, :3] = False  # of five pieces: the first is given, two are not learnt, two are
    embed = model.text.embed.weight
    other = dataclasses.replace(batch, answer=batch.answer.clone())
    other.answer[:, 2] = 4 + (other.answer[:, 2] + 1) % 100
    with torch.no_grad():
        logits = model.perceive(batch).answer @ embed.T
        each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch.answer[:, 1:], reduction="none")
        loss = model.loss(batch)["language"]
        torch.testing.assert_close(loss, each[:, 2:].mean())
        assert batch.counts()["language"] == 2 * len(batch.answer)
        assert not torch.isclose(model.loss(other)["language"], loss, atol=1e-6)  # it is read


@pytest.mark.parametrize("gone", [("images",), ("images", "state"), ("state",)], ids=["state", "text", "pictures"])
def test_an_answer_needs_neither_state_nor_pictures(tiny, lively, gone):
    config = tiny(answer_length=3)
    batch = dataclasses.replace(config.fake_batch(), answer=None, **dict.fromkeys(gone))
    assert lively(config).think(batch, FIRST, end=-1).shape == (3, 3)


@pytest.fixture(scope="module")
def talker(tiny):
    """A model that has learnt three answers of different lengths to three texts, and the batch of them.

    To tell how often a piece was said it must know where it is, and the second has learnt to talk on after its end.
    """
    config = tiny(layers=1, answer_length=9)
    torch.manual_seed(0)
    model = VLA(config)
    gone = dict.fromkeys(("images", "camera_mask", "points", "labelled", "actions", "action_mask"))
    batch = dataclasses.replace(config.fake_batch(), **gone)
    batch.text_mask[1, 4:] = False
    batch.answer = torch.tensor(
        [[FIRST, 30, 30, 30, 33, END], [FIRST, 40, END, 60, 61, 62], [FIRST, 50, 50, 52, END, 0]]
    )
    batch.answer_mask = batch.answer != 0
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        loss = model.loss(batch)["language"]
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05
    return model, batch


def test_thinking_stops_at_the_end_piece(talker):
    model, batch = talker
    pieces = model.think(dataclasses.replace(batch, answer=None), FIRST, END)
    assert pieces.tolist() == [[30, 30, 30, 33, END], [40, END, END, END, END], [50, 50, 52, END, END]]


def test_thoughts_of_a_batch_do_not_meet(talker):
    model, batch = talker
    for i, expected in enumerate(([30, 30, 30, 33, END], [40, END], [50, 50, 52, END])):
        alone = dataclasses.replace(rows(batch, slice(i, i + 1)), answer=None)
        assert model.think(alone, FIRST, END).tolist() == [expected]  # and no longer than it has to be


# ------------------------------------------------------------------------------------------------------- configurations
def test_nano_fits_a_cpu_and_small_is_larger():
    with torch.device("meta"):
        nano, small = (
            sum(p.numel() for p in VLA(make(duo.BODY)).parameters()) for make in (VLAConfig.nano, VLAConfig.small)
        )
    assert 1e6 < nano < 3e6
    assert small > 5 * nano


def test_a_body_of_another_size_fits_the_same_slots(tiny, lively):
    one, two = tiny(solo.BODY), tiny()
    assert (one.state_slots, one.action_slots) == (two.state_slots, two.action_slots)
    model, batch = lively(one), one.fake_batch()
    assert set(losses(model, batch)) == ROBOT
    assert model.act(batch, noise_for(one, 3))[0].shape == (3, one.horizon, one.action_slots)


def test_a_config_as_json_and_back(tiny):
    config = tiny(head="regression", glimpse=0)
    assert VLAConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("values", [{}, {"cameras": 3}, {"cameras": [["base", 96]]}, {"cameras": [], "wings": 2}])
def test_a_config_of_another_version_is_refused(values):
    with pytest.raises(PolicyError, match=r"not the configuration of a VLA.*use the pilab it was made with"):
        VLAConfig.from_json(values)


@pytest.mark.parametrize(("name", "expected"), [("head", "flow, regression"), ("action_space", "relative_pose")])
def test_unknown_parts_are_refused_at_once(tiny, name, expected):
    with pytest.raises(UnknownNameError, match=f"'zebra'; valid: {expected}") as caught:
        VLA(tiny(**{name: "zebra"}))
    assert isinstance(caught.value, PilabError)


def test_a_fake_batch_is_a_function_of_its_seed(config):
    a, b, c = config.fake_batch(), config.fake_batch(), config.fake_batch(seed=1)
    assert torch.equal(a.images["base"], b.images["base"]) and torch.equal(a.actions, b.actions)
    assert not torch.equal(a.images["base"], c.images["base"])
    assert a.points.shape == (3, 3, len(ROLES), 3)
    moved = a.to("meta")
    assert moved.images["base"].device.type == moved.actions.device.type == "meta"


# --------------------------------------------------------------------------------------------------------------- golden
def golden(tiny, lively):
    """Numbers that any change of the arithmetic moves: losses and a few entries of chunks and points."""
    numbers = {}
    for name, changes in {"clean": {}, "velocity": {"clean": False}, "regression": {"head": "regression"}}.items():
        config = tiny(**changes)
        model, batch = lively(config), config.fake_batch()
        with torch.no_grad():
            found = losses(model, batch)
        numbers |= {f"{name}/loss/{term}": float(value) for term, value in found.items()}
        chunk, seen = model.act(dataclasses.replace(batch, labelled=None, answer=None), noise_for(config, 3))
        numbers |= {f"{name}/chunk/{i}": float(chunk[i, 5 * i, 2 + i]) for i in range(3)}
    points = seen.grounding["base"].points
    numbers |= {
        f"points/{role}/{axis}": float(points[1, r, a]) for r, role in enumerate(ROLES) for a, axis in enumerate("uv")
    }
    return numbers


def test_golden(tiny, lively):
    found = golden(tiny, lively)
    if os.environ.get("PILAB_GOLDEN") == "write":
        GOLDEN.write_text(json.dumps({k: round(v, 6) for k, v in found.items()}, indent=1) + "\n", encoding="utf-8")
        pytest.skip(f"wrote {GOLDEN.name}; run again without PILAB_GOLDEN")
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert set(found) == set(expected)
    assert found == pytest.approx(expected, abs=1e-4, rel=1e-4)


def test_actions_a_body_does_not_have_stay_zero_while_sampling(tiny, lively):
    """Training shows the expert zeros there (noisy · mask); so must every Euler step."""
    config = tiny()
    model, batch, visited = lively(config), told(config, 3), []
    batch.action_mask[:, :, 7:] = 0
    model.head.expert.register_forward_pre_hook(lambda module, inputs: visited.append(inputs[2]))
    model.act(batch, noise_for(config, 3))  # or however the mask is to reach it
    assert not any(x[..., 7:].any() for x in visited)
