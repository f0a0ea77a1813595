"""Checkpoints: there and back, and whatever is damaged is refused with a reason that names the folder."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from safetensors.numpy import save as save_arrays

from pilab.contracts import PolicyError
from pilab.vla.actions import Normaliser
from pilab.vla.checkpoint import CONFIG, STATISTICS, TOKENIZER, VERSION, WEIGHTS, Checkpoint, Driving
from pilab.vla.tokenizer import Tokenizer

FILES = (CONFIG, WEIGHTS, STATISTICS, TOKENIZER)
# The folder of an example is put in order by the test itself.
REUSING = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def checkpoint(tiny, lively):
    config = tiny(layers=1, head="regression")
    rng = np.random.default_rng(0)
    normaliser = Normaliser(
        *(rng.uniform(0.5, 2, shape).astype(np.float32) for shape in ((32,), (32,), (16, 14), (16, 14)))
    )
    driving = Driving(5, 7, thinks=False, remembers=True, temperature=0.5, before=("<quality=5>",))
    return Checkpoint(
        lively(config), normaliser, Tokenizer.default(), frozenset({"apple", "naïve"}), driving, {"recipe": "none"}
    )


@pytest.fixture(scope="module")
def saved(checkpoint, tmp_path_factory):
    """A folder that nobody changes."""
    return checkpoint.save(tmp_path_factory.mktemp("good") / "checkpoint")


@pytest.fixture(scope="module")
def scratch(saved, tmp_path_factory):
    """write(file, bytes) → a folder in which that file has other contents; None leaves it out."""
    folder = tmp_path_factory.mktemp("damaged")

    def write(name, data):
        for file in FILES:
            shutil.copyfile(saved / file, folder / file)
        if data is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(data)
        return folder

    return write


def refused(folder, match=None):
    with pytest.raises(PolicyError, match=match) as caught:
        Checkpoint.load(folder)
    assert str(folder) in str(caught.value)


def outcome(folder):
    """The hash, or the reason of a refusal."""
    try:
        return Checkpoint.load(folder).hash
    except PolicyError as error:
        return str(error)


def edited(saved, **changes):
    return json.dumps({**json.loads((saved / CONFIG).read_bytes()), **changes}).encode()


# ------------------------------------------------------------------------------------------------------- there and back
def test_all_comes_back_bit_by_bit(checkpoint, saved):
    again = Checkpoint.load(saved)
    weights = checkpoint.model.state_dict()
    assert set(again.model.state_dict()) == set(weights)
    assert all(torch.equal(value, weights[name]) for name, value in again.model.state_dict().items())
    assert again.model.config == checkpoint.model.config
    for field in dataclasses.fields(Normaliser):
        np.testing.assert_array_equal(getattr(again.normaliser, field.name), getattr(checkpoint.normaliser, field.name))
    assert again.tokenizer.to_bytes() == checkpoint.tokenizer.to_bytes()
    assert (again.words, again.driving, again.origin) == (checkpoint.words, checkpoint.driving, checkpoint.origin)
    assert not again.model.training


def test_what_was_loaded_acts_the_same(checkpoint, saved):
    batch = checkpoint.model.config.fake_batch()
    with torch.no_grad():
        before, after = (c.model.eval().loss(batch) for c in (checkpoint, Checkpoint.load(saved)))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[term], after[term]) for term in before)


def test_half_precision_is_half_the_size_and_close(checkpoint, saved, tmp_path):
    small = checkpoint.save(tmp_path / "small", half=True)
    assert (small / WEIGHTS).stat().st_size < 0.55 * (saved / WEIGHTS).stat().st_size
    weights, again = checkpoint.model.state_dict(), Checkpoint.load(small).model.state_dict()
    for name, value in again.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-6)
    assert all(value.dtype == torch.float32 for value in weights.values())  # the model in hand stays as it was


def test_the_hash_identifies_the_weights(checkpoint, saved, tmp_path):
    checkpoint.save(tmp_path / "same")
    first, second = Checkpoint.load(saved), Checkpoint.load(tmp_path / "same")
    assert first.hash == second.hash == checkpoint.hash
    assert len(first.hash) == 12 and set(first.hash) <= set("0123456789abcdef")
    first.save(tmp_path / "again")
    assert Checkpoint.load(tmp_path / "again").hash == second.hash
    with torch.no_grad():
        next(first.model.parameters()).add_(1)
    first.save(tmp_path / "changed")
    assert Checkpoint.load(tmp_path / "changed").hash == first.hash != second.hash


def test_files_can_be_read_without_pilab(checkpoint, saved):
    assert set(load_file(saved / WEIGHTS)) == set(checkpoint.model.state_dict())
    assert set(load_file(saved / STATISTICS)) == {field.name for field in dataclasses.fields(Normaliser)}
    told = json.loads((saved / CONFIG).read_bytes())
    assert told["version"] == VERSION
    assert told["words"] == ["apple", "naïve"]
    expected = {
        "replan_interval": 5,
        "think_interval": 7,
        "thinks": False,
        "chain": False,
        "literal": False,
        "remembers": True,
        "temperature": 0.5,
        "before": ["<quality=5>"],
    }
    assert told["driving"] == expected
    assert not list(saved.glob("*.tmp"))


def test_saving_over_a_checkpoint_replaces_it(checkpoint, saved, tmp_path):
    folder = checkpoint.save(tmp_path, half=True)
    was = Checkpoint.load(folder).hash
    checkpoint.save(folder)
    assert Checkpoint.load(folder).hash == Checkpoint.load(saved).hash != was


# --------------------------------------------------------------------------------------------------------------- damage
@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(scratch, name):
    refused(scratch(name, None), name)


def test_what_is_no_folder_of_a_checkpoint_is_refused(tmp_path):
    refused(tmp_path / "nowhere", "`pilab train` makes one")
    refused(tmp_path, "`pilab train` makes one")
    (tmp_path / "file").write_text("hello", encoding="utf-8")
    refused(tmp_path / "file")


@pytest.mark.parametrize("name", FILES)
@REUSING
@given(data=st.data())
def test_truncated_files_are_refused(saved, scratch, name, data):
    whole = (saved / name).read_bytes()
    refused(scratch(name, whole[: data.draw(st.integers(0, len(whole) - 1))]))


@pytest.mark.parametrize("name", FILES)
@REUSING
@given(garbage=st.binary(max_size=200))
def test_random_bytes_are_refused(scratch, name, garbage):
    refused(scratch(name, garbage))


@REUSING
@given(data=st.data())
def test_a_damaged_header_of_the_weights_is_refused_or_tells_in_the_hash(saved, scratch, data):
    """The first bytes hold the length, names and shapes. A flip may leave them legible; then the hash is another."""
    whole = bytearray((saved / WEIGHTS).read_bytes())
    end = 8 + int.from_bytes(whole[:8], "little")
    whole[data.draw(st.integers(0, end - 1))] ^= data.draw(st.integers(1, 255))
    folder = scratch(WEIGHTS, bytes(whole))
    told = outcome(folder)
    assert str(folder) in told or (len(told) == 12 and told != outcome(saved))


@pytest.mark.parametrize("name", [WEIGHTS, STATISTICS])
def test_another_safetensors_file_is_refused(saved, scratch, name):
    """Statistics for weights, and the other way round."""
    other = (saved / (STATISTICS if name == WEIGHTS else WEIGHTS)).read_bytes()
    with pytest.raises(
        PolicyError, match="is not the file that config.json" if name == WEIGHTS else "'state_mean' missing"
    ):
        Checkpoint.load(scratch(name, other))


@pytest.mark.parametrize("text", ["[]", "null", "5", "{}", '"text"', '{"version": 1}'])
def test_another_json_is_refused(scratch, text):
    refused(scratch(CONFIG, text.encode()))


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_refused(saved, scratch, version):
    refused(
        scratch(CONFIG, edited(saved, version=version)),
        f"of version {version}, and this pilab reads version 1; copy or train it again",
    )


@pytest.mark.parametrize("changes", [{"words": 5}, {"driving": {"wings": 2}}, {"driving": None}])
def test_settings_that_do_not_fit_are_refused(saved, scratch, changes):
    refused(scratch(CONFIG, edited(saved, **changes)))


def test_a_config_with_an_unknown_key_is_refused(checkpoint, saved, scratch):
    model = {**checkpoint.model.config.to_json(), "wings": 2}
    with pytest.raises(PolicyError, match=r"'wings'; use the pilab it was made with"):
        Checkpoint.load(scratch(CONFIG, edited(saved, model=model)))


@pytest.mark.parametrize("changes", [{"width": 48}, {"layers": 2}, {"channels": 48}, {"vocabulary": 5000}])
def test_weights_of_another_size_are_refused(checkpoint, saved, scratch, changes):
    model = {**checkpoint.model.config.to_json(), **changes}
    refused(
        scratch(CONFIG, edited(saved, model=model)), "the weights do not fit config.json: .*; copy or train it again"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"width": -1},
        {"layers": "3"},
        {"channels": 10},
        {"heads": 3},
        {"horizon": 17},
        {"head": "zebra"},
        {"action_space": "zebra"},
    ],
)
def test_sizes_that_cannot_be_are_refused(checkpoint, saved, scratch, changes):
    refused(scratch(CONFIG, edited(saved, model={**checkpoint.model.config.to_json(), **changes})))


def test_json_that_is_too_deep_is_refused(scratch):
    refused(scratch(CONFIG, b"[" * 100_000))


@pytest.mark.parametrize("name", ["state_mean", "action_std"])
def test_statistics_of_another_size_are_refused(checkpoint, scratch, name):
    arrays = checkpoint.normaliser.to_arrays()
    refused(scratch(STATISTICS, save_arrays({**arrays, name: np.ascontiguousarray(arrays[name][:3])})))
