import re
from collections import Counter

import pytest

from keras_apps.data import demo_translation as demo
from keras_apps.data.demo_translation import VERBS, Clause, Phrase, Text, generate, noun_phrase

ANNA, PAUL = (Phrase(name, (name,) * 3) for name in ("Anna", "Paul"))
ME, WE, THEY = (
    Phrase("I", ("ich",) * 3, is_i=True),
    *(Phrase(english, (german,) * 3, "plural") for english, german in (("we", "wir"), ("they", "sie"))),
)
MAN, WOMAN, GIRL, BOY = (noun_phrase("the", None, name) for name in ("man", "woman", "girl", "boy"))
YESTERDAY, TODAY = Text("yesterday", "gestern"), Text("today", "heute")


@pytest.fixture(scope="module")
def sentences():
    return demo.sentences(0)


@pytest.fixture(scope="module")
def parts(sentences):
    return {split: [(each.source, each.target) for each in part] for split, part in sentences.items()}


@pytest.fixture(scope="module")
def other():
    return generate(1)


def words(text):
    return re.findall(r"\w+", text)


def test_sizes_lengths_and_no_source_twice(parts):
    assert {split: len(pairs) for split, pairs in parts.items()} == demo.SIZES
    pairs = [pair for part in parts.values() for pair in part]
    assert len({source for source, _ in pairs}) == len(pairs)
    assert all(4 <= len(text.split()) <= 14 for pair in pairs for text in pair)
    assert all(re.fullmatch(r"[A-ZÄÖÜ\d][\wäöüß]*(,? [\wäöüß]+)*[.?]", text) for pair in pairs for text in pair)
    for side in (0, 1):
        assert 140 < len({word.lower() for pair in pairs for word in words(pair[side])}) < 280


def test_the_seed_decides(parts, other):
    assert generate(0) == parts
    assert other["train"] != parts["train"]


def test_a_source_has_one_translation_whatever_the_seed(parts, other):
    translation = dict(pair for part in parts.values() for pair in part)
    again = [(source, target) for part in other.values() for source, target in part if source in translation]
    assert len(again) > 10
    assert all(translation[source] == target for source, target in again)


def test_test_sentences_are_of_known_words_in_pairs_never_seen(parts, sentences):
    known = [Counter(word for pair in parts["train"] for word in words(pair[side])) for side in (0, 1)]
    for split in ("validation", "test"):
        assert all(word in known[side] for pair in parts[split] for side in (0, 1) for word in words(pair[side]))

    shown, tested = (
        [sentence.pairs for split in splits for sentence in sentences[split]]
        for splits in (("train", "validation"), ("test",))
    )
    assert not any(demo.is_held_out(*pair) for pairs in shown for pair in pairs)
    seen = frozenset().union(*shown)
    assert all(pairs - seen for pairs in tested)
    # As far as they stand side by side, the held-out pairs can be found in the text itself.
    described = re.compile(rf"({'|'.join(demo._ADJECTIVES)}) (\w+)")
    in_train = {pair for source, _ in parts["train"] for pair in described.findall(source)}
    new = [set(described.findall(source)) - in_train for source, _ in parts["test"]]
    assert 0.3 < sum(map(bool, new)) / len(new) < 1


def test_a_dictionary_does_not_do(parts):
    """Neither word by word nor with the words in whatever order: about all of it is in how they are put together."""
    counts = Counter((s, t) for source, target in parts["train"] for s in words(source) for t in words(target))
    common = Counter(word for _, target in parts["train"] for word in set(words(target)))
    best = {}
    for (source, target), count in counts.items():
        # What goes with a word more often than its own frequency has it: Dice's coefficient would do as well.
        best.setdefault(source, []).append((count**2 / common[target], target))
    dictionary = {source: max(found)[1] for source, found in best.items()}
    assert (dictionary["kitchen"], dictionary["yesterday"], dictionary["Anna"]) == ("Küche", "gestern", "Anna")
    answers = [([dictionary[word] for word in words(source)], words(target)) for source, target in parts["test"]]
    assert sum(answer == target for answer, target in answers) <= 0.01 * len(answers)
    assert sum(sorted(answer) == sorted(target) for answer, target in answers) <= 0.02 * len(answers)


@pytest.mark.parametrize(
    "phrase, english, german",
    [
        (("the", "old", "man"), "the old man", "der alte Mann, den alten Mann, dem alten Mann"),
        (("the", "old", "door"), "the old door", "die alte Tür, die alte Tür, der alten Tür"),
        (("the", "new", "book"), "the new book", "das neue Buch, das neue Buch, dem neuen Buch"),
        (("a", "old", "man"), "an old man", "ein alter Mann, einen alten Mann, einem alten Mann"),
        (("a", "big", "lamp"), "a big lamp", "eine große Lampe, eine große Lampe, einer großen Lampe"),
        (("my", "small", "child"), "my small child", "mein kleines Kind, mein kleines Kind, meinem kleinen Kind"),
        (("a", None, "boy"), "a boy", "ein Junge, einen Jungen, einem Jungen"),
        (("the", "old", "man", True), "the old men", "die alten Männer, die alten Männer, den alten Männern"),
        (("my", "new", "key", True), "my new keys", "meine neuen Schlüssel, meine neuen Schlüssel, meinen neuen Schlüsseln"),
        (("two", "big", "door", True), "two big doors", "zwei große Türen, zwei große Türen, zwei großen Türen"),
        (("12", None, "dog", True), "12 dogs", "12 Hunde, 12 Hunde, 12 Hunden"),
        (("a", None, "garden chair"), "a garden chair", "ein Gartenstuhl, einen Gartenstuhl, einem Gartenstuhl"),
        (("the", None, "kitchen door", True), "the kitchen doors", "die Küchentüren, die Küchentüren, den Küchentüren"),
    ],
)  # fmt: skip
def test_phrases_agree(phrase, english, german):
    made = noun_phrase(*phrase)
    assert made.english == english
    assert ", ".join(made.german) == german


def related(head, relative):
    return Phrase(head.english, head.german, head.gender, noun=head.noun, relative=relative)


@pytest.mark.parametrize(
    "clause, form, english, german",
    [
        (Clause(VERBS["write"], "past", ANNA, object=noun_phrase("the", "new", "letter"), time=YESTERDAY), "statement",
         "Anna wrote the new letter yesterday", "Anna hat gestern den neuen Brief geschrieben"),
        (Clause(VERBS["help"], "past", ME, object=noun_phrase("a", "old", "woman"), time=YESTERDAY), "fronted",
         "yesterday I helped an old woman", "gestern habe ich einer alten Frau geholfen"),
        (Clause(VERBS["pick up"], "present", THEY, object=BOY, time=TODAY), "statement",
         "they pick up the boy today", "sie holen heute den Jungen ab"),
        (Clause(VERBS["invite"], "present", ME, object=ANNA), "statement", "I invite Anna", "ich lade Anna ein"),
        (Clause(VERBS["invite"], "must", ME, object=ANNA), "statement", "I must invite Anna", "ich muss Anna einladen"),
        (Clause(VERBS["give"], "present", WE, MAN, noun_phrase("the", None, "key")), "statement",
         "we give the man the key", "wir geben dem Mann den Schlüssel"),
        (Clause(VERBS["travel"], "past", WOMAN, manner=Text("by train", "mit dem Zug"), place=Text("to Rome", "nach Rom"),
                time=YESTERDAY), "statement",
         "the woman traveled by train to Rome yesterday", "die Frau ist gestern mit dem Zug nach Rom gefahren"),
        (Clause(VERBS["come back"], "want", PAUL, place=Text("from Vienna", "aus Wien")), "question",
         "does Paul want to come back from Vienna", "will Paul aus Wien zurückkommen"),
        (Clause(VERBS["open"], "past", PAUL, object=noun_phrase("the", None, "bag")), "question",
         "did Paul open the bag", "hat Paul die Tasche aufgemacht"),
        (Clause(VERBS["look for"], "future", PAUL, object=MAN), "question", "will Paul look for the man",
         "wird Paul den Mann suchen"),
        (Clause(VERBS["sleep"], "present", related(GIRL, Text("who Paul helps", "dem Paul hilft"))), "statement",
         "the girl who Paul helps sleeps", "das Mädchen, dem Paul hilft, schläft"),
        (Clause(VERBS["see"], "past", ME, object=related(MAN, Text("who works", "der arbeitet"))), "statement",
         "I saw the man who works", "ich habe den Mann gesehen, der arbeitet"),
    ],
)  # fmt: skip
def test_clauses(clause, form, english, german):
    made = getattr(clause, form)()
    assert (made.english, demo._punctuated(made.german)) == (english, german[0].upper() + german[1:])


@pytest.mark.parametrize(
    "clause, words, english, german",
    [
        (Clause(VERBS["call"], "present", PAUL, object=MAN, time=TODAY), ("because", "weil"),
         "because Paul calls the man today", "weil Paul heute den Mann anruft"),
        (Clause(VERBS["travel"], "past", ME, place=Text("to Rome", "nach Rom")), ("when", "als"),
         "when I traveled to Rome", "als ich nach Rom gefahren bin"),
        (Clause(VERBS["open"], "can", WE, object=noun_phrase("my", None, "window")), ("that", "dass"),
         "that we can open my window", "dass wir mein Fenster aufmachen können"),
        (Clause(VERBS["wait"], "present", None, agrees_with=noun_phrase("the", None, "man", True)), ("who", "die"),
         "who wait", "die warten"),
        (Clause(VERBS["wait"], "present", None, agrees_with=GIRL), ("who", "das"), "who waits", "das wartet"),
    ],
)  # fmt: skip
def test_subordinate_clauses_end_with_the_verb(clause, words, english, german):
    assert clause.subordinate(*words)[:2] == (english, german)


def test_each_construction_is_there_and_names_and_numbers_are_copied(parts):
    rules = Counter()
    copied = re.compile(r"\d+|\b(?:Anna|Maria|Lena|Paul|Peter|Tom|Berlin|Hamburg)\b")
    finite = re.compile(r"(?:\w[te]|\w+en|hat|ist|sind|bin|kann|muss|will|wird)$")
    for source, target in parts["train"]:
        assert source.endswith("?") == target.endswith("?")
        assert sorted(copied.findall(source)) == sorted(copied.findall(target))
        subordinate = re.search(r"\b(weil|obwohl|dass|wenn|als) ([^,.]*)", target, re.IGNORECASE)
        if subordinate:
            assert finite.search(subordinate[2]), target
            rules[subordinate[1].lower()] += 1
        elif target.endswith("?"):
            rules[re.match(r"W(?:as|er|en|em|ann|arum|o)\b|", target)[0]] += 1
        else:
            rules.update(re.findall(r", (?:der|die|das|den|dem) ", target))
    expected = "weil obwohl dass wenn als Was Wer Wen Wem Wann Warum Wo".split()
    assert min(rules[rule] for rule in [*expected, "", ", der ", ", die ", ", das ", ", den ", ", dem "]) > 15, rules
