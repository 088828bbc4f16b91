"""The linear baseline of the results table: `python -m benchmarks.sentiment_linear --data PATH [--test PATH]`.

Logistic regression on bigrams weighted by naive-Bayes log-count ratios (Wang and Manning 2012, "Baselines and Bigrams",
https://aclanthology.org/P12-2018/) and on plain words, in scikit-learn, on the training and validation texts that
`keras-apps sentiment train` sees. The validation texts choose the regularisation; test texts are scored once with it.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence

import numpy as np
import scipy.sparse
import tensorflow as tf
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks import timing
from keras_apps.data import sentiment

# The inverse strengths of regularisation to choose from.
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_MARKUP = re.compile(r"<[a-zA-Z/][^<>]{0,200}>")
# Words, and punctuation marks one by one: "!" and "?" tell something.
_WORDS = r"\w+|[^\w\s]"


def log_count_ratio(features: scipy.sparse.csr_matrix, inside: np.ndarray, smoothing: float = 1.0) -> np.ndarray:
    """How much more often a feature occurs in a class than outside it, `<float>[features]`.

    Args:
        features: which text has which feature, `<0 or 1>[texts, features]`.
        inside: which texts are of the class, `<bool>[texts]`.
        smoothing: added to every count.
    """
    p = np.asarray(features[inside].sum(0)).ravel() + smoothing
    q = np.asarray(features[~inside].sum(0)).ravel() + smoothing
    return np.log(p / p.sum()) - np.log(q / q.sum())


class LinearModel:
    """Presence of words (and bigrams) -> class, one logistic regression for each class, or one for two.

    Args:
        order: words in the longest n-gram.
        naive_bayes: weight the features by their log-count ratios.
        strength: inverse strength of regularisation.
        min_texts: n-grams that fewer texts have are left out.
    """

    def __init__(self, order: int, naive_bayes: bool, strength: float, min_texts: int = 2):
        self.vectorizer = CountVectorizer(
            binary=True, ngram_range=(1, order), min_df=min_texts, token_pattern=_WORDS, preprocessor=_plain_text
        )
        self.naive_bayes = naive_bayes
        self.strength = strength

    def features(self, texts: Sequence[str], fit: bool = False) -> scipy.sparse.csr_matrix:
        """`<0 or 1>[texts, features]`; with `fit`, learns which there are."""
        table = self.vectorizer.fit_transform(texts) if fit else self.vectorizer.transform(texts)
        return table.astype(np.float64)

    def fit(self, features: scipy.sparse.csr_matrix, labels: np.ndarray) -> None:
        """Trains on features and class names."""
        self.classes = np.unique(labels)
        # Of two classes, the second against the first says all.
        self.against_rest = []
        for name in self.classes[1:] if len(self.classes) == 2 else self.classes:
            inside = labels == name
            ratio = log_count_ratio(features, inside) if self.naive_bayes else np.ones(features.shape[1])
            regression = LogisticRegression(
                C=self.strength, solver="liblinear", dual=True, max_iter=1000, random_state=0
            )
            regression.fit(features.multiply(ratio).tocsr(), inside)
            # Weighting the features by the ratios is weighting the coefficients by them.
            self.against_rest.append((regression.coef_[0] * ratio, regression.intercept_[0]))

    def accuracy(self, features: scipy.sparse.csr_matrix, labels: np.ndarray) -> float:
        """Share of texts whose class is found."""
        scores = np.stack([features @ weights + bias for weights, bias in self.against_rest], axis=1)
        found = (scores[:, 0] > 0).astype(int) if len(self.classes) == 2 else scores.argmax(1)
        return float((self.classes[found] == labels).mean())


def _plain_text(text: str) -> str:
    return _MARKUP.sub(" ", text).lower()


def _rows(examples: tf.data.Dataset) -> tuple[list[str], np.ndarray]:
    rows = list(examples.as_numpy_iterator())
    return [row["text"].decode() for row in rows], np.array([row["label"].decode() for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="as of `keras-apps sentiment train`")
    parser.add_argument("--validation_fraction", type=float, default=0.1, help="where the data has no such part")
    parser.add_argument("--test_fraction", type=float, default=0.0, help="the same for a test part; none")
    parser.add_argument("--split_seed", type=int, default=0, help="what the parts are drawn by")
    parser.add_argument("--test", help="texts to score once, in place of the data's own test part")
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS, help="to choose from (C)")
    args = parser.parse_args()

    splits = sentiment.load(
        args.data,
        validation_fraction=args.validation_fraction,
        test_fraction=args.test_fraction,
        split_seed=args.split_seed,
    )
    test = splits.test
    if args.test:
        test = sentiment.load(args.test, validation_fraction=0, test_fraction=0).split("all")
    (train_x, train_y), (validation_x, validation_y) = _rows(splits.train), _rows(splits.split("validation"))
    test_x, test_y = _rows(test) if test is not None else ([], np.array([]))

    print(timing.machine(), end="\n\n")
    print(f"{len(train_x):,} training, {len(validation_x):,} validation, {len(test_x):,} test texts", end="\n\n")
    rows = []
    for name, order, naive_bayes in (("words", 1, False), ("words and bigrams, NB-weighted", 2, True)):
        began = time.perf_counter()
        model = LinearModel(order, naive_bayes, args.strengths[0])
        train = model.features(train_x, fit=True)
        validation = model.features(validation_x)
        prepared = time.perf_counter() - began
        tried = {}
        for strength in args.strengths:
            began = time.perf_counter()
            model.strength = strength
            model.fit(train, train_y)
            tried[strength] = model.accuracy(validation, validation_y), prepared + time.perf_counter() - began
            timing.progress(f"{name}: C {strength:g}: accuracy {tried[strength][0]:.4f}, {tried[strength][1]:.1f} s")
        # The strongest regularisation among equals.
        best = max(tried, key=lambda strength: (tried[strength][0], -strength))
        model.strength = best
        model.fit(train, train_y)
        tested = f"{model.accuracy(model.features(test_x), test_y):.4f}" if test_x else "-"
        accuracy, seconds = tried[best]
        rows.append([name, f"{train.shape[1]:,}", f"{best:g}", f"{accuracy:.4f}", tested, f"{seconds:.1f}"])
    print(timing.table(["logistic regression on", "features", "C", "validation", "test", "s, with that C"], rows))


if __name__ == "__main__":
    timing.run(main)
