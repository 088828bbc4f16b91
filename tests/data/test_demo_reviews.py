import re
from collections import Counter

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
    assert generate(0) == parts
    assert generate(1)["train"] != parts["train"]


def test_each_test_review_holds_a_pair_that_training_never_shows(parts):
    shown = {pair for name in ("train", "validation") for review in parts[name] for pair in review.pairs}
    assert not any(is_held_out(*pair) for pair in shown)
    assert all(review.pairs - shown for review in parts["test"])
    words = {word for pair in shown for word in pair}
    assert all(word in words for review in parts["test"] for pair in review.pairs for word in pair)


def judge(sentence):
    """Works out a sentence's polarity from its text alone, by the rules that the module states; None for a fact."""
    sentence = sentence.lower()
    if ", but " in sentence:
        clause = sentence.split(", but ")[1]
    elif re.match("(although|even though|while|despite) ", sentence):
        clause = sentence.split(", ", 1)[1]
    else:
        clause = re.split(", (?:although|even though) ", sentence)[0]
    if not re.match(r"(the \w+ is|this is|it is|what we get is|'.*' is|i (?!saw)) ?", clause):
        return None
    good, bad = (
        re.search(rf"\b({'|'.join([*demo_reviews._ADJECTIVES[polarity], *verbs])})", clause)
        for polarity, verbs in (
            (True, ["enjoy", "love", "admire", "like"]),
            (False, ["hate", "regret", "dislike", "resent"]),
        )
    )
    turned = re.search(r"\b(not|never|hardly|far from|anything but|by no means|in no way|didn't)\b", clause)
    return None if good is bad is None else (good is not None) != (turned is not None)


def test_labels_follow_from_the_rules(parts):
    forms = Counter()
    for review in parts["train"] + parts["test"]:
        sentences = re.findall(r"[^.]+", review.text)
        opinions = {judge(sentence.strip()) for sentence in sentences} - {None}
        assert opinions == {review.label == "pos"}, review.text
        forms.update(re.findall(r", but |^Although|, although|Despite|hardly|far from|tells of", review.text))
    assert len(forms) == 7 and min(forms.values()) > 50


@pytest.mark.parametrize("words, least, most", [(1, 0.52, 0.8), (2, 0.52, 0.9)])
def test_counting_words_does_not_do(parts, words, least, most):
    vectorizer = CountVectorizer(ngram_range=(1, words))
    train = vectorizer.fit_transform(review.text for review in parts["train"])
    model = LogisticRegression(max_iter=300).fit(train, [review.label for review in parts["train"]])
    test = vectorizer.transform(review.text for review in parts["test"])
    score = model.score(test, [review.label for review in parts["test"]])
    assert least < score < most
