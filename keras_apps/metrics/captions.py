"""What to report of a captioner, against several references a picture."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import regex

from keras_apps.errors import UserError

LONGEST_NGRAM = 4

_CLITIC = regex.compile(r"(?<=[\p{L}\p{N}])(n't|'(?:s|m|d|re|ve|ll))\b")
_WORD = regex.compile(r"'(?:s|m|d|re|ve|ll)\b|[\p{L}\p{N}\p{M}]+(?:[-'][\p{L}\p{N}\p{M}]+)*")


def caption_words(caption: str) -> list[str]:
    """The words of a caption as the COCO evaluation compares them: lower-cased and without punctuation.

    As in its Penn Treebank tokeniser, contractions and possessives are parted (`man | 's`, `do | n't`) and words with
    a hyphen are not (https://github.com/tylin/coco-caption, `pycocoevalcap/tokenizer`).
    """
    return _WORD.findall(_CLITIC.sub(r" \1", caption.lower().replace("\u2019", "'")))


def caption_report(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """BLEU-1 to 4, CIDEr-D and ROUGE-L over all references, and how varied the captions are.

    All are counted on `caption_words`. BLEU is that of the whole corpus, without smoothing and with the closest
    reference's length. distinct-n is the number of different n-grams over the number of words (Li 2016,
    https://arxiv.org/abs/1510.03055).

    Args:
        hypotheses: one caption a picture.
        references: one or more captions a picture, not necessarily equally many.

    Returns:
        Plain values: BLEU of 0 to 100, CIDEr-D of 0 to 10, ROUGE-L of 0 to 1; `vocabulary_used` is the number of
        different words in the captions, `mean_length` that of the words in one.

    Raises:
        UserError: where there is nothing to measure, or a picture has no reference.
    """
    if not hypotheses:
        raise UserError("there are no captions to measure; the data set is empty")
    for index, (_, captions) in enumerate(zip(hypotheses, references, strict=True)):
        if not captions:
            raise UserError(f"picture {index} has no caption to compare with; leave it out or give it one")
    words = [caption_words(hypothesis) for hypothesis in hypotheses]
    reference_words = [[caption_words(caption) for caption in captions] for captions in references]
    count = sum(map(len, words))
    distinct = {n: len({gram for each in words for gram in _ngrams(each, n)}) for n in (1, 2)}
    return {
        "examples": len(words),
        **{f"bleu_{n}": score for n, score in enumerate(corpus_bleu(words, reference_words), start=1)},
        "cider_d": cider_d(words, reference_words),
        "rouge_l": rouge_l(words, reference_words),
        "distinct_1": distinct[1] / max(count, 1),
        "distinct_2": distinct[2] / max(count, 1),
        "vocabulary_used": distinct[1],
        "mean_length": count / len(words),
    }


def corpus_bleu(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    """BLEU-1 to BLEU-4, of 0 to 100 (Papineni 2002, https://aclanthology.org/P02-1040).

    Args:
        hypotheses: the words of each caption.
        references: the words of its references.
    """
    from sacrebleu.metrics import BLEU

    # sacreBLEU wants the first, second ... references of all; None stands for one that is not there, where an empty
    # string would be a reference of no words and could be the closest in length.
    streams = itertools.zip_longest(*([" ".join(words) for words in several] for several in references))
    bleu = BLEU(tokenize="none", smooth_method="none", max_ngram_order=LONGEST_NGRAM, force=True)
    score = bleu.corpus_score([" ".join(words) for words in hypotheses], [list(stream) for stream in streams])
    return [
        BLEU.compute_bleu(
            score.counts[:order], score.totals[:order], score.sys_len, score.ref_len, "none", max_ngram_order=order
        ).score
        for order in range(1, LONGEST_NGRAM + 1)
    ]


def cider_d(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], sigma: float = 6.0
) -> float:
    """CIDEr-D, of 0 to 10 (Vedantam 2015, https://arxiv.org/abs/1411.5726).

    The mean over references and n-gram orders of the cosine between tf-idf vectors, the hypothesis' counts clipped to
    the reference's, times a gaussian of the difference in length. How rare an n-gram is comes from the references of
    the pictures measured: the score of a single picture is 0, and scores on different data can't be compared.

    Args:
        hypotheses: the words of each caption.
        references: the words of its references.
        sigma: of the gaussian, in words.
    """
    counts = [[_ngram_counts(words) for words in several] for several in references]
    pictures_with = Counter(gram for several in counts for gram in set().union(*several))
    log_pictures = math.log(len(counts))

    def vector(grams: Counter) -> tuple[dict[tuple[str, ...], float], list[float]]:
        weights = {gram: n * (log_pictures - math.log(max(1, pictures_with[gram]))) for gram, n in grams.items()}
        squares = [0.0] * LONGEST_NGRAM
        for gram, weight in weights.items():
            squares[len(gram) - 1] += weight**2
        return weights, [math.sqrt(square) for square in squares]

    scores = []
    for words, several, several_words in zip(hypotheses, counts, references, strict=True):
        weights, norms = vector(_ngram_counts(words))
        for grams, reference_words in zip(several, several_words, strict=True):
            reference_weights, reference_norms = vector(grams)
            products = [0.0] * LONGEST_NGRAM
            for gram in weights.keys() & reference_weights.keys():
                products[len(gram) - 1] += min(weights[gram], reference_weights[gram]) * reference_weights[gram]
            cosine = sum(p / (a * b) for p, a, b in zip(products, norms, reference_norms, strict=True) if p)
            penalty = math.exp(-((len(words) - len(reference_words)) ** 2) / (2 * sigma**2))
            scores.append(cosine * penalty / len(several))
    return 10 * sum(scores) / LONGEST_NGRAM / len(hypotheses)


def rouge_l(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], beta: float = 1.2
) -> float:
    """ROUGE-L, of 0 to 1 (Lin 2004, https://aclanthology.org/W04-1013), as the COCO evaluation counts it.

    The F measure of the longest common subsequence, of the greatest precision and the greatest recall that any of the
    references gives.

    Args:
        hypotheses: the words of each caption.
        references: the words of its references.
        beta: how much more recall counts than precision.
    """
    scores = []
    for words, several in zip(hypotheses, references, strict=True):
        common = [_longest_common_subsequence(words, reference) for reference in several]
        precision = max(common) / max(len(words), 1)
        recall = max(c / max(len(reference), 1) for c, reference in zip(common, several, strict=True))
        scores.append((1 + beta**2) * precision * recall / (recall + beta**2 * precision) if max(common) else 0.0)
    return float(np.mean(scores))


def _ngrams(words: Sequence[str], order: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(order)), strict=False)


def _ngram_counts(words: Sequence[str]) -> Counter:
    return Counter(gram for order in range(1, LONGEST_NGRAM + 1) for gram in _ngrams(words, order))


def _longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    lengths = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for index, other in enumerate(second, start=1):
            above = lengths[index]
            lengths[index] = diagonal + 1 if word == other else max(above, lengths[index - 1])
            diagonal = above
    return lengths[-1]


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report as a table for the terminal."""
    return [
        f"{'data':<26} {report['data']} ({report['split']}, {report['examples']} examples)",
        *(f"{f'BLEU-{order}':<26} {report[f'bleu_{order}']:.2f}" for order in range(1, LONGEST_NGRAM + 1)),
        f"{'CIDEr-D':<26} {report['cider_d']:.4f}",
        f"{'ROUGE-L':<26} {report['rouge_l']:.4f}",
        f"{'distinct-1, distinct-2':<26} {report['distinct_1']:.4f}, {report['distinct_2']:.4f}",
        f"{'vocabulary used':<26} {report['vocabulary_used']} words",
        f"{'mean length':<26} {report['mean_length']:.2f} words",
    ]
