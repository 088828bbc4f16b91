"""Film reviews generated from a seed, whose polarity follows from how they are built, not from the words in them.

The rules, which are the ground truth:
- an adjective or verb has a polarity; a negator before it ("not", "hardly", "far from") turns it round;
- of two clauses with opposite polarity the main one decides: the one after "but", or the one that "although", "even
  though" or "despite" does not govern, wherever it stands;
- all opinions of one review agree in what they decide; sentences on the plot, the cinema or the date have no polarity,
  though words of praise and blame may occur in them ("a brilliant surgeon and her dull husband").

A quarter of the pairs of a word with its negator, and of a word with what it describes, never occur in the training and
validation parts; the clause that decides a test review is always built of such a pair.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

SIZES = {"train": 4000, "validation": 500, "test": 1000}
CLASSES = ("neg", "pos")


def _words(text: str, separator: str | None = None) -> list[str]:
    return text.split(separator)


_ADJECTIVES = {
    True: _words(
        "good great wonderful brilliant charming gripping funny moving clever beautiful memorable superb fresh "
        "delightful convincing elegant inspired witty engaging splendid"
    ),
    False: _words(
        "bad dull terrible boring awful clumsy tedious weak predictable shallow annoying dreadful stale painful "
        "lifeless sloppy silly tiresome bland messy"
    ),
}
_VERBS = {True: _words("enjoyed loved admired liked"), False: _words("hated regretted disliked resented")}
_BASE = dict(
    enjoyed="enjoy", loved="love", admired="admire", liked="like",
    hated="hate", regretted="regret", disliked="dislike", resented="resent",
)  # fmt: skip
_ASPECTS = _words(
    "acting plot script dialogue music photography cast ending pacing story camerawork editing soundtrack humour "
    "direction opening"
)
_KINDS = _words("film movie picture comedy drama thriller debut sequel remake romance")
_INTENSIFIERS = ["", "", "", "really ", "truly ", "rather ", "remarkably ", "thoroughly ", "quite ", "just "]
_BE_NEGATORS = ["not", "never", "hardly", "far from", "anything but", "by no means", "not at all", "in no way"]
_NOUN_NEGATORS = ["not", "hardly", "by no means", "never", "anything but", "far from"]
_VERB_NEGATORS = ["did not", "didn't", "never", "could not", "hardly"]
_PEOPLE = _words("Anna Keller,Tom Varga,Lena Marsh,Ivan Doyle,Ruth Okafor,Paul Lindqvist,Mira Sanders,Hugo Bell", ",")
_PLACES = _words("Leeds Lisbon Chicago Dublin Kraków Toronto Bristol Hamburg")
_JOBS = _words("surgeon detective teacher sailor pianist farmer lawyer nurse widow boxer")
_RELATIVES = _words("husband brother neighbour father partner cousin rival son")
_MONTHS = _words("January March April June July September October December")
_TITLES = (
    _words("silent,last,broken,crimson,winter,hidden,distant,paper", ","),
    _words("harbour,garden,letters,river,witness,promise,orchard,station", ","),
)


@dataclasses.dataclass(frozen=True)
class Review:
    """A review, its class, and the word pairs that its opinions are built of."""

    text: str
    label: str
    pairs: frozenset[tuple[str, str]]


def generate(seed: int = 0) -> dict[str, list[Review]]:
    """Generates the three parts; no review is in two of them, and each has as many of one class as of the other."""
    rng = random.Random(seed)
    seen: set[str] = set()
    return {split: list(_part(rng, size, split == "test", seen)) for split, size in SIZES.items()}


def is_held_out(first: str, second: str) -> bool:
    """Tells whether a pair of words is kept for the test part: for every word one of four of its partners."""
    return (_RANK[first] + _RANK[second]) % 4 == 0


_LEXICON = [*_ADJECTIVES[True], *_ADJECTIVES[False], *_VERBS[True], *_VERBS[False]]
_PARTNERS = [*_ASPECTS, *_KINDS, *sorted({*_BE_NEGATORS, *_NOUN_NEGATORS, *_VERB_NEGATORS})]
_RANK = {word: index for words in (_LEXICON, _PARTNERS) for index, word in enumerate(words)}


def _part(rng: random.Random, size: int, test: bool, seen: set[str]) -> Iterator[Review]:
    labels = [index % 2 == 0 for index in range(size)]
    rng.shuffle(labels)
    for positive in labels:
        while True:
            review = _Writer(rng, test).review(positive)
            if review.text not in seen:
                break
        seen.add(review.text)
        yield review


class _Writer:
    """Writes one review, noting the pairs it uses."""

    def __init__(self, rng: random.Random, test: bool) -> None:
        self._rng = rng
        self._test = test
        self._pairs: set[tuple[str, str]] = set()

    def review(self, positive: bool) -> Review:
        rng = self._rng
        sentences = [self._opinion(positive)]
        if rng.random() < 0.25:
            sentences.append(self._opinion(positive))
        for _ in range(rng.choice((1, 1, 2)) if len(sentences) == 1 else rng.choice((0, 1))):
            sentences.insert(rng.randint(0, len(sentences)), self._fact())
        text = " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)
        return Review(text, CLASSES[positive], frozenset(self._pairs))

    def _opinion(self, positive: bool) -> str:
        main, other = self._clause(positive, decides=True), self._clause(not positive, decides=False)
        form = self._rng.random()
        if form < 0.55:
            return main + "."
        if form < 0.72:
            return f"{other}, but {main}."
        if form < 0.84:
            return f"{self._rng.choice(('although', 'even though', 'while'))} {other}, {main}."
        if form < 0.94:
            return f"{main}, {self._rng.choice(('although', 'even though'))} {other}."
        return f"despite {self._noun_phrase(not positive)}, {main}."

    def _clause(self, positive: bool, decides: bool) -> str:
        rng = self._rng
        negated = rng.random() < 0.3
        polarity = positive != negated
        form = rng.random()
        if form < 0.5:
            words, partners, negators = _ADJECTIVES[polarity], _ASPECTS, _BE_NEGATORS
        elif form < 0.85:
            words, partners, negators = _ADJECTIVES[polarity], _KINDS, _NOUN_NEGATORS
        else:
            words, partners, negators = _VERBS[polarity], _ASPECTS, _VERB_NEGATORS
        word, partner, negator = self._choose(words, partners, negators if negated else None, decides)
        if form < 0.5:
            return f"the {partner} is {negator + ' ' if negated else rng.choice(_INTENSIFIERS)}{word}"
        if form < 0.85:
            described = _with_article(("" if negated else rng.choice(_INTENSIFIERS[:7])) + word)
            subject = rng.choice(("this is", "it is", "what we get is", f"'{self._title()}' is"))
            return f"{subject} {negator + ' ' if negated else ''}{described} {partner}"
        verb = f"{negator} {_BASE[word]}" if negated else rng.choice(("", "really ", "truly ")) + word
        return f"I {verb} the {partner}"

    def _noun_phrase(self, positive: bool) -> str:
        word, partner, _ = self._choose(_ADJECTIVES[positive], _ASPECTS, None, decides=False)
        return f"the {word} {partner}"

    def _choose(
        self, words: list[str], partners: list[str], negators: list[str] | None, decides: bool
    ) -> tuple[str, str, str]:
        """Draws a word, what it describes, and its negator, with held-out pairs in what decides a test review only."""
        while True:
            word, partner = self._rng.choice(words), self._rng.choice(partners)
            negator = self._rng.choice(negators) if negators else ""
            described, turned = is_held_out(word, partner), negators is not None and is_held_out(word, negator)
            # A negated clause is new in the pair that matters most, the one with its negator.
            new = turned if negators else described
            if new if self._test and decides else not (described or turned):
                self._pairs.add((word, partner))
                if negators:
                    self._pairs.add((negator, word))
                return word, partner, negator

    def _title(self) -> str:
        first, second = (self._rng.choice(words) for words in _TITLES)
        return f"The {first.capitalize()} {second.capitalize()}"

    def _fact(self) -> str:
        rng = self._rng
        person, place, job, relative = map(rng.choice, (_PEOPLE, _PLACES, _JOBS, _RELATIVES))
        month, year = rng.choice(_MONTHS), rng.randint(1955, 2019)
        words = _ADJECTIVES[True] + _ADJECTIVES[False]
        return rng.choice(
            (
                f"I saw it in {place} one evening in {month}.",
                f"{person} directed it in {year}.",
                f"'{self._title()}' was shot near {place} in {year}.",
                f"the story follows a {job} who comes back to {place}.",
                f"a {job} and a {relative} look for a lost letter.",
                f"it tells of {_with_article(rng.choice(words))} {job} and her {rng.choice(words)} {relative}.",
                f"{person} plays {_with_article(rng.choice(words))} {job} from {place}.",
                f"the running time is {rng.randint(81, 160)} minutes.",
                f"my {relative} and I were in the second row.",
                f"it is based on a novel of {year} by {person}.",
            )
        )


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
