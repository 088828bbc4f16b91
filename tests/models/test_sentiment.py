import importlib

import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError
from keras_apps.models.sentiment import SentimentClassifier

TEXTS = ["a good film", "a bad film", "not a good film", "not a bad film, is it?"] * 2
LABELS = ["pos", "neg", "neg", "pos"] * 2


def examples(texts=TEXTS, labels=LABELS):
    return without_tuning(tf.data.Dataset.from_tensor_slices({"text": list(texts), "label": list(labels)}))


def trained(epochs=60, **arguments):
    options = {
        "units": 8,
        "embedding_dim": 8,
        "word_dropout": 0.0,
        "embedding_dropout": 0.0,
        "dropout": 0.0,
        "ngram_dropout": 0.0,
    }
    model = SentimentClassifier(**(options | arguments))
    model.adapt(examples())
    model.compile(learning_rate=0.02)
    prepared = examples().map(model.prepare)
    model.fit(model.batches(prepared, 8, training=True, seed=1).repeat(epochs), verbose=0)
    return model


@pytest.mark.parametrize(
    "arguments",
    [
        {"cell": "rnn", "pooling": "last", "bidirectional": False},
        {"cell": "lstm", "pooling": "attention", "depth": 2},
        {"cell": "gru", "pooling": "max", "ngram_buckets": 64},
        {"cell": "gru", "pooling": "mean", "dtype": "mixed_bfloat16"},
    ],
    ids=str,
)
def test_overfits_a_handful_of_examples(arguments):
    """Negation can't be told from words alone, so the recurrent net must have learned the order."""
    model = trained(**arguments)
    report = model.measure(examples())
    assert report["accuracy"] == 1.0 and report["log_loss"] < 0.1
    if "ngram_buckets" not in arguments:
        assert model.serve(text=["a bad film"])["label"].numpy().tolist() == [b"neg"]


def test_learns_from_the_examples_what_they_decide():
    model = SentimentClassifier(units=2)
    model.adapt(examples(["x y", "x z", "y x"], ["10", "9", "a"]))
    assert model.class_names == ["9", "10", "a"]
    assert model.vocabulary == ["x", "y"]


@pytest.mark.parametrize("pooling", ["attention", "last", "max", "mean"])
def test_texts_without_a_word_are_texts(pooling):
    model = SentimentClassifier(
        units=2, embedding_dim=2, pooling=pooling, vocabulary=["good"], class_names=["neg", "pos"]
    )
    report = model.measure(examples(["<br />", "<b>"], ["pos", "neg"]))
    assert report["examples"] == 2 and np.isfinite(report["log_loss"])


def test_prepared_examples_are_indices():
    model = SentimentClassifier(units=2, vocabulary=["good", "film"], class_names=["neg", "pos"], ngram_buckets=32)
    prepared = model.prepare({"text": tf.constant("good old film"), "label": tf.constant("pos")})
    assert prepared["tokens"].numpy().tolist() == [2, 1, 3]
    assert int(prepared["label"]) == 1 and 4 <= len(prepared["ngrams"]) <= 5


def test_padding_changes_no_answer():
    model = SentimentClassifier(units=4, vocabulary=["good"], class_names=["a", "b"], ngram_buckets=32, seed=1)
    alone = model.serve(text=["a good film"])["probabilities"]
    beside_a_long_one = model.serve(text=["a good film", "word " * 100])["probabilities"]
    np.testing.assert_allclose(alone[0], beside_a_long_one[0], atol=1e-6)


def test_training_sees_another_part_of_a_long_text_each_time():
    model = SentimentClassifier(
        units=2, vocabulary=[str(n) for n in range(50)], class_names=["a", "b"], training_window=5
    )
    example = model.prepare({"text": tf.constant(" ".join(map(str, range(50)))), "label": tf.constant("a")})
    assert len(example["tokens"]) == 50
    starts = set()
    for n in range(40):
        tokens = model.augment(example, tf.constant([3, n], tf.int64))["tokens"].numpy()
        np.testing.assert_array_equal(tokens, range(tokens[0], tokens[0] + 5))
        starts.add(int(tokens[0]))
    assert len(starts) > 15 and min(starts) >= 2 and max(starts) <= 47
    short = example | {"tokens": example["tokens"][:3]}
    np.testing.assert_array_equal(model.augment(short, tf.constant([1, 1], tf.int64))["tokens"], short["tokens"])


def test_training_pads_to_few_shapes_for_xla():
    model = SentimentClassifier(units=2, vocabulary=["w"], class_names=["a", "b"], ngram_buckets=32)
    model.compile(xla=True)
    some = examples(["w " * n for n in (1, 5, 20, 33, 60, 100)], ["a", "b"] * 3)
    prepared = some.map(model.prepare)
    widths = {(b["tokens"].shape[1], b["ngrams"].shape[1]) for b in model.batches(prepared, 2, training=True)}
    assert widths <= {(32, 64), (64, 128), (128, 256)} and len(widths) == 3


def test_a_window_cuts_no_ngrams():
    text = " ".join(f"w{n}" for n in range(200))
    for xla in (False, True):
        model = SentimentClassifier(
            units=2, vocabulary=["w"], class_names=["a", "b"], ngram_buckets=2**20, training_window=10
        )
        model.compile(xla=xla)
        prepared = examples([text], ["a"]).map(model.prepare)
        (batch,) = model.batches(prepared, 1, training=True)
        assert np.count_nonzero(batch["ngrams"]) > 390 and np.count_nonzero(batch["tokens"]) == 10


def test_xla_gives_the_same_losses_and_gradients():
    model = trained(epochs=1, ngram_buckets=64)
    batch = next(iter(model.batches(examples().map(model.prepare), 8, training=False)))
    model.compile(xla=False)
    plain_logits, plain = model.losses_and_gradients(batch)
    model.compile(xla=True)
    logits, compiled = model.accelerate(model.losses_and_gradients)(batch)
    for ours, theirs in zip(plain_logits + plain, logits + compiled, strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(ours), tf.convert_to_tensor(theirs), rtol=1e-4, atol=1e-5)


def test_no_text_is_all_padding_to_the_encoder(monkeypatch):
    """CuDNN stops at one that is."""
    rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")
    model = SentimentClassifier(units=2, vocabulary=["good", "film"], class_names=["a", "b"])
    tokens = tf.constant([[1, 2, 1], [0, 0, 0], [2, 0, 0]])
    seen = []
    call = type(model.encoder[0]).call
    monkeypatch.setattr(
        type(model.encoder[0]),
        "call",
        lambda self, *args, mask, **kw: seen.append(mask) or call(self, *args, mask=mask, **kw),
    )
    states, mask = model.read(tokens, training=False)
    for each in seen:
        rnn._assert_valid_mask(each)
    assert len(seen) == len(model.encoder) and mask.numpy().tolist() == (tokens != 0).numpy().tolist()
    np.testing.assert_array_equal(seen[0], [[True] * 3, [True, False, False], [True, False, False]])


def test_training_is_watched_whatever_the_model_was_calibrated_by():
    """A branch that did not count before would not be seen to learn."""
    model = trained(epochs=1, ngram_buckets=64)
    batch = next(iter(model.batches(examples().map(model.prepare), 8, training=False)))
    seen = []
    for scales in ([1.0, 1.0], [0.0, 0.01]):
        model.branch_scales.assign(scales)
        model.reset_metrics()
        seen.append({name: float(value) for name, value in model.test_step(batch).items()})
    assert seen[0] == seen[1] and seen[0]["loss"] != pytest.approx(np.log(2), abs=1e-3)


def test_calibration_leaves_a_model_its_answers(caplog):
    model = SentimentClassifier(units=2, vocabulary=["good"], class_names=["neg", "pos"])
    model.head.bias.assign([-5.0, 5.0])
    assert not model.calibrate(examples(["good"] * 4, ["NEG"] * 4)) and model.branch_scales.numpy().tolist() == [1]
    assert model.calibrate(examples(["good"] * 4, ["neg"] * 4))
    answer = model.serve(text=["good"])
    assert answer["label"].numpy().tolist() == [b"pos"] and 0.5 < answer["score"].numpy()[0] < 0.6
    assert "4 validation examples find no use in what was learned" in caplog.text


def test_calibration_makes_a_boastful_model_modest():
    """A model that is right three times in four, and says it is always sure."""
    texts, labels = ["good"] * 400, ["pos", "pos", "pos", "neg"] * 100
    model = SentimentClassifier(units=2, vocabulary=["good"], class_names=["neg", "pos"])
    model.head.kernel.assign(np.zeros(model.head.kernel.shape))
    model.head.bias.assign([-5.0, 5.0])
    assert model.measure(examples(texts, labels))["calibration_error"] == pytest.approx(0.25, abs=0.01)
    assert model.calibrate(examples(texts, labels), 8)
    assert float(model.serve(text=["good"])["score"][0]) == pytest.approx(0.75, abs=0.01)
    assert model.measure(examples(texts, labels))["calibration_error"] < 0.01


def test_explains_with_weights_that_sum_to_one():
    model = SentimentClassifier(units=2, vocabulary=["good"], class_names=["a", "b"])
    answer = model.serve("explain", text=["Good, old film", "x"])
    assert [w.decode() for w in answer["tokens"][0].numpy() if w] == ["good", ",", "old", "film"]
    np.testing.assert_allclose(tf.reduce_sum(answer["weights"], 1), 1, rtol=1e-5)
    assert not answer["weights"][1, 1:].numpy().any()
    assert "explain" not in SentimentClassifier(pooling="max", vocabulary=["a"], class_names=["a", "b"]).signatures()


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_an_empty_text_is_refused_by_its_place(empty):
    model = SentimentClassifier(units=2, vocabulary=["good"], class_names=["a", "b"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="text 1 of the request is empty"):
        model.serve(text=["good", empty])


def test_strange_texts_get_an_answer():
    model = SentimentClassifier(units=2, vocabulary=["good"], class_names=["a", "b"], max_length=40, ngram_buckets=32)
    texts = ["\x00\x01", "💥" * 500, "word " * 5000, "<br/>", "é", b"\xff\xfe\xfa"]
    scores = model.serve(text=texts)["score"].numpy()
    assert np.isfinite(scores).all() and (scores >= 0.5).all()


@pytest.mark.parametrize("arguments", [{"units": 0}, {"dropout": 1.0}, {"word_dropout": -0.1}, {"ngram_buckets": -1}])
def test_settings_out_of_range_are_refused_by_name(arguments):
    (name,) = arguments
    with pytest.raises(UserError, match=f"^{name} must be at least"):
        SentimentClassifier(**arguments)


def test_unknown_classes_are_not_counted_as_mistakes():
    model = SentimentClassifier(units=2, vocabulary=["good"], class_names=["neg", "pos"])
    with pytest.raises(
        UserError, match="1 of 2 examples have a class that the model does not know: positive; it knows neg, pos"
    ):
        model.measure(examples(["good", "good"], ["pos", "positive"]))


def test_fine_tuning_keeps_vocabulary_and_replaces_the_head_for_other_classes():
    parent = trained(epochs=1, ngram_buckets=64)
    same = SentimentClassifier.from_config(parent.config_for(examples()))
    assert same.inherit(parent) == (len(parent.weights), len(parent.weights))
    other = examples(["so so"], ["middling"]).concatenate(examples())
    child = SentimentClassifier.from_config(parent.config_for(other))
    child.adapt(other)
    copied, total = child.inherit(parent)
    assert child.class_names == ["middling", "neg", "pos"] and child.vocabulary == parent.vocabulary
    assert child.head.kernel.shape[-1] == 3 and 0 < copied < total
    np.testing.assert_array_equal(child.embedding.embeddings, parent.embedding.embeddings)
    # Other classes that are equally many: the head would fit, but must not be taken over.
    swapped = SentimentClassifier.from_config(parent.config_for(examples(["x", "y"], ["cold", "hot"])))
    swapped.adapt(examples(["x", "y"], ["cold", "hot"]))
    swapped.inherit(parent)
    assert not np.allclose(swapped.head.kernel, parent.head.kernel)
    assert not np.allclose(swapped.ngrams.ratios, parent.ngrams.ratios)
    # N-grams that the parent never saw begin as in a model of their own; those that it knows as they are in it.
    new = examples(["splendid", "wretched"], ["pos", "neg"]).concatenate(examples())
    tuned = SentimentClassifier.from_config(parent.config_for(new))
    tuned.adapt(new)
    own, known = tuned.ngrams.ratios.numpy(), parent.ngrams.ratios.numpy()
    tuned.inherit(parent)
    assert np.any((known == 0) & (own != 0))
    np.testing.assert_array_equal(tuned.ngrams.ratios, np.where(known == 0, own, known))
    with pytest.raises(UserError, match=r"one class only \(pos\)"):
        parent.config_for(examples(["x", "y"], ["pos", "pos"]))


def test_a_frozen_encoder_stays_and_the_head_learns():
    model = trained(epochs=1)
    model.compile(freeze_encoder=True, learning_rate=0.1)
    before = [np.array(w) for w in (model.embedding.embeddings, model.encoder[0].weights[0], model.head.kernel)]
    prepared = examples().map(model.prepare)
    model.fit(model.batches(prepared, 8, training=True, seed=1), verbose=0)
    after = [np.array(w) for w in (model.embedding.embeddings, model.encoder[0].weights[0], model.head.kernel)]
    assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False]
