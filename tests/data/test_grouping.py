import random
import re

import numpy as np
import pytest

from keras_apps.data.grouping import group, normalized, split, split_groups, tied

PLAIN = re.findall(
    r"\w+",
    "the film was seen by us in town and we thought about how slow some scenes were while others held the eye for long "
    "so nobody could say much more than that it has its days and its music which plays on and off until the end comes",
)


def review(rng, *names):
    """Ordinary words in random order, with names in between."""
    words = rng.choices(PLAIN, k=40)
    for name in names:
        words.insert(rng.randrange(1, len(words)), name)
    return " ".join(words) + "."


def test_duplicates_are_those_of_the_same_words():
    assert normalized("“Fine”, it's FINE_film!") == normalized("fine it's (fine) film") == "fine it s fine film"
    for one, other in (("👍", "👎"), ("दिल", "दाल"), ("ดี", "ดู"), ("?!", "..."), ("5€", "5$"), ("café", "caf")):
        assert normalized(one) != normalized(other) and normalized(one)


@pytest.fixture(scope="module")
def films():
    """600 reviews of 100 films; each has characters of its own, of whom a review names three."""
    rng = random.Random(5)
    casts = [[f"{chr(65 + i % 26)}{''.join(rng.choices('aeioulnr', k=7))}" for _ in range(4)] for i in range(100)]
    film_of = [i % 100 for i in range(600)]
    return film_of, [review(rng, *rng.sample(casts[film], 3)) for film in film_of]


def test_reviews_that_share_rare_names_are_together_and_others_apart(films):
    film_of, texts = films
    groups = group(texts)
    by_film = [set(groups[film::100]) for film in range(100)]
    assert all(len(found) == 1 for found in by_film)
    assert len(set.union(*by_film)) == 100


def test_names_are_recognised_in_any_case(films):
    _, texts = films
    changed = [
        text.lower() if index < 100 else text.upper() if index < 200 else text for index, text in enumerate(texts)
    ]
    groups = group(changed)
    # A few names are left with as many small as capital initials, and so are words like others.
    assert sum(groups[film] == groups[film + 100] == groups[film + 200] for film in range(100)) > 85


def test_duplicates_and_near_duplicates_are_together():
    rng = random.Random(1)
    texts = [review(rng) for _ in range(60)]
    texts += [texts[0].upper() + "!!", texts[1].replace("film", "movie") + " And so on.", "short", "Short.", "brief"]
    groups = group(texts)
    assert groups[0] == groups[60] and groups[1] == groups[61] and groups[62] == groups[63]
    assert len(set(groups)) == 62


@pytest.mark.parametrize("count, variants", [(5, 20), (4, 150)])
def test_near_duplicates_are_together_however_many(count, variants):
    rng = random.Random(3)
    texts = [" ".join(rng.choices([f"word{i}" for i in range(999)], k=30)) for _ in range(count)]
    groups = group([f"{text} new{i}" for text in texts for i in range(variants)]).reshape(count, variants)
    assert (groups == groups[:, :1]).all() and len(set(groups[:, 0])) == count


def test_a_phrase_and_the_sentence_it_is_from_are_together():
    sentence = "a gentle unhurried comedy about two brothers who inherit a hotel nobody wants"
    groups = group(
        [sentence, "about two brothers who inherit a hotel", "two brothers", "a gentle drama", "nobody cares"]
    )
    assert groups[0] == groups[1] and len(set(groups)) == 4


def test_topics_that_chain_do_not_make_one_group():
    rng = random.Random(2)
    texts = [review(rng, f"Name{i}x", f"Name{i + 1}x", f"Name{i + 2}x", f"Name{i + 3}x") for i in range(500)]
    sizes = np.bincount(group(texts))
    assert 20 < sizes.max() <= 60


@pytest.mark.parametrize(
    ("texts", "groups"),
    [([], 0), ([""], 1), (["", " ", "?", "! ", "!"], 3), (["a"], 1), (["word " * 3] * 5, 1)],
)
def test_degenerate_texts(texts, groups):
    found = group(texts)
    assert len(found) == len(texts) and len(set(found)) == groups


def test_the_split_keeps_groups_fractions_and_classes(films):
    film_of, texts = films
    labels = ["pos" if (index * 7) % 10 < 3 else "neg" for index in range(600)]
    parts = split(texts, labels, {"validation": 0.1, "test": 0.2}, seed=3)
    assert sorted(sum(parts.values(), [])) == list(range(600))
    assert [len(parts[name]) for name in ("train", "validation", "test")] == pytest.approx([420, 60, 120], abs=6)
    for rows in parts.values():
        assert np.mean([labels[row] == "pos" for row in rows]) == pytest.approx(0.3, abs=0.06)
    films_of = {name: {film_of[row] for row in rows} for name, rows in parts.items()}
    assert not films_of["train"] & films_of["validation"] | films_of["train"] & films_of["test"]
    assert not films_of["validation"] & films_of["test"]


def test_the_split_is_drawn_by_the_seed(films):
    _, texts = films
    labels = ["ab"[index % 2] for index in range(600)]
    first, again, other = (split(texts, labels, {"test": 0.1}, seed) for seed in (1, 1, 2))
    assert first == again
    assert set(first["test"]) != set(other["test"])
    assert first["train"] != sorted(first["train"])


def test_small_data_still_gets_every_part():
    parts = split_groups(range(5), list("ababa"), {"validation": 0.1, "test": 0.1}, seed=0)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [3, 1, 1]


@pytest.mark.parametrize("rows", [2, 4, 5, 15])
def test_many_classes_of_few_rows_still_get_their_fractions(rows):
    labels = [str(index // rows) for index in range(200 * rows)]
    parts = split_groups(range(len(labels)), labels, {"validation": 0.1, "test": 0.1}, seed=0)
    assert [len(part) for part in parts.values()] == pytest.approx([160 * rows, 20 * rows, 20 * rows], rel=0.05)
    assert {labels[row] for row in parts["train"]} == set(labels)


def test_a_part_far_below_its_fraction_is_warned_of(caplog):
    split_groups([0] * 90 + list(range(1, 11)), ["a"] * 100, {"test": 0.3}, seed=0)
    assert "the test part has 10 of 100 rows, less than half of its fraction 0.3" in caplog.text


def test_one_group_is_not_torn():
    parts = split_groups([7] * 50, list("ab") * 25, {"test": 0.1}, seed=0)
    assert len(parts["train"]) == 50 and parts["test"] == []


def test_rows_are_tied_directly_and_through_others():
    numbers = tied([["a"], ["b", 1], [], ["c", 1], ["a", "d"], ["d"], []])
    assert [numbers.index(number) for number in numbers] == [0, 1, 2, 1, 0, 0, 6]
    assert tied([]) == []
