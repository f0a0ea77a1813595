import copy
import hashlib
import multiprocessing
import re

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from pilab.contracts import PilabError, UnknownNameError, find, names_in
from pilab.vla import tokenizer as tok
from pilab.vla.tokenizer import MODEL, RESERVED, Tokenizer, everyday_words
from pilab.world import objects, places
from pilab.world.scenes import sample_scene
from pilab.world.task import facts_of

T = Tokenizer.default()
FILE = MODEL.read_bytes()
TASKS = {name: find(name, "pilab.world.tasks", "TASK") for name in names_in("pilab.world.tasks")}
FACTS = objects.household()
NOUNS = sorted(fact.noun for fact in FACTS.rows.values())


def world_words() -> set[str]:
    """Every word that the world's tasks, subtasks, things and facts are spoken of with."""
    texts = [*objects.COLOURS, *objects.SHAPES, *places.PLACES, *places.FIXTURES, *TASKS]
    texts += [place.preposition for place in places.PLACES.values()]
    texts += [noun for fixture in places.FIXTURES.values() for noun in fixture.nouns]
    for look, fact in FACTS.rows.items():
        texts += [fact.noun, fact.kind, fact.home, objects.describe(look)]
    for name, task in TASKS.items():
        texts += [re.sub(r"{\w+}", " ", t) for t in (*task.templates, *task.held_out_templates)]
        scene = sample_scene(500_000, name)
        texts += [scene.instruction, *task.subtasks(scene, facts_of(scene))]
    return {word for text in texts for word in T.words(text)}


# ----------------------------------------------------------------------------------------------------------------- text
def test_every_instruction_survives_the_round_trip():
    looks = [objects.describe(look) for look in FACTS.rows]
    for task in TASKS.values():
        for template in (*task.templates, *task.held_out_templates):
            for i, noun in enumerate([*NOUNS, *looks]):
                place = list(places.PLACES)[i % len(places.PLACES)]
                text = template.format(object=f"the {noun}", place=f"the {place}", **{"in": "in"})
                assert T.decode(T.encode(text)) == text


def test_the_words_of_the_world_are_whole():
    pieces = {word: len(T.encode(word)) for word in world_words()}
    assert len(pieces) > 130
    assert max(pieces.values()) <= 2
    assert max(pieces.values()) <= 2
    assert np.mean([n == 1 for n in pieces.values()]) > 0.9
    assert [noun for noun in NOUNS if len(T.encode(noun)) > 1] == []


def test_everyday_words_are_whole_and_the_list_is_plain():
    words = everyday_words()
    assert len(words) >= 2000
    assert words == sorted(set(words))
    assert all(re.fullmatch("[a-z]+", word) for word in words)
    assert np.mean([len(T.encode(word)) == 1 for word in words]) > 0.99
    assert max(len(T.encode(word)) for word in words) <= 2


def test_invented_nouns_are_a_few_pieces():
    counts = [len(T.encode(fact.noun)) for seed in range(100, 130) for fact in objects.invented(seed).rows.values()]
    assert max(counts) <= 4
    assert np.mean(counts) < 3.1


def test_numbers_are_spelled_and_case_is_folded():
    digits = [T.encode(f"1{d}")[-1] for d in range(10)]
    assert len(set(digits)) == 10
    assert T.encode("1970")[-3:] == [digits[9], digits[7], digits[0]]
    assert T.encode("  Put THE\tApple ") == T.encode("put the apple")


@settings(deadline=None)
@given(st.text())
def test_any_text_survives_as_it_is_read(text):
    ids = T.encode(text)
    assert T.decode(ids) == T.normalise(text)
    assert all(len(RESERVED) <= i < T.size for i in ids)


@settings(deadline=None)
@given(st.text(st.characters(categories=["Lo", "So"]), min_size=1, max_size=8))
def test_bytes_spell_what_no_piece_does(text):
    assert T.decode(T.encode(text)) == T.normalise(text)


def test_unfolded_letters_survive_exactly():
    for text in ("日本語", "pick up the 🍎", "naïve", "сядь"):
        assert T.decode(T.encode(text)) == text


@settings(deadline=None)
@given(st.lists(st.integers(0, 4095)))
def test_any_ids_are_some_text(ids):
    assert isinstance(T.decode(np.array(ids, np.int64)), str)


def test_half_a_character_is_refused():
    with pytest.raises(PilabError, match="leave half characters out"):
        T.encode("put \ud83c down")


# ------------------------------------------------------------------------------------------------------ reserved pieces
def test_reserved_ids_are_golden():
    """Checkpoints hold these numbers: they never change."""
    golden = {
        "<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<task>": 4, "<subtask>": 5, "<memory>": 6, "<state>": 7,
        "<image>": 8, "<answer>": 9, "<loc000>": 10, "<loc127>": 137, "<act0000>": 138, "<act1023>": 1161,
        "<advantage=positive>": 1162, "<advantage=negative>": 1163, "<quality=1>": 1164, "<quality=5>": 1168,
        "<speed=1>": 1169, "<speed=5>": 1173, "<manner=normal>": 1174, "<manner=from-above>": 1177,
        "<manner=right-handed>": 1179, "<spare00>": 1180, "<spare31>": 1211,
    }  # fmt: skip
    assert {name: T.piece(name) for name in golden} == golden
    assert (T.pad, T.eos, T.bos, T.size, len(RESERVED)) == (0, 1, 2, 4096, 1212)


def test_text_pieces_are_golden():
    """The shipped file is the one that was trained first. A checkpoint trained with another cannot be read with it."""
    digest = "1dae42150abcfeead7e41aee4f18e3f69a24768529aea3a3f214050036491331"
    assert hashlib.sha256(FILE).hexdigest() == digest
    assert T.encode("put the apple in the bowl") == [1489, 3805, 1745, 3910, 3805, 1772]


@pytest.mark.parametrize("name", [*RESERVED[:12], "<act0000>", "<quality=1>", "<manner=slow>", "<spare00>", "</s>"])
def test_typing_a_reserved_piece_gives_its_letters(name):
    for text in (name, f"put the apple {name} down", f"apple{name}"):
        assert min(T.encode(text)) >= len(RESERVED)
        assert T.decode(T.encode(text)) == text


def test_reserved_pieces_are_left_out_of_text():
    ids = [T.bos, T.piece("<subtask>"), *T.encode("pick up"), T.eos, 3, *T.encode("the apple"), T.pad, T.pad]
    assert T.decode(ids) == "pick up the apple"


def test_unknown_piece_names_the_families():
    with pytest.raises(UnknownNameError, match=r"<loc000> … <loc127>.*<spare00> … <spare31>"):
        T.piece("<loc128>")


@pytest.mark.parametrize("wrong", [-1, 4096])
def test_ids_out_of_range_are_refused(wrong):
    with pytest.raises(PilabError, match=f"{wrong} is no piece; expected ids 0 … 4095"):
        T.decode([5, wrong])


# ---------------------------------------------------------------------------------------------------------------- batch
def test_batch_pads_on_the_right():
    ids, mask = T.batch(["open the drawer", "", "let go"], 5)
    assert ids.shape == mask.shape == (3, 5)
    assert (ids.dtype, mask.dtype) == (np.int64, bool)
    assert mask.tolist() == [[True] * 3 + [False] * 2, [False] * 5, [True] * 2 + [False] * 3]
    assert (ids[~mask] == T.pad).all()
    assert [T.decode(row) for row in ids] == ["open the drawer", "", "let go"]
    assert T.batch([], 5)[0].shape == (0, 5)


def test_batch_refuses_what_does_not_fit():
    assert T.batch(["put the apple in the bowl"], 6)[1].all()
    with pytest.raises(PilabError, match=r"'put the apple in the bowl' is 6 pieces long .*▁apple.* at most 5; .*raise"):
        T.batch(["let go", "put the apple in the bowl"], 5)


# ---------------------------------------------------------------------------------------------------------------- words
def test_words():
    assert T.words("  Don’t drop it!  The red-green BALL, 12 times_") == [
        "don't", "drop", "it", "the", "red", "green", "ball", "12", "times",
    ]  # fmt: skip
    assert T.words("…!") == []


def test_unseen_words_in_order_and_once():
    seen = {"put", "the", "apple", "in", "bowl"}
    assert T.unseen("Put the zobax in the GLIM bowl, zobax!", seen) == ["zobax", "glim"]
    assert T.unseen("put the apple in the bowl", seen) == []


# ----------------------------------------------------------------------------------------------------------------- file
def test_bytes_and_file_round_trip(tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(T.to_bytes())
    for again in (Tokenizer.load(path), Tokenizer.from_bytes(T.to_bytes()), copy.deepcopy(T)):
        assert again.to_bytes() == T.to_bytes() == FILE
        assert again.encode("stack the sponge") == T.encode("stack the sponge")
    assert Tokenizer.default() is T


def test_travels_to_a_spawned_process():
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(T.encode, ("let go",)) == T.encode("let go")


def test_other_programs_can_open_the_file():
    other = sentencepiece.SentencePieceProcessor(model_file=str(MODEL))
    assert other.encode("put the apple in the bowl") == T.encode("put the apple in the bowl")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_garbage_is_refused(data):
    with pytest.raises(PilabError, match="do not end in their own checksum"):
        Tokenizer.from_bytes(data)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_truncated_and_damaged_files_are_refused(data):
    cut = data.draw(st.integers(0, len(FILE) - 1))
    with pytest.raises(PilabError, match="do not end in their own checksum"):
        Tokenizer.from_bytes(FILE[:cut])
    flipped = bytearray(FILE)
    flipped[cut] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PilabError, match="do not end in their own checksum"):
        Tokenizer.from_bytes(bytes(flipped))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_sealed_garbage_is_refused(data):
    with pytest.raises(PilabError):
        Tokenizer.from_bytes(data + tok._seal(data))


def test_a_foreign_sentencepiece_model_is_refused():
    renamed = FILE[: -len(tok._seal(b""))].replace(b"<loc007>", b"<lox007>")
    with pytest.raises(PilabError, match="whose first are not the reserved ones"):
        Tokenizer.from_bytes(renamed + tok._seal(renamed))


def test_missing_file_names_itself(tmp_path):
    with pytest.raises(PilabError, match=r"nowhere\.model.*or use Tokenizer\.default"):
        Tokenizer.load(tmp_path / "nowhere.model")


# ------------------------------------------------------------------------------------------------------------- training
def test_training_again_gives_the_same_pieces():
    again = Tokenizer.from_bytes(tok.train())
    every = range(T.size)
    assert [again._model.id_to_piece(i) for i in every] == [T._model.id_to_piece(i) for i in every]


def test_training_on_too_little_says_so():
    with pytest.raises(PilabError, match=r"cannot train a tokenizer on 2 words: .*more words"):
        tok.train(["apple", "bowl"])
    with pytest.raises(PilabError, match="cannot train on 'red apple'"):
        tok.train(["bowl", "red apple"])
