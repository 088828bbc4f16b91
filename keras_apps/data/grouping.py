"""Splits that keep what belongs together on one side: duplicates, near-duplicates, and texts on one topic.

Reviews of one film share the names of its characters and actors, and a model that has seen those names with a polarity
is flattered by a validation split drawn by rows. What film a text is on is not known, but names that are rare in the
whole data give it away where two texts share several of them. Where a text has no names, as in short phrases, what is
left is the grouping of near-duplicates.
"""

from __future__ import annotations

import array
import logging
import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

import numpy as np

logger = logging.getLogger(__name__)

# What more texts share than this says nothing of a topic.
_MAX_SHARING = 60
# A name that only one text has would count 1, one that all have 0; so two texts are on one topic if they share two.
_TOPIC_SCORE = 1.4
# Topics chain through actors and places; without a cap half of the reviews end in one group.
_MAX_GROUP = 60
# Rows of a class to a part; where there are fewer, they don't add up to the part's size by themselves.
_FEW = 2
_SHINGLE = 5
_SAME_SHINGLES = 0.5
_MAX_PAIRS = 20_000_000
_MAX_CHARACTERS = 150_000_000
_TOKEN = re.compile(r"\w[\w'’]*|[.!?:\"“”()<>]")
# White space and punctuation; what is left are words in any script, with their vowel signs, and pictographs.
_BETWEEN = re.compile(
    r"[\s!-/:-@\[-`{-~\u00a1-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u060c\u061b\u061f\u0964\u0965"
    r"\u2000-\u206f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+"
)


def split(
    texts: Sequence[str], labels: Sequence[str], fractions: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Deals row numbers out to the parts named in `fractions` and to `train`, groups whole and classes in proportion.

    The same arguments give the same parts; each part's order is drawn by the seed.
    """
    groups = group(texts) if fractions else np.arange(len(texts))
    return split_groups(groups, labels, fractions, seed)


def split_groups(
    groups: Sequence[int], labels: Sequence[str], fractions: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Does the same for groups that are known: `groups` has a number for each row."""
    rng = np.random.default_rng(seed)
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    classes, class_of = np.unique(np.asarray(labels), return_inverse=True)
    sizes = np.zeros((group_of.max(initial=-1) + 1, len(classes)))
    np.add.at(sizes, (group_of, class_of), 1)
    parts = ["train", *fractions]
    share = np.array([1 - sum(fractions.values()), *fractions.values()])[:, None]
    few = share.min() * len(group_of) < _FEW * len(classes)
    if few:
        # Rounded class by class a part may come out empty or twice its size, which then counts as much as all classes.
        sizes = np.column_stack([sizes, len(classes) * sizes.sum(1)])
    target = np.maximum(share * sizes.sum(0), 1e-9)
    counts = np.zeros_like(target)
    part_of = np.zeros(len(sizes), int)
    # Large groups first, so that the small ones can even out what they leave.
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order].sum(1), kind="stable")]
    for index in order:
        size = sizes[index]
        # What the squared distance from the target, relative to it, would grow by.
        growth = ((2 * (counts - target) + size) * size / target).sum(1)
        # A class that the model doesn't know can't be scored.
        is_first = few and size[counts[0] == 0].any()
        part_of[index] = 0 if is_first else np.argmin(growth)
        counts[part_of[index]] += size
    for part in range(1, len(parts)):
        in_train = order[part_of[order] == 0]
        if not (part_of == part).any() and len(in_train) > 1:
            part_of[in_train[-1]] = part
    rows = rng.permutation(len(group_of))
    dealt = {name: rows[part_of[group_of[rows]] == part].tolist() for part, name in enumerate(parts)}
    for name, fraction in fractions.items():
        if 0 < len(dealt[name]) < fraction * len(rows) / 2:
            logger.warning(
                "the %s part has %d of %d rows, less than half of its fraction %g: rows that belong together are many, "
                "or classes small",
                name,
                len(dealt[name]),
                len(rows),
                fraction,
            )
    return dealt


def group(texts: Sequence[str]) -> np.ndarray:
    """Returns a number for each text, the same for those that must not be separated."""
    started = time.monotonic()
    numbers: dict[str, int] = {}
    group_of = np.array([numbers.setdefault(normalized(text), len(numbers)) for text in texts], int)
    if sum(map(len, texts)) > _MAX_CHARACTERS:
        logger.warning("the texts are too many to look for near-duplicates and topics; only duplicates stay together")
        return group_of
    _, first = np.unique(group_of, return_index=True)
    count = len(first)
    tokens = _Tokens([texts[index] for index in first])

    doc, shingle = tokens.shingles()
    lengths = np.bincount(doc, minlength=count)
    links = []
    for left, right, shared in (_sharing(doc, shingle, count, lambda sharing: 1.0), _neighbours(doc, shingle, count)):
        near = np.flatnonzero(shared >= _SAME_SHINGLES * np.minimum(lengths[left], lengths[right]))
        links.append((left[near], right[near], np.full(len(near), count)))

    left, right, shared = _sharing(*tokens.names(), count, lambda sharing: 1 - math.log(sharing, count))
    topic = np.flatnonzero(shared >= _TOPIC_SCORE)
    topic = topic[np.argsort(-shared[topic], kind="stable")]
    links.append((left[topic], right[topic], np.full(len(topic), min(_MAX_GROUP, max(2, count // 10)))))

    left, right, largest = map(np.concatenate, zip(*links, strict=True))
    merged = merge(left, right, count, largest)
    took = time.monotonic() - started
    logger.info("found %d groups in %d texts in %.1f s", len(set(merged.tolist())), len(texts), took)
    return merged[group_of]


def tied(ties: Sequence[Collection[Hashable]]) -> list[int]:
    """Returns a number for each row, the same for those that have a tie in common, directly or through others."""
    first: dict[Hashable, int] = {}
    links = [(first.setdefault(tie, index), index) for index, some in enumerate(ties) for tie in some]
    left, right = np.array(links, int).reshape(-1, 2).T
    return merge(left, right, len(ties), np.full(len(left), len(ties))).tolist()


def normalized(text: str) -> str:
    """What two texts have in common that are duplicates: their words, regardless of case and punctuation."""
    folded = text.casefold()
    return " ".join(filter(None, _BETWEEN.split(folded))) or " ".join(folded.split())


class _Tokens:
    """The texts as arrays with an entry for each word or sentence mark."""

    def __init__(self, texts: Sequence[str]) -> None:
        spelling: defaultdict[str, int] = defaultdict()
        spelling.default_factory = spelling.__len__
        ids, lengths = array.array("i"), []
        for text in texts:
            found = _TOKEN.findall(text)
            ids.extend(map(spelling.__getitem__, found))
            lengths.append(len(found))
        words: defaultdict[str, int] = defaultdict()
        words.default_factory = words.__len__
        folded = np.array([words[word.casefold().removesuffix("'s")] for word in spelling], np.int32)
        self._spelling = np.frombuffer(ids, np.int32)
        self._doc = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
        self._word = folded[self._spelling]
        self._vocabulary = list(spelling)
        self._words = len(words)

    def shingles(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns (text, shingle) pairs, each once: runs of a few words, as hashes."""
        is_word = self._of_spelling(lambda spelling: spelling[0].isalnum())
        doc, word = self._doc[is_word], self._word[is_word].astype(np.uint64)
        count = max(len(word) - _SHINGLE + 1, 0)
        hashed = np.zeros(count, np.uint64)
        for offset in range(_SHINGLE):
            hashed = hashed * np.uint64(0x9E3779B97F4A7C15) + word[offset : offset + count] + np.uint64(1)
            hashed ^= hashed >> np.uint64(29)
        within = doc[:count] == doc[len(doc) - count :]
        return _once(doc[:count][within], hashed[within])

    def names(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns (text, name) pairs, each once: words mostly capitalised within sentences, and two such in a row."""
        is_word = self._of_spelling(lambda spelling: spelling[0].isalnum())
        inside = np.zeros(len(self._doc), bool)
        inside[1:] = is_word[:-1] & (self._doc[1:] == self._doc[:-1])
        capitalized = inside & self._of_spelling(lambda spelling: spelling[0].isupper() and not spelling.isupper())
        lower = self._of_spelling(lambda spelling: spelling[0].islower())
        long = np.flatnonzero(self._of_spelling(lambda spelling: len(spelling) > 2) & is_word)
        as_name = np.bincount(self._word[capitalized], minlength=self._words)
        as_word = np.bincount(self._word[lower], minlength=self._words)
        at = long[(as_name > 2 * as_word)[self._word[long]]]
        doc, word = self._doc[at], self._word[at].astype(np.int64)
        pair = np.flatnonzero((at[1:] == at[:-1] + 1) & (doc[1:] == doc[:-1]))
        pairs = (word[pair] + 1) * self._words + word[pair + 1]
        return _once(np.concatenate([doc, doc[pair]]), np.concatenate([word, pairs]))

    def _of_spelling(self, test: Callable[[str], bool]) -> np.ndarray:
        return np.array([test(spelling) for spelling in self._vocabulary], bool)[self._spelling]


def _once(doc: np.ndarray, feature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorts (text, feature) pairs by feature, then text, and drops repeated ones."""
    order = np.lexsort((doc, feature))
    doc, feature = doc[order], feature[order]
    new = np.ones(len(doc), bool)
    new[1:] = (doc[1:] != doc[:-1]) | (feature[1:] != feature[:-1])
    return doc[new], feature[new]


def _sharing(
    doc: np.ndarray, feature: np.ndarray, count: int, weight: Callable[[int], float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the pairs of texts that share rare features, and the sum of the weights of what they share."""
    starts = np.flatnonzero(np.concatenate([[True], feature[1:] != feature[:-1]])) if len(feature) else np.zeros(0, int)
    frequency = np.diff(starts, append=len(feature))
    keys, weights = [np.zeros(0, np.int64)], [np.zeros(0)]
    pairs = 0
    for sharing in range(2, _MAX_SHARING + 1):
        of_features = starts[frequency == sharing]
        if not len(of_features):
            continue
        first, second = np.triu_indices(sharing, 1)
        pairs += len(of_features) * len(first)
        if pairs > _MAX_PAIRS:
            break
        docs = doc[of_features[:, None] + np.arange(sharing)].astype(np.int64)
        keys.append((docs[:, first] * count + docs[:, second]).ravel())
        weights.append(np.full(len(keys[-1]), weight(sharing)))
    key, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    return key // count, key % count, np.bincount(inverse, np.concatenate(weights), minlength=len(key))


def _neighbours(doc: np.ndarray, feature: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the pairs of texts that stand next to each other among those with a feature, and how many such it has.

    However many share a feature, they make few pairs; and what is alike throughout is so from neighbour to neighbour.
    """
    same = feature[1:] == feature[:-1]
    key, shared = np.unique(doc[:-1][same].astype(np.int64) * count + doc[1:][same], return_counts=True)
    return key // count, key % count, shared


def merge(left: np.ndarray, right: np.ndarray, count: int, largest: np.ndarray) -> np.ndarray:
    """Joins rows along the links, the first ones first, unless to more than a link's `largest`; returns the groups."""
    parent = list(range(count))
    size = [1] * count

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for one, other, most in zip(left.tolist(), right.tolist(), largest.tolist(), strict=True):
        one, other = root(one), root(other)
        if one != other and size[one] + size[other] <= most:
            parent[other] = one
            size[one] += size[other]
    return np.array([root(index) for index in range(count)], int)
