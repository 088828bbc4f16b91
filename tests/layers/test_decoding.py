import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_apps.errors import UserError
from keras_apps.layers.decoding import Decoded, Sampling, decode

PADDING, START, END, VOCABULARY = 0, 1, 2, 6
BANNED = (PADDING, START)
LENGTH = 4
ALL = 3**LENGTH + sum(3**words for words in range(LENGTH))  # sentences: three words and the end


class Chain:
    """A language model whose every prefix has random logits of its own, for each element of the batch.

    The state is the prefix, kept both as a number and, like a key-value cache, written at the position.
    """

    def __init__(self, seed, batch=2, length=LENGTH, end_bias=0.0):
        shape = (batch, 2 * VOCABULARY ** (LENGTH - 1), VOCABULARY)  # START is 1, so a prefix's first digit is 1
        self.logits = np.random.default_rng(seed).normal(scale=1.5, size=shape).astype("float32")
        self.logits[..., END] += end_bias
        self.batch, self.length = batch, length

    def state(self):
        return {"code": tf.zeros([self.batch], tf.int32), "cache": tf.zeros([self.batch, self.length], tf.int32)}

    def constants(self):
        return (tf.constant(self.logits),)

    def step(self, tokens, position, state, constants):
        here = tf.range(self.length) == position
        cache = tf.where(here, tokens[:, None], state["cache"])
        code = state["code"] * VOCABULARY + tokens
        # What the cache holds must be the prefix that the number stands for: else the logits are another prefix's.
        powers = VOCABULARY ** tf.maximum(position - tf.range(self.length), 0)
        from_cache = tf.reduce_sum(tf.where(tf.range(self.length) <= position, cache * powers, 0), axis=1)
        index = tf.where(from_cache == code, code, 0)
        return tf.gather(constants[0], index, batch_dims=1), {"code": code, "cache": cache}

    def decode(self, xla=False, **options):
        options = {
            "batch": self.batch,
            "start": START,
            "end": END,
            "max_length": self.length,
            "banned": BANNED,
        } | options
        function = tf.function(
            lambda: decode(self.step, self.state(), self.constants(), **options), jit_compile=xla, autograph=False
        )
        return Decoded(*(each.numpy() for each in function()))

    def log_softmax(self, element, prefix):
        code = 0
        for token in (START, *prefix):
            code = code * VOCABULARY + token
        logits = self.logits[element, code].astype("float64")
        allowed = [token for token in range(VOCABULARY) if token not in BANNED]
        return {token: logits[token] - np.log(np.exp(logits[allowed]).sum()) for token in allowed}

    def log_probability(self, element, sentence):
        return sum(self.log_softmax(element, sentence[:i])[token] for i, token in enumerate(sentence))


def every_sentence():
    for words in range(LENGTH + 1):
        for sentence in itertools.product((3, 4, 5), repeat=words):
            yield (*sentence, END) if words < LENGTH else sentence


def padded(sentence, length=LENGTH):
    words = [token for token in sentence if token != END]
    return words + [0] * (length - len(words))


def beam_search_by_hand(chain, element, beams, penalty):
    hypotheses = [((), 0.0)]
    for _ in range(LENGTH):
        extended = []
        for sentence, log_probability in hypotheses:
            if sentence and sentence[-1] == END:
                extended.append((sentence, log_probability))
                continue
            for token, gain in chain.log_softmax(element, sentence).items():
                extended.append(((*sentence, token), log_probability + gain))
        hypotheses = sorted(extended, key=lambda each: -each[1] / len(each[0]) ** penalty)[:beams]
    return hypotheses


@pytest.mark.parametrize(("seed", "penalty"), [(0, 0.0), (1, 1.0), (2, 0.6), (3, 2.0)])
def test_enough_beams_find_what_exhaustive_search_finds(seed, penalty):
    chain = Chain(seed)
    decoded = chain.decode(beams=ALL, length_penalty=penalty)
    for element in range(chain.batch):
        ranked = sorted(every_sentence(), key=lambda each: -chain.log_probability(element, each) / len(each) ** penalty)
        log_probabilities = np.array([chain.log_probability(element, each) for each in ranked])
        scores = log_probabilities / np.array([len(each) for each in ranked]) ** penalty
        np.testing.assert_array_equal(decoded.tokens[element], [padded(each) for each in ranked])
        np.testing.assert_array_equal(decoded.lengths[element], [len(each) - (END in each) for each in ranked])
        np.testing.assert_allclose(decoded.log_probabilities[element], log_probabilities, rtol=1e-4)
        np.testing.assert_allclose(decoded.scores[element], scores, rtol=1e-4)


@pytest.mark.parametrize(("beams", "penalty"), [(1, 1.0), (2, 0.0), (3, 1.0), (7, 0.6)])
def test_few_beams_keep_the_best_at_every_step_compiled_or_not(beams, penalty):
    chain = Chain(seed=4, batch=6)
    for xla in (False, True):
        decoded = chain.decode(beams=beams, length_penalty=penalty, xla=xla)
        for element in range(chain.batch):
            expected = beam_search_by_hand(chain, element, beams, penalty)
            np.testing.assert_array_equal(decoded.tokens[element], [padded(each) for each, _ in expected])
            np.testing.assert_allclose(decoded.log_probabilities[element], [score for _, score in expected], rtol=1e-4)


def test_what_has_not_ended_is_returned_as_it_is():
    decoded = Chain(seed=0, end_bias=-20.0).decode(beams=3)
    assert (decoded.lengths == LENGTH).all() and (decoded.tokens >= 3).all()


def test_hypotheses_that_do_not_exist_have_no_probability():
    chain = Chain(seed=0, length=1)
    decoded = chain.decode(beams=6)  # of one token there are four
    np.testing.assert_array_equal(np.isfinite(decoded.scores), [[True] * 4 + [False] * 2] * 2)
    assert decoded.tokens[0, :4, 0].tolist().count(0) == 1  # the end
    assert (decoded.tokens[:, 4:] == 0).all() and (decoded.lengths[:, 4:] == 0).all()


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("beams", [1, 3])
def test_the_loop_ends_with_the_last_sentence(beams, xla):
    # Every sentence ends within `words` tokens: whatever the last token, only the end follows.
    words, count = tf.constant([2, 5]), tf.Variable(0)

    def step(tokens, position, state, constants):
        count.assign_add(1)
        ends = tf.one_hot(END, VOCABULARY, 0.0, -1e6)
        return tf.where((position >= constants)[:, None], ends, tf.one_hot(3, VOCABULARY, 1e4, 0.0)), state

    run = tf.function(
        lambda: decode(step, (), words, batch=2, start=START, end=END, max_length=50, beams=beams, length_penalty=0.0),
        jit_compile=xla,
        autograph=False,
    )
    decoded = run()
    np.testing.assert_array_equal(decoded.lengths[:, 0], [2, 5])
    np.testing.assert_allclose(decoded.log_probabilities[:, 0], [0, 0], atol=1e-6)  # an ended beam keeps its score
    assert int(count) == 6  # five words and the end


@pytest.mark.parametrize("options", [{}, {"beams": 3}, {"sampling": Sampling(2.0)}])
def test_banned_tokens_never_occur(options):
    chain = Chain(seed=5, batch=30)
    chain.logits[..., 4] += 10
    if "sampling" in options:
        options = options | {"uniform": tf.random.stateless_uniform([30, LENGTH], [0, 1])}
    assert (chain.decode(**options).tokens == 4).any()
    decoded = chain.decode(**options, banned=(*BANNED, 4))
    inside = np.arange(LENGTH) < decoded.lengths[..., None]
    assert set(np.unique(decoded.tokens[inside])) <= {3, 5} and (decoded.tokens[~inside] == 0).all()


@pytest.mark.parametrize("beams", [1, 3])
def test_the_rest_of_the_batch_does_not_matter(beams):
    chain = Chain(seed=6, batch=5)
    together = chain.decode(beams=beams)
    for element in (0, 4):
        alone = Chain(seed=6, batch=1)
        alone.logits = chain.logits[element : element + 1]
        for one, of_all in zip(alone.decode(beams=beams), together, strict=True):
            np.testing.assert_allclose(one[0], of_all[element], rtol=1e-5)


@pytest.mark.parametrize("end_bias", [0.0, -20.0])
@pytest.mark.parametrize("options", [{}, {"beams": 3}, {"beams": 3, "xla": True}, {"sampling": Sampling()}])
def test_each_sentence_may_have_a_limit_of_its_own(options, end_bias):
    chain = Chain(seed=6, batch=6, end_bias=end_bias)
    limits = [1, 2, 3, 4, 2, 3]
    if "sampling" in options:
        options = options | {"uniform": tf.random.stateless_uniform([6, LENGTH], [0, 1])}
    together = chain.decode(**options, limits=tf.constant(limits))
    assert (together.lengths[:, 0] == limits).all() or not end_bias
    for limit in range(1, 5):
        alone = chain.decode(**options, max_length=limit)
        for element in np.flatnonzero(np.array(limits) == limit):
            np.testing.assert_array_equal(together.tokens[element, :, :limit], alone.tokens[element])
            assert (together.tokens[element, :, limit:] == 0).all()
            np.testing.assert_array_equal(together.lengths[element], alone.lengths[element])
            np.testing.assert_allclose(together.scores[element], alone.scores[element], rtol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_batch_and_length_may_be_unknown_and_logits_bfloat16(beams):
    chain = Chain(seed=7, batch=3)
    # Logits that bfloat16 holds exactly, so that the result must be the same.
    chain.logits = tf.cast(tf.cast(chain.logits, tf.bfloat16), tf.float32).numpy()

    def step(tokens, position, state, constants):
        logits, state = chain.step(tokens, position, state, constants)
        return tf.cast(logits, tf.bfloat16), state

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, VOCABULARY]), tf.TensorSpec([], tf.int32)], autograph=False
    )
    def run(logits, max_length):
        batch = tf.shape(logits)[0]
        state = {"code": tf.zeros([batch], tf.int32), "cache": tf.zeros([batch, LENGTH], tf.int32)}
        return decode(
            step, state, (logits,), batch=batch, start=START, end=END, max_length=max_length, beams=beams, banned=BANNED
        )

    for one, other in zip(run(chain.logits, LENGTH), chain.decode(beams=beams), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert run(chain.logits, 2).tokens.shape == (3, beams, 2)


@pytest.mark.parametrize("options", [{}, {"beams": 3}, {"sampling": Sampling(top_k=3, top_p=0.5)}])
def test_the_graph_does_not_grow_with_the_length(options):
    def nodes(length):
        chain = Chain(seed=0, length=length)
        uniform = tf.zeros([2, length])
        graph = tf.function(
            lambda: decode(
                chain.step, chain.state(), chain.constants(), batch=2, start=START, end=END, max_length=length,
                uniform=uniform, **options,
            ),
            autograph=False,
        ).get_concrete_function().graph.as_graph_def()  # fmt: skip
        return len(graph.node) + sum(len(each.node_def) for each in graph.library.function)

    assert nodes(5) == nodes(50) < 500


# Sampling.

WORD_LOGITS = np.array([5.0, 5.0, 0.0, 1.0, 2.0, 2.5], "float32")  # the first two are banned
DRAWS = 10_000


def frequencies(sampling, xla=False, uniform=None):
    """How often each of the tokens is drawn first."""
    if uniform is None:
        uniform = np.random.default_rng(0).random((DRAWS, 1)).astype("float32")

    def step(tokens, position, state, constants):
        return tf.tile(WORD_LOGITS[None], [len(uniform), 1]), state

    run = tf.function(
        lambda: decode(
            step, (), (), batch=len(uniform), start=START, end=END, max_length=1, sampling=sampling,
            uniform=tf.constant(uniform), banned=BANNED,
        ),
        jit_compile=xla,
        autograph=False,
    )  # fmt: skip
    decoded = run()
    drawn = np.where(decoded.lengths[:, 0] == 0, END, decoded.tokens[:, 0, 0])
    model = np.exp(WORD_LOGITS[2:]) / np.exp(WORD_LOGITS[2:]).sum()
    np.testing.assert_allclose(decoded.log_probabilities[:, 0], np.log(model)[drawn - 2], rtol=1e-4)
    return np.bincount(drawn, minlength=VOCABULARY)[2:] / len(uniform)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), softmax([0.0, 1.0, 2.0, 2.5])),
        (Sampling(temperature=0.5), softmax([0.0, 2.0, 4.0, 5.0])),
        (Sampling(temperature=3.0), softmax(np.array([0.0, 1.0, 2.0, 2.5]) / 3)),
        (Sampling(top_k=2), [0, 0, *softmax([2.0, 2.5])]),
        (Sampling(top_k=50), softmax([0.0, 1.0, 2.0, 2.5])),
        # The probabilities are 0.043, 0.117, 0.317, 0.523: the two likeliest have 0.84.
        (Sampling(top_p=0.8), [0, 0, *softmax([2.0, 2.5])]),
        (Sampling(top_p=0.85), [0, *softmax([1.0, 2.0, 2.5])]),
        (Sampling(top_p=0.01), [0, 0, 0, 1]),
        # Of the two likeliest the first has 0.62: enough after top_k, not before.
        (Sampling(top_k=2, top_p=0.6), [0, 0, 0, 1]),
        (Sampling(top_p=0.6), [0, 0, *softmax([2.0, 2.5])]),
    ],
)
def test_frequencies_are_the_probabilities(sampling, expected):
    drawn = frequencies(sampling)
    # Four standard deviations of the frequency of DRAWS draws.
    np.testing.assert_allclose(drawn, expected, atol=4 * 0.5 / DRAWS**0.5)
    np.testing.assert_array_equal(drawn == 0, np.array(expected) == 0)


def test_compiled_the_same_tokens_are_drawn():
    sampling = Sampling(0.9, top_k=3, top_p=0.9)
    np.testing.assert_array_equal(frequencies(sampling, xla=True), frequencies(sampling))


def test_draws_at_the_ends_of_the_interval():
    np.testing.assert_array_equal(frequencies(Sampling(), uniform=np.zeros((1, 1), "float32")), [1, 0, 0, 0])
    np.testing.assert_array_equal(frequencies(Sampling(), uniform=np.ones((1, 1), "float32")), [0, 0, 0, 1])


def test_each_step_is_drawn_by_its_own_number_and_top_1_is_greedy():
    chain = Chain(seed=8, batch=20)
    uniform = np.random.default_rng(1).random((20, LENGTH)).astype("float32")
    greedy, top_1 = chain.decode(), chain.decode(sampling=Sampling(top_k=1), uniform=tf.constant(uniform))
    for one, other in zip(greedy, top_1, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    decoded = chain.decode(sampling=Sampling(), uniform=tf.constant(uniform))
    for element in range(20):
        sentence = ()
        while len(sentence) < LENGTH and END not in sentence:
            probabilities = {token: np.exp(each) for token, each in chain.log_softmax(element, sentence).items()}
            reached = np.cumsum(list(probabilities.values())) > uniform[element, len(sentence)]
            sentence += (list(probabilities)[int(np.argmax(reached))],)
        assert decoded.tokens[element, 0].tolist() == padded(sentence)
        assert decoded.log_probabilities[element, 0] == pytest.approx(
            chain.log_probability(element, sentence), rel=1e-4
        )


def test_mistakes_are_named():
    chain = Chain(seed=0)
    with pytest.raises(UserError, match="beams must be at least 1; received 0"):
        chain.decode(beams=0)
    with pytest.raises(UserError, match="beams=1; received beams=2"):
        chain.decode(beams=2, sampling=Sampling(), uniform=tf.zeros([2, LENGTH]))
    for options in ({"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}):
        with pytest.raises(UserError, match=next(iter(options))):
            Sampling(**options)
