import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError
from keras_apps.models.translation import Translator

PAIRS = [
    ("The dog sleeps.", "Der Hund schläft."),
    ("The cat sleeps.", "Die Katze schläft."),
    ("I know that the dog sleeps.", "Ich weiß, dass der Hund schläft."),
    ("I know that the cat runs.", "Ich weiß, dass die Katze läuft."),
    ("The dog runs, the cat sleeps.", "Der Hund läuft, die Katze schläft."),
]
SMALL = {"units": 24, "embedding_dim": 24, "feedforward_units": 48, "heads": 2, "dropout": 0.0, "max_length": 24}


def examples(pairs=PAIRS):
    sources, targets = zip(*pairs, strict=True)
    return without_tuning(tf.data.Dataset.from_tensor_slices({"source": list(sources), "target": list(targets)}))


def made(**arguments):
    model = Translator(**(SMALL | {"tokenizer": "words"} | arguments))
    model.adapt(examples().repeat(2))
    return model


def trained(steps=120, learning_rate=0.01, **arguments):
    model = made(**arguments)
    model.compile(learning_rate=learning_rate, warmup_steps=10, label_smoothing=0.05)
    prepared = examples().map(model.prepare).cache()
    batch = next(iter(prepared.padded_batch(len(PAIRS))))
    step = tf.function(model.train_step, autograph=False)
    for _ in range(steps):
        step(batch)
    return model


@pytest.mark.parametrize("attention", ["dot", "scaled_dot"])
def test_states_of_one_width_are_compared(attention):
    model = made(attention=attention)
    batch = next(iter(examples().map(model.prepare).padded_batch(len(PAIRS))))
    logits, weights = model.force(batch)
    assert logits.shape[:2] == batch["target"].shape and np.allclose(tf.reduce_sum(weights, -1), 1, atol=1e-5)
    assert model.serve(text=["A dog."])["text"].shape == (1,)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_on_a_gpu_xla_meets_no_cudnn(monkeypatch, cell):
    """There Keras takes kernels for recurrent layers that XLA can't compile."""
    monkeypatch.setattr(importlib.import_module("keras.src.backend.tensorflow.rnn"), "_is_gpu_available", lambda: True)
    model = made(architecture="rnn", cell=cell)
    batch = next(iter(examples().map(model.prepare).padded_batch(len(PAIRS))))
    model.compile()
    with pytest.raises(tf.errors.InvalidArgumentError, match="CudnnRNN"):
        tf.function(model.losses_and_gradients, jit_compile=True, autograph=False)(batch, tf.constant(30.0))
    model.compile(xla=True)
    losses, _ = model.accelerate(model.losses_and_gradients)(batch, tf.constant(30.0))
    assert np.isfinite(losses["loss"]).all()


def test_a_vocabulary_of_the_other_tokenizer_is_refused():
    with pytest.raises(UserError, match="tokenizer=subwords can't have the vocabulary of the other one"):
        Translator.from_config(made().get_config() | {"tokenizer": "subwords"})


@pytest.fixture(scope="module", params=["rnn", "transformer"])
def translator(request):
    return trained(architecture=request.param)


def test_overfits_a_handful_of_pairs_and_says_them_back(translator):
    report = translator.measure(examples(), batch_size=2)
    assert report["exact_match"] == 1.0 and report["bleu"] == pytest.approx(100)
    assert [answer["translation"] for answer in report["answers"]] == [target for _, target in PAIRS]
    scores = translator.serve(text=[source for source, _ in PAIRS])["score"].numpy()
    assert (scores < 0).all() and (scores > -0.5).all()


def test_sentences_that_are_not_read_count_as_not_translated(translator, caplog):
    report = translator.measure(examples([*PAIRS, ("dog " * 24, "Hund"), (" ", "Katze")]))
    assert [answer["translation"] for answer in report["answers"]] == [*(target for _, target in PAIRS), "", ""]
    assert report["exact_match"] == 5 / 7 and report["answers"][5]["score"] is None
    assert "1 of 7 sentences have more than the 23 tokens that are read" in caplog.text


def test_subwords_and_gru_overfit_too():
    model = trained(tokenizer="subwords", vocabulary_size=330, cell="gru", attention="additive", steps=160)
    assert model.measure(examples())["exact_match"] == 1.0


def test_what_is_served_is_what_was_trained(translator):
    """The log-probability that a served score stands for is that of teacher forcing with the same words."""
    source, target = PAIRS[3]
    prepared = translator.prepare({"source": tf.constant(source), "target": tf.constant(target)})
    batch = {name: value[None] for name, value in prepared.items()}
    logits = translator(batch).numpy()[0].astype(np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = log_probabilities[np.arange(len(prepared["target"])), prepared["target"]]
    score = float(translator.serve(text=[source])["score"][0])
    # Where padding, start and unknown are left out of the softmax's sum, a score can only be a little higher.
    assert chosen.mean() - 1e-4 <= score <= chosen.mean() + 0.02


def test_a_batch_changes_no_answer(translator):
    texts = [source for source, _ in PAIRS] + ["The dog " * 6]
    together = translator.serve(text=texts)
    for index, text in enumerate(texts):
        alone = translator.serve(text=[text])
        assert alone["text"][0] == together["text"][index]
        np.testing.assert_allclose(alone["score"][0], together["score"][index], atol=1e-4)


@pytest.mark.parametrize("architecture", ["rnn", "transformer"])
def test_a_long_text_beside_gives_no_more_steps(architecture):
    keras.utils.set_random_seed(0)
    untrained = made(architecture=architecture)
    alone = untrained.serve(text=["The dog sleeps."])["text"][0]
    # Ends by its limit only, that of texts of up to 16 tokens.
    assert len(alone.numpy().split()) == 32
    assert untrained.serve(text=["The dog sleeps.", "The dog " * 9])["text"][0] == alone


def test_the_beam_is_listed_best_first(translator):
    best = translator.serve(text=[PAIRS[0][0]])
    beam = translator.serve("n_best", text=[PAIRS[0][0]])
    assert beam["texts"].shape == (1, 4) and len({text.decode() for text in beam["texts"][0].numpy()}) == 4
    assert beam["texts"][0, 0] == best["text"][0]
    assert (np.diff(beam["scores"][0]) <= 0).all()
    narrow = translator.snapshot(beams=1)
    assert narrow.serve("n_best", text=["The cat"])["texts"].shape == (1, 1)


def test_explains_each_word_with_weights_over_the_source(translator):
    answer = translator.serve("explain", text=[PAIRS[2][0], "The dog sleeps."])
    words = [piece.decode() for piece in answer["tokens"][0].numpy() if piece]
    assert "".join(words).replace("▁", " ").strip() == PAIRS[2][1]
    assert answer["weights"].shape == (2, answer["tokens"].shape[1], answer["source_tokens"].shape[1])
    np.testing.assert_allclose(tf.reduce_sum(answer["weights"][0, : len(words)], -1), 1, atol=1e-5)
    assert not answer["weights"].numpy()[1, :, 5:].any()
    assert "explain" not in Translator(**SMALL, tokenizer="words", attention="none", vocabulary=["a"]).signatures()


def test_padding_counts_neither_in_loss_nor_in_accuracy(translator):
    prepared = examples().map(translator.prepare)
    batch = next(iter(prepared.padded_batch(5)))
    wider = {name: tf.pad(tokens, [[0, 0], [0, 7]]) for name, tokens in batch.items()}
    results = []
    for each in (batch, wider):
        for metric in translator.metrics:
            metric.reset_state()
        results.append({name: float(value) for name, value in translator.test_step(each).items()})
    assert results[0] == pytest.approx(results[1], abs=1e-5) and results[0]["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [("  ", "text 1 of the request is empty"), ("dog " * 24, "text 1 of the request has more than the 23 tokens")],
)
def test_requests_that_make_no_sense_are_refused_by_their_place(translator, text, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        translator.serve(text=["The dog", text])


def test_examples_for_warming_up_have_all_the_lengths():
    for kind in ("words", "subwords"):
        model = made(tokenizer=kind, vocabulary_size=330, max_length=40)
        widths = [
            model._decode({"text": tf.constant([example["text"]])})["source"].shape[1]
            for example in model.signatures()["serving_default"].examples
        ]
        assert widths == model.lengths == [16, 32, 40]


def test_examples_for_warming_up_are_read_where_words_are_none():
    """Of numbers alone, whose pieces are no words, and of words whose signs are pieces by themselves."""
    for texts in (["12 7 903", "903 7 12", "55 1 8"] * 40, ["हिन्दी में", "दिल में है"] * 60):
        model = Translator(**SMALL | {"tokenizer": "subwords", "vocabulary_size": 330, "max_length": 40})
        model.adapt(examples([(text, text) for text in texts]))
        asked = [example["text"] for example in model.signatures()["serving_default"].examples]
        assert [model._decode({"text": tf.constant([text])})["source"].shape[1] for text in asked] == model.lengths


def test_batches_hold_as_many_tokens_whatever_the_length():
    model = made(max_length=64)
    pairs = [("dog " * (3 + n % 40), "Hund") for n in range(800)]
    prepared = examples(pairs).map(model.prepare)
    sizes = [batch["source"].shape for batch in model.batches(prepared, 8, training=True, seed=3)]
    areas = np.array([rows * length for rows, length in sizes])
    assert areas.max() <= 8 * 16 and np.median(areas) > 90
    assert sum(rows for rows, _ in sizes) == 800


def test_fine_tuning_keeps_tokens_and_weights():
    parent = made()
    other = examples([("A horse.", "Ein Pferd.")])
    child = Translator.from_config(parent.config_for(other) | {"dropout": 0.4})
    child.adapt(other)
    assert child.vocabulary == parent.vocabulary and child.dropout == 0.4
    copied, total = child.inherit(parent)
    assert copied == total


@pytest.mark.parametrize(
    "arguments", [{"units": 0}, {"dropout": 1.0}, {"beams": 0}, {"max_length": 4}, {"length_penalty": -1.0}]
)
def test_settings_out_of_range_are_refused_by_name(arguments):
    (name,) = arguments
    with pytest.raises(UserError, match=f"^{name} must be at least"):
        Translator(**arguments)


def test_heads_must_share_the_units():
    with pytest.raises(UserError, match="units=20 must be a multiple of twice heads=4"):
        Translator(architecture="transformer", units=20, heads=4)
