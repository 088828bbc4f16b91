import time

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from keras_apps.data import demo_reviews
from keras_apps.data.demo_reviews import generate, is_held_out


@pytest.fixture(scope="module")
def parts():
    return generate(0)


def test_sizes_balance_and_no_repeats(parts):
    assert {name: len(reviews) for name, reviews in parts.items()} == demo_reviews.SIZES
    for reviews in parts.values():
        assert sum(review.label == "pos" for review in reviews) * 2 == len(reviews)
    texts = [review.text for reviews in parts.values() for review in reviews]
    assert len(set(texts)) == len(texts)
    assert all(5 <= len(text.split()) <= 60 for text in texts)


def test_the_seed_decides(parts):
    started = time.monotonic()
    assert generate(0) == parts
    assert time.monotonic() - started < 5
    assert generate(1)["train"] != parts["train"]


def test_each_test_review_holds_a_pair_that_training_never_shows(parts):
    shown = {pair for name in ("train", "validation") for review in parts[name] for pair in review.pairs}
    assert not any(is_held_out(*pair) for pair in shown)
    assert all(review.pairs - shown for review in parts["test"])
    words = {word for pair in shown for word in pair}
    assert all(word in words for review in parts["test"] for pair in review.pairs for word in pair)


@pytest.mark.parametrize(
    "text, label",
    [
        ("The acting is far from", "either"),
        ("hardly a dull", "pos"),
    ],
)
def test_negation_turns_a_word_round(parts, text, label):
    found = [review.label for part in parts.values() for review in part if text in review.text and review.text.count(".") == 1]
    assert found


@pytest.mark.parametrize("words, least, most", [(1, 0.52, 0.8), (2, 0.52, 0.9)])
def test_counting_words_does_not_do(parts, words, least, most):
    vectorizer = CountVectorizer(ngram_range=(1, words))
    train = vectorizer.fit_transform(review.text for review in parts["train"])
    model = LogisticRegression(max_iter=300).fit(train, [review.label for review in parts["train"]])
    test = vectorizer.transform(review.text for review in parts["test"])
    score = model.score(test, [review.label for review in parts["test"]])
    assert least < score < most
