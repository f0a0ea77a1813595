"""The phonetic alphabet: what is spelt how, what which arm reads, and rows that a verdict can be made of."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from pilab.contracts import PilabError, Scale, UnknownNameError
from pilab.data.web.text import never_asked
from pilab.evaluation.rollout import rate_of
from pilab.evaluation.verdict import NOT_TESTABLE, SEED, verdict
from pilab.experiments import Grid, _speller, alphabet
from pilab.experiments._notations import (
    BLANK,
    END,
    ENTRY,
    KITCHEN,
    NOTATIONS,
    OTHERS,
    PHONETIC,
    PLAIN,
    lexicon,
    new_sentences,
    write,
)
from pilab.experiments._speller import (
    ARMS,
    CHARACTERS,
    DICTIONARY,
    IDS,
    ONE,
    SCRAMBLED,
    SHOWN,
    THREE,
    WORDS,
    Speller,
    Writer,
    dictionary,
    document,
    learn,
    loss,
    size_of,
    windows,
)
from pilab.experiments.alphabet import (
    ELSEWHERE,
    EXPERIMENT,
    LOST,
    NEW_ALONE,
    NEW_WITHIN,
    OTHER,
    SENTENCES,
    SUITES,
    TAUGHT_ALONE,
    TAUGHT_WITHIN,
    error,
    examine,
    rates,
)

TEXTS = 2000


def texts(arm, seed=0, number=TEXTS):
    return [document(arm, seed, k) for k in range(number)]


def phonetic(texts):
    """Source and target of those that are in phonetic alphabet."""
    return [text[1:].removesuffix(END).split(ENTRY) for text in texts if text.startswith(PHONETIC.tag)]


@pytest.fixture(scope="module")
def small():
    """A few arms, hardly trained."""
    return {arm: learn(arm, 0, Scale.SMOKE, progress=False) for arm in (DICTIONARY, SCRAMBLED, ONE)}


@pytest.fixture(scope="module")
def rows(small):
    return {arm: examine(speller, 12) for arm, speller in small.items()}


@pytest.mark.parametrize(
    ("word", "spelt"),
    [
        ("fish", "ɸɪʃ"),  # a letter, a letter, a group
        ("chop", "ʈʃɔπ"),  # two signs for a group …
        ("six", "ʂɪκʂ"),  # … and for a letter
        ("spoon", "ʂπʊːɲ"),
        ("beet", "βɪːʈ"),
        ("rice", "ɹɪʂɛ"),  # c before e, i, y; else as k
        ("cook", "κʊːκ"),
        ("duck", "ðʊκ"),
        ("egg", "ɛɡ"),  # double letters sound once
        ("ginger", "ʒɪŋɛɹ"),
        ("quick", "κʍɪκ"),
        ("the fish", "θɛ ɸɪʃ"),
        ("", ""),
    ],
)
def test_the_rules(word, spelt):
    assert write(word) == spelt


@pytest.mark.parametrize("odd", ["Fish", "fish.", "naïve", "a\tb"])
def test_what_has_no_sign(odd):
    with pytest.raises(PilabError, match="has no sign; expected words of a … z"):
        write(odd)


def test_no_sign_is_shared_with_the_phonetic_alphabet():
    letters = set("abcdefghijklmnopqrstuvwxyz") | {PLAIN, ENTRY, END}
    for other in OTHERS:
        assert other.signs & (PHONETIC.signs | letters) == {BLANK}
        assert len(set(other.letters.values())) == 26
        assert write("steep") != other.write("steep") != "steep"
    tags = [notation.tag for notation in (PHONETIC, *OTHERS)]
    assert len({*tags, PLAIN}) == len(OTHERS) + 2 and not {*tags} & set().union(*(n.signs for n in OTHERS))
    assert OTHERS[0].write("beat it") == "BEAT IT"


def test_words_kept_back_are_nowhere_in_the_dictionary():
    for seed in range(3):
        words = lexicon(seed)
        assert not set(words.taught) & set(words.kept) and set(words.taught) | set(words.kept) >= set(KITCHEN)
        assert len(words.taught) > 2000 and 40 < len(words.kept) < 70 and not {"the", "it"} & set(words.kept)
        signs = {part for word in words.taught for part in PHONETIC.parts(word)}
        assert all(
            signs.issuperset(PHONETIC.parts(word)) for word in words.kept
        )  # they can be spelt from what is there
        read = {source for source, _ in phonetic(texts(DICTIONARY, seed))}
        assert read <= set(words.taught)
    assert lexicon(0) != lexicon(1)


def test_arms_differ_as_their_names_say():
    expected = {SCRAMBLED: "scrambled", ONE: "others", THREE: "others", WORDS: "running", SHOWN: "shown"}
    plain = dataclasses.asdict(ARMS[DICTIONARY])
    for name, changed in expected.items():
        assert {key for key, value in dataclasses.asdict(ARMS[name]).items() if plain[key] != value} == {changed}
    read = {arm: texts(arm) for arm in ARMS}
    assert read[DICTIONARY] == texts(DICTIONARY) != texts(DICTIONARY, seed=1)
    for arm, lines in read.items():
        changed = [{one[0], other[0]} for one, other in zip(lines, read[DICTIONARY], strict=True) if one != other]
        if arm in (SCRAMBLED, SHOWN):  # all else is the same text at the same place
            assert set().union(*changed) == {PHONETIC.tag} and len(changed) < 0.3 * TEXTS
        assert not any(PLAIN in tags for tags in changed)
        assert all(line.count(END) == 1 and line.endswith(END) for line in lines)
        # Sentences: of phonetic ones there are none, but in the arm that is shown them; of others, but in the arm without.
        assert any(BLANK in source for source, _ in phonetic(lines)) == (arm == SHOWN)
        other = [line for line in lines if line[0] in {n.tag for n in OTHERS}]
        assert any(BLANK in line for line in other) == (arm != WORDS)
        assert len({line[0] for line in other}) == ARMS[arm].others
        asked = [line[1:].removesuffix(END).split(ENTRY)[0] for line in lines if BLANK in line]
        assert asked and not any(map(never_asked, asked))


def test_pairs_are_true_or_none_is():
    true, false = dictionary(DICTIONARY, 0), dictionary(SCRAMBLED, 0)
    assert all(write(word) == spelt for word, spelt in true.items())
    assert list(true) == list(false) and sorted(true.values()) == sorted(false.values())
    assert not any(true[word] == spelt for word, spelt in false.items())
    one, other = phonetic(texts(DICTIONARY)), phonetic(texts(SCRAMBLED))
    assert [word for word, _ in one] == [word for word, _ in other]
    assert all(true[word] == spelt for word, spelt in one) and all(false[word] == spelt for word, spelt in other)


def test_new_sentences_are_new():
    asked = new_sentences(50, 0)
    assert asked == new_sentences(50, 0) != new_sentences(50, 1) and len(set(asked)) == 50
    assert all(map(never_asked, asked)) and {word for text in asked for word in text.split()} <= set(KITCHEN)
    assert any(word in text.split() for text in asked for word in lexicon(0).kept)


def characters(ids):
    return "".join(CHARACTERS[k - 1] for k in ids.tolist() if k)


def test_a_window_holds_whole_texts():
    window = next(windows(itertools.cycle(["!up=UP\n", ".go\n", "/a=æ\n", "!on=ON\n"]), 2, 14))
    assert [characters(row) for row in window.ids] == ["!up=UP\n.go\n", "/a=æ\n!on=ON\n"]
    assert characters(window.ids[window.counted]) == "UP\ngo\næ\nON\n"
    assert window.positions[0].tolist() == [*range(7), *range(4), 0, 0, 0, 0]
    assert window.texts[0].tolist() == [0] * 7 + [1] * 4 + [-1] * 4
    with pytest.raises(PilabError, match="a text of 7 characters; a row has 6"):
        next(windows(["!up=UP\n"], 1, 5))


def test_texts_do_not_see_their_neighbours():
    """The same text first in its row, and behind another: all the same to it."""
    torch.manual_seed(0)
    writer, found = Writer(size_of(Scale.SMOKE)), []
    for some, start in ((["!up=UP\n", ".go\n"], 0), (["!up=UP\n", ".to it\n"], 0), ([".to\n", "!up=UP\n"], 4)):
        window = next(windows(itertools.cycle(some), 1, 14))
        here = torch.zeros_like(window.counted)
        here[:, start + 4 : start + 7] = True
        assert characters(window.ids[here]) == "UP\n"
        found.append(loss(writer, dataclasses.replace(window, counted=here)).item())
    assert found == pytest.approx([found[0]] * 3, abs=1e-5)


def test_learning_lowers_the_loss_and_repeats_itself(small):
    for speller in small.values():
        assert len(speller.losses) == size_of(Scale.SMOKE).steps and np.isfinite(speller.losses).all()
        assert np.mean(speller.losses[-5:]) < 0.8 * speller.losses[0] and speller.seconds > 0
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    again = learn(DICTIONARY, 0, "smoke", progress=False)
    assert torch.get_num_threads() == before and torch.equal(torch.random.get_rng_state(), state)
    assert again.losses == small[DICTIONARY].losses and again.fingerprint == small[DICTIONARY].fingerprint
    assert small[SCRAMBLED].fingerprint != again.fingerprint
    assert small[SCRAMBLED].losses[0] == pytest.approx(again.losses[0], abs=0.05)  # equal weights, other spellings


def test_arms_start_from_equal_weights(monkeypatch):
    monkeypatch.setattr(_speller, "size_of", lambda scale: dataclasses.replace(size_of(Scale.SMOKE), steps=0))
    assert len({learn(arm, 0, Scale.SMOKE, progress=False).fingerprint for arm in ARMS}) == 1
    assert (
        learn(DICTIONARY, 1, Scale.SMOKE, progress=False).fingerprint
        != learn(DICTIONARY, 0, progress=False).fingerprint
    )


def test_unknown_names(small):
    with pytest.raises(UnknownNameError, match="unknown arm 'luck'; valid: dictionary, scrambled pairs"):
        learn("luck", 0, Scale.SMOKE, progress=False)
    with pytest.raises(UnknownNameError, match="unknown notation 'klingon'; valid: phonetic, capitals"):
        small[DICTIONARY].write("fish", "klingon")
    with pytest.raises(PilabError, match="'F' in 'Fish' has no sign"):
        small[DICTIONARY].write("Fish")


def test_texts_are_written_line_by_line(small):
    speller = small[DICTIONARY]
    asked = ["egg", "put salt into the wok"]
    first, second = speller.write_all(asked)
    assert speller.write("egg\n\nput salt into the wok") == f"{first}\n\n{second}" and END not in first + second
    assert speller.write_all([]) == [] and speller.write("") == ""


def test_a_cache_writes_what_the_whole_text_would(small):
    """Character by character with the cache, as without it; shorter and longer texts side by side."""
    speller = small[DICTIONARY]
    asked = ["egg", "put salt into the wok"]
    for text, line in zip(asked, speller.write_all(asked), strict=True):
        so_far = PHONETIC.tag + text + ENTRY
        for character in [*line[:12]]:
            ids = torch.tensor([[IDS[c] for c in so_far]])
            count = ids.shape[1]
            mask = torch.ones(count, count, dtype=torch.bool).tril()[None, None]
            logits, _ = speller.writer(ids, torch.arange(count).float()[None], mask)
            assert CHARACTERS[int(logits[0, -1].argmax()) - 1] == character
            so_far += character


def test_rows(small, rows):
    for arm, found in rows.items():
        assert {row.suite for row in found} == set(SUITES) and {row.arm for row in found} == {arm}
        by = {suite: [row for row in found if row.suite == suite] for suite in SUITES}
        assert len(by[SENTENCES]) == len(by[OTHER]) == 12
        assert len(by[TAUGHT_WITHIN]) + len(by[NEW_WITHIN]) == sum(
            len(row.instruction.split()) for row in by[SENTENCES]
        )
        assert len(by[TAUGHT_ALONE]) + len(by[NEW_ALONE]) == len(KITCHEN)
        assert {row.instruction for row in by[NEW_WITHIN]} <= {row.instruction for row in by[NEW_ALONE]}
        assert all(row.unit == ("word" if BLANK not in row.instruction else "sentence") for row in found)
        assert all((row.failure == "") == row.success and row.clusters[SEED] == 0 for row in found)
        assert all(isinstance(row.metrics["as taught"], bool) for row in by[TAUGHT_WITHIN] + by[TAUGHT_ALONE])
        assert all(row.metrics["error"] >= 0 and row.checkpoint == small[arm].fingerprint for row in by[SENTENCES])
        assert {row.clusters["notation"] for row in by[OTHER]} == {n.name for n in OTHERS[: ARMS[arm].others][:12]}
        assert list(rates(found)) == list(SUITES) and rates(found)[SENTENCES] == rate_of(by[SENTENCES])
        assert type(found[0]).from_json(found[0].to_json()) == found[0]


def test_arms_can_be_judged_on_the_same(rows):
    for suite in (SENTENCES, TAUGHT_WITHIN, NEW_WITHIN, TAUGHT_ALONE, NEW_ALONE):
        one, other = ([row for row in rows[arm] if row.suite == suite] for arm in (DICTIONARY, SCRAMBLED))
        told = verdict(
            "a dictionary is enough", one, other, scale=Scale.SMOKE, cluster="word" if "words" in suite else None
        )
        assert told.word == NOT_TESTABLE and told.n == len(one)


@pytest.fixture
def writes(monkeypatch):
    """Call it with f(text, notation): a speller that writes so."""

    def make(f):
        def write_all(self, texts, notation=PHONETIC.name):
            return [f(text, NOTATIONS[notation]) for text in texts]

        monkeypatch.setattr(Speller, "write_all", write_all)

    return make


def test_who_knows_the_rules_has_full_marks(small, writes):
    writes(lambda text, notation: notation.write(text))
    assert all(rate.rate == 1 for rate in rates(examine(small[DICTIONARY], 12)).values())


def test_who_forgets_a_word_loses_those_behind_it(small, writes):
    writes(lambda text, notation: notation.write(BLANK.join(text.split()[1:])))
    found = [row for row in examine(small[DICTIONARY], 12) if row.suite in (SENTENCES, TAUGHT_WITHIN)]
    assert not any(row.success for row in found)
    assert {row.failure for row in found if row.suite == SENTENCES} == {LOST}


def test_who_writes_in_capitals_writes_something_else(small, writes):
    writes(lambda text, notation: text.upper())
    found = [row for row in examine(small[DICTIONARY], 12) if row.suite == SENTENCES]
    assert {row.failure for row in found} == {ELSEWHERE}
    assert all(row.metrics["error"] > 0.5 for row in found)


def test_error():
    assert error("abc", "abc") == 0 and error("", "abc") == 1 and error("axc", "abc") == pytest.approx(1 / 3)
    assert error("xabc", "abc") == error("ab", "abc") == pytest.approx(1 / 3)


def test_from_nothing_to_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(alphabet, "ARMS", {name: ARMS[name] for name in (DICTIONARY, SHOWN)})
    grid = Grid(tmp_path / "runs", tmp_path / "rows.jsonl.gz", workers=0, progress=False)
    EXPERIMENT.conduct(grid, Scale.SMOKE)
    assert {(row.arm, row.clusters[SEED]) for row in grid.rows} == {(DICTIONARY, 0), (SHOWN, 0)}
    assert all("training_minutes" in row.metrics for row in grid.rows)


def test_the_plan():
    told = EXPERIMENT.plan(Scale.LAPTOP)
    assert "6 arms with 3 seeds" in told and "150 new sentences" in told and all(arm in told for arm in ARMS)
    assert "minute" not in EXPERIMENT.plan(Scale.SMOKE)
