import json
import math
import random
from collections import Counter

import pytest

from keras_apps.errors import UserError
from keras_apps.metrics.captions import caption_report, caption_words, cider_d, corpus_bleu, report_lines, rouge_l


def split(*captions):
    return [caption.split() for caption in captions]


@pytest.mark.parametrize(
    "caption, words",
    [
        ("A man's T-shirt, (red) -- isn't it?", "a man 's t-shirt red is n't it"),
        ("a man 's dog .", "a man 's dog"),
        ("He said 'stop' ; they’re 3 .", "he said stop they 're 3"),
        ("Ein Mädchen… «läuft»!", "ein mädchen läuft"),
        ("हिन्दी में", "हिन्दी में"),
        (" ... ", ""),
    ],
)
def test_words(caption, words):
    assert caption_words(caption) == words.split()


def test_bleu_by_hand():
    # Papineni's example: "the" counts at most as often as in one reference.
    hypotheses = split("the the the the the the the")
    references = [split("the cat is on the mat", "there is a cat on the mat")]
    # The closest length is 7, that of the second: no brevity penalty.
    assert corpus_bleu(hypotheses, references) == pytest.approx([100 * 2 / 7, 0, 0, 0])


def test_bleu_of_different_numbers_of_references():
    hypotheses = split("a b c", "a b")
    references = [split("a b x y"), split("a c d e f", "a b", "b")]
    # Matches: a b of 3 and a b of 2; ab of 2 and ab of 1. Closest lengths: 4, and 2. The second picture's two further
    # references are nothing to the first, whose closest length would be 1 or 0 if they were.
    penalty = math.exp(1 - 6 / 5)
    expected = [penalty * 4 / 5, penalty * math.sqrt(4 / 5 * 2 / 3), 0, 0]
    assert corpus_bleu(hypotheses, references) == pytest.approx([100 * each for each in expected])


def test_an_absent_reference_is_not_one_of_no_words():
    # As close to 0 words as to 2, and of two equally close lengths the shorter counts.
    scores = corpus_bleu(split("a", "b"), [split("a x"), split("b", "b b b")])
    assert scores[0] == pytest.approx(100 * math.exp(1 - 3 / 2))


def test_cider_by_hand():
    # Two pictures; "a" is in both and weighs nothing, every other word log 2.
    hypotheses, references = split("a dog", "a cat"), [split("a dog"), split("a red cat")]
    # First: 1-grams (a 0, dog 1) and 2-grams (a dog 1) agree: (1 + 1 + 0 + 0) / 4.
    # Second: cat of (red, cat), cosine 1 / sqrt 2; no 2-gram; one word too few.
    second = 1 / math.sqrt(2) / 4 * math.exp(-1 / (2 * 36))
    assert cider_d(hypotheses, references) == pytest.approx(10 * (1 / 2 + second) / 2)


def test_cider_of_one_picture_is_nothing_and_of_clipped_words_little():
    assert cider_d(split("a dog"), [split("a dog")]) == 0
    references = [split("big dog"), split("red cat")]
    # Repeating a word gains nothing beyond what one reference holds: 1 * 1 / (3 * sqrt 2) of 1-grams alone.
    expected = 10 / 4 * 1 / (3 * math.sqrt(2)) * math.exp(-1 / 72) / 2
    assert cider_d(split("dog dog dog", "none"), references) == pytest.approx(expected)


def test_rouge_by_hand():
    # Common subsequence with the first: police the gunman, 3 of 4 and 3 of 5; with the second: the gunman police ...
    # only 2 of 4 and 2 of 2. The greatest of each: precision 3/4, recall 1.
    hypotheses, references = split("police kill the gunman"), [split("police have killed the gunman", "the gunman")]
    beta2 = 1.2**2
    assert rouge_l(hypotheses, references) == pytest.approx((1 + beta2) * 0.75 * 1 / (1 + beta2 * 0.75))
    assert rouge_l(split("x"), [split("y")]) == 0
    assert rouge_l([[]], [split("y")]) == 0


def plain_cider(hypotheses, references, sigma=6.0):
    """The paper's formula, written as it stands there: every vector over the whole vocabulary."""

    def grams(words, n):
        return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]

    total = 0.0
    for n in (1, 2, 3, 4):
        vocabulary = sorted(
            {g for words in hypotheses for g in grams(words, n)}
            | {g for several in references for words in several for g in grams(words, n)}
        )
        idf = {
            g: math.log(len(references) / max(1, sum(any(g in grams(w, n) for w in several) for several in references)))
            for g in vocabulary
        }
        for words, several in zip(hypotheses, references, strict=True):
            for reference in several:
                ours = [grams(words, n).count(g) * idf[g] for g in vocabulary]
                theirs = [grams(reference, n).count(g) * idf[g] for g in vocabulary]
                product = sum(min(a, b) * b for a, b in zip(ours, theirs, strict=True))
                norm = math.sqrt(sum(a * a for a in ours)) * math.sqrt(sum(b * b for b in theirs))
                if norm:
                    penalty = math.exp(-((len(words) - len(reference)) ** 2) / (2 * sigma**2))
                    total += 10 * penalty * product / norm / len(several) / 4
    return total / len(hypotheses)


def plain_rouge(hypotheses, references):
    def longest(a, b):
        if not a or not b:
            return 0
        if a[-1] == b[-1]:
            return longest(a[:-1], b[:-1]) + 1
        return max(longest(a[:-1], b), longest(a, b[:-1]))

    scores = []
    for words, several in zip(hypotheses, references, strict=True):
        precision = max(longest(words, r) / len(words) for r in several)
        recall = max(longest(words, r) / len(r) for r in several)
        scores.append(2.44 * precision * recall / (recall + 1.44 * precision) if precision else 0)
    return sum(scores) / len(scores)


def plain_bleu(hypotheses, references, order):
    log_precision, length, reference_length = 0.0, 0, 0
    for n in range(1, order + 1):
        matches = total = 0
        for words, several in zip(hypotheses, references, strict=True):
            counts = [Counter(tuple(w[i : i + n]) for i in range(len(w) - n + 1)) for w in [words, *several]]
            total += sum(counts[0].values())
            matches += sum(min(k, max(c[g] for c in counts[1:])) for g, k in counts[0].items())
        if not matches:
            return 0.0
        log_precision += math.log(matches / total) / order
    for words, several in zip(hypotheses, references, strict=True):
        length += len(words)
        reference_length += min((abs(len(r) - len(words)), len(r)) for r in several)[1]
    return 100 * math.exp(log_precision + min(0, 1 - reference_length / length))


def test_against_plain_implementations():
    draw = random.Random(0)
    sentence = lambda: [draw.choice("abcdefg") for _ in range(draw.randint(1, 7))]  # noqa: E731
    for _ in range(5):
        references = [[sentence() for _ in range(draw.randint(1, 4))] for _ in range(12)]
        hypotheses = [sentence() for _ in references]
        assert cider_d(hypotheses, references) == pytest.approx(plain_cider(hypotheses, references))
        assert rouge_l(hypotheses, references) == pytest.approx(plain_rouge(hypotheses, references))
        expected = [plain_bleu(hypotheses, references, order) for order in (1, 2, 3, 4)]
        assert corpus_bleu(hypotheses, references) == pytest.approx(expected)


def test_report():
    hypotheses = ["A dog runs.", "a dog runs", "a cat"]
    references = [["A dog runs!", "The dog."], ["a dog runs"], ["A cat.", "a cat", "one cat"]]
    report = caption_report(hypotheses, references)
    assert report["bleu_1"] == report["bleu_2"] == pytest.approx(100) and report["bleu_4"] == 0
    assert report["rouge_l"] == pytest.approx(1)
    # a, dog, runs, cat and a dog, dog runs, a cat in eight words.
    assert (report["distinct_1"], report["distinct_2"]) == (4 / 8, 3 / 8)
    assert report["vocabulary_used"] == 4 and report["mean_length"] == pytest.approx(8 / 3)
    assert json.loads(json.dumps(report)) == report
    text = "\n".join(report_lines(report | {"data": "demo", "split": "test"}))
    assert "BLEU-4                     0.00" in text and f"{report['cider_d']:.4f}" in text and "3 examples" in text


def test_nothing_to_measure_is_said():
    with pytest.raises(UserError, match="no captions"):
        caption_report([], [])
    with pytest.raises(UserError, match="picture 1 has no caption"):
        caption_report(["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match="shorter|longer"):
        caption_report(["a", "b"], [["a"]])


def test_silent_captions_score_nothing():
    report = caption_report(["", "..."], [["a dog"], ["a cat"]])
    assert all(
        report[name] == 0 for name in ("bleu_1", "cider_d", "rouge_l", "distinct_1", "distinct_2", "mean_length")
    )
