"""The transformer: who attends to whom, rotary positions, the cache, adaRMS."""

import pytest
import torch

from pilab.vla.transformer import AdaRMSNorm, Block, Transformer, block_mask, rotate, turns


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Transformer(32, 2, 2)


# ----------------------------------------------------------------------------------------------------------------- mask
def test_block_mask_of_a_prefix_and_a_thought():
    """Two tokens of the prefix, of which the second is padding, then two words of a thought."""
    blocks = torch.tensor([[0, 0, 1, 2]])
    present = torch.tensor([[True, False, True, True]])
    expected = torch.tensor(
        [
            [1, 0, 0, 0],
            [1, 0, 0, 0],
            [1, 0, 1, 0],
            [1, 0, 1, 1],
        ]
    ).bool()
    mask = block_mask(blocks, blocks, present)
    assert mask.shape == (1, 1, 4, 4)
    assert torch.equal(mask[0, 0], expected)


def test_block_mask_of_queries_that_are_not_the_keys():
    mask = block_mask(
        torch.tensor([[1], [0]]), torch.tensor([[0, 1, 2], [0, 1, 2]]), torch.ones(2, 3, dtype=torch.bool)
    )
    assert mask[:, 0, 0].tolist() == [[True, True, False], [True, False, False]]


def test_what_is_masked_changes_no_bit(net):
    x, positions = drawn(2, 5, 32), torch.arange(5).expand(2, 5)
    present = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    mask = block_mask(torch.zeros(2, 5), torch.zeros(2, 5), present)
    other = x.clone()
    other[1, 3:] += drawn(2, 32, seed=1)
    a, b = net(x, positions, mask)[0], net(other, positions, mask)[0]
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1, :3], b[1, :3])
    assert not torch.equal(a[1, 3:], b[1, 3:])


def test_later_words_change_no_bit_of_earlier_ones(net):
    x, positions = drawn(1, 6, 32), torch.arange(6)[None]
    blocks = torch.tensor([[0, 0, 0, 1, 2, 3]])
    mask = block_mask(blocks, blocks, torch.ones(1, 6, dtype=torch.bool))
    other = x.clone()
    other[:, 4] += 1
    a, b = net(x, positions, mask)[0], net(other, positions, mask)[0]
    assert torch.equal(a[:, :4], b[:, :4])
    assert not torch.allclose(a[:, 5], b[:, 5])  # what comes after reads it
    other = x.clone()
    other[:, 2] += 1
    assert not torch.allclose(a[:, 0], net(other, positions, mask)[0][:, 0])  # the prefix reads both ways


# ------------------------------------------------------------------------------------------------------------ positions
def test_rotation_keeps_lengths_and_starts_at_nothing():
    x = drawn(2, 3, 4, 16)
    turned = rotate(x, turns(torch.tensor([[0, 1, 7, 300]]).expand(2, 4), 16))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])
    assert not torch.allclose(turned[:, :, 1:], x[:, :, 1:])


def test_rotation_is_relative():
    """Dot products depend on the difference of positions alone."""
    q, k = drawn(1, 2, 1, 16), drawn(1, 2, 1, 16, seed=1)
    at = lambda x, p: rotate(x, turns(torch.tensor([[p]]), 16))  # noqa: E731
    dot = lambda i, j: (at(q, i) * at(k, j)).sum(-1)  # noqa: E731
    for i, j, shift in ((3, 1, 20), (0, 5, 77), (9, 9, 41)):
        torch.testing.assert_close(dot(i, j), dot(i + shift, j + shift), atol=1e-4, rtol=0)
    assert (dot(3, 1) - dot(1, 3)).abs().max() > 1e-2  # before is not behind
    assert (dot(3, 1) - dot(4, 1)).abs().max() > 1e-2


def test_a_stack_reads_relative_positions_only(net):
    x, mask = drawn(1, 4, 32), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    positions = torch.tensor([[0, 2, 3, 9]])
    out = net(x, positions, mask)[0]
    torch.testing.assert_close(net(x, positions + 50, mask)[0], out, atol=1e-4, rtol=0)
    assert not torch.allclose(net(x, 2 * positions, mask)[0], out, atol=1e-3)


# ---------------------------------------------------------------------------------------------------------------- cache
def test_word_by_word_equals_all_at_once(net):
    """Keys and values handed out and given back: a thought continued is the thought in one pass."""
    x, positions = drawn(2, 7, 32), torch.arange(7).expand(2, 7)
    blocks = torch.tensor([0, 0, 0, 1, 2, 3, 4]).expand(2, 7)
    whole, cache = net(x, positions, block_mask(blocks, blocks, torch.ones(2, 7, dtype=torch.bool)))
    out, kept = net(x[:, :3], positions[:, :3], torch.ones(2, 1, 3, 3, dtype=torch.bool))
    parts = [out]
    for i in range(3, 7):
        mask = torch.ones(2, 1, 1, i + 1, dtype=torch.bool)
        out, own = net(x[:, i : i + 1], positions[:, i : i + 1], mask, kept)
        assert own[0][0].shape == (2, 2, 1, 16)
        kept = [(torch.cat([a, c], 2), torch.cat([b, d], 2)) for (a, b), (c, d) in zip(kept, own, strict=True)]
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(kept[1][0], cache[1][0], atol=1e-5, rtol=1e-4)


# --------------------------------------------------------------------------------------------------------------- adaRMS
def test_an_untrained_conditioned_block_is_an_ordinary_one():
    """Scale and shift start at zero and the gate at one, whatever the condition."""
    torch.manual_seed(0)
    plain, block = Block(32, 2), Block(32, 2, conditioned=True)
    block.load_state_dict({k: v for k, v in plain.state_dict().items() if not k.startswith("before")}, strict=False)
    x, where, mask = drawn(2, 3, 32), turns(torch.arange(3).expand(2, 3), 16), torch.ones(2, 1, 3, 3, dtype=torch.bool)
    for seed in (1, 2):
        out, _ = block(x, where, mask, None, drawn(2, 32, seed=seed))
        torch.testing.assert_close(out, plain(x, where, mask)[0])


def test_scale_shift_and_gate_follow_the_condition():
    norm, x = AdaRMSNorm(8), drawn(2, 3, 8)
    with torch.no_grad():
        norm.modulation.bias.copy_(torch.cat([torch.full((8,), 1.0), torch.full((8,), 0.5), torch.full((8,), 0.25)]))
    out, gate = norm(x, torch.zeros(2, 8))
    plain = x / x.square().mean(-1, keepdim=True).sqrt()
    torch.testing.assert_close(out, 2 * plain + 0.5, atol=1e-5, rtol=1e-5)
    assert (gate == 0.25).all()
    with torch.no_grad():
        norm.modulation.weight.copy_(drawn(24, 8, seed=1))
    assert not torch.allclose(norm(x, torch.ones(2, 8))[0], norm(x, -torch.ones(2, 8))[0])


def test_rows_of_a_batch_do_not_meet(net):
    x, positions, mask = drawn(5, 4, 32), torch.arange(4).expand(5, 4), torch.ones(5, 1, 4, 4, dtype=torch.bool)
    whole = net(x, positions, mask)[0]
    for i in range(5):
        torch.testing.assert_close(
            net(x[i : i + 1], positions[:1], mask[:1])[0], whole[i : i + 1], atol=1e-5, rtol=1e-5
        )
