"""Image captioning: an encoder's grid of features, and a decoder that attends to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_apps.errors import UserError, check_choices, check_range
from keras_apps.layers.attention import Score
from keras_apps.layers.decoding import Decoded, decode
from keras_apps.layers.images import decode_image, resize_image, to_pixels
from keras_apps.layers.optimizers import FusedAdam, moving_average
from keras_apps.layers.picture_encoders import IMAGENET, SCRATCH, is_inherited, picture_encoder, read_pretrained
from keras_apps.layers.schedules import InverseSquareRoot
from keras_apps.layers.soft_attention_decoder import SoftAttentionDecoder
from keras_apps.layers.tokenizers import SPACE, SpacedWordTokenizer
from keras_apps.layers.transformer import TransformerDecoder
from keras_apps.losses.sequence import token_cross_entropy
from keras_apps.metrics.captions import caption_report
from keras_apps.models.servable import ServableModel, Signature, Tensors
from keras_apps.progress import told


@keras.saving.register_keras_serializable(package="keras_apps")
class ImageCaptioner(ServableModel):
    """A picture to a sentence on it.

    The encoder's features, normalised and projected, and a learned vector for each place are the memory of a decoder:
    `rnn` is that of Show, Attend and Tell (`layers.soft_attention_decoder`), `transformer` a pre-norm one
    (`layers.transformer`). Captions are lower-cased and without punctuation.

    Args:
        encoder: `scratch`, a small net trained with the rest; `squeezenet`; or a model of `keras.applications` by name.
        encoder_weights: what `adapt` reads a pre-trained encoder's weights from: `imagenet`, which Keras fetches, or a
            file. Then it is empty, since they are a part of the model.
        image_size: of a side of the square that pictures are squashed to.
        architecture: of the decoder, `rnn` or `transformer`.
        vocabulary_size: how many words to learn at the most.
        max_length: words of a caption at the most; longer ones are cut in training.
        units: of the memory and of the decoder's states.
        dropout: of the features and in the decoder.
        cell: of the rnn, `lstm` or `gru`.
        embedding_dim: of a word in the rnn.
        attention: score of the rnn: `additive`, `dot`, `general`, `concat` or `scaled_dot`.
        depth: layers of the transformer.
        heads: of the transformer's attention.
        feedforward_units: of the transformer's hidden layers.
        beams: width of the beam search that answers; 1 is greedy.
        length_penalty: hypotheses are ranked by log-probability / length ** length_penalty.
        seed: of the initial weights and the dropout.
        vocabulary: learned by `adapt` unless given.
    """

    # Of the next word, given the true ones before it; it follows BLEU more closely than the loss does.
    monitor = ("val_accuracy", "max")
    # By the longest of a picture's captions, so that few steps are padding.
    bucket_boundaries = (8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 48, 64)
    sequences = ("captions",)

    def __init__(
        self,
        encoder: str = SCRATCH,
        encoder_weights: str = IMAGENET,
        image_size: int = 96,
        architecture: Literal["rnn", "transformer"] = "transformer",
        vocabulary_size: int = 4_000,
        max_length: int = 32,
        units: int = 256,
        dropout: float = 0.3,
        cell: Literal["lstm", "gru"] = "lstm",
        embedding_dim: int = 256,
        attention: Score = "additive",
        depth: int = 2,
        heads: int = 4,
        feedforward_units: int = 512,
        beams: int = 4,
        length_penalty: float = 1.0,
        seed: int = 0,
        vocabulary: Sequence[str] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.encoder_weights = encoder_weights
        self.image_size = image_size
        self.architecture = architecture
        self.vocabulary_size = vocabulary_size
        self.max_length = max_length
        self.units = units
        self.dropout = dropout
        self.cell = cell
        self.embedding_dim = embedding_dim
        self.attention = attention
        self.depth = depth
        self.heads = heads
        self.feedforward_units = feedforward_units
        self.beams = beams
        self.length_penalty = length_penalty
        self.seed = seed
        self.vocabulary = vocabulary
        sizes = ("units", "depth", "embedding_dim", "heads", "feedforward_units", "beams", "max_length")
        check_choices(self, ImageCaptioner.__init__)
        check_range(self, sizes, at_least=1)
        check_range(self, ("image_size", "vocabulary_size"), at_least=8)
        check_range(self, ("length_penalty",), at_least=0)
        check_range(self, ("dropout",), at_least=0, below=1)
        if architecture == "transformer" and units % (2 * heads):
            raise UserError(f"units={units} must be a multiple of twice heads={heads}")
        self.encoder_is_pretrained = False
        self.encoder_optimizer = None
        if vocabulary is not None:
            self._build_network()

    def _build_network(self) -> None:
        dtype = self.dtype_policy
        self.words = SpacedWordTokenizer(self.vocabulary, name="words", dtype=dtype)
        self.backbone = picture_encoder(self.encoder, self.image_size, self.seed + 100, dtype)
        self.grid = self.backbone.compute_output_shape((None, self.image_size, self.image_size, 3))[1:]
        self.normalize = keras.layers.LayerNormalization(epsilon=1e-5, name="normalize", dtype=dtype)
        self.drop_features = keras.layers.Dropout(self.dropout, seed=self.seed + 1, dtype=dtype)
        self.project = keras.layers.Dense(
            self.units, kernel_initializer=keras.initializers.GlorotUniform(self.seed + 2), name="project", dtype=dtype
        )
        positions = self.grid[0] * self.grid[1]
        # From what is alike near and unlike far, left of and above are learned soon; from random vectors hardly.
        self.places = self.add_weight(
            name="places",
            shape=(positions, self.units),
            initializer=lambda shape, dtype=None: tf.cast(_waves_over(*self.grid[:2], self.units), dtype or "float32"),
        )
        if self.architecture == "transformer":
            self.decoder = TransformerDecoder(
                self.words.size,
                self.units,
                self.depth,
                self.heads,
                self.feedforward_units,
                0,
                self.dropout,
                self.seed + 10,
                name="decoder",
                dtype=dtype,
            )
        else:
            self.decoder = SoftAttentionDecoder(
                self.words.size,
                self.embedding_dim,
                self.units,
                self.cell,
                self.attention,
                dropout=self.dropout,
                seed=self.seed + 10,
                name="decoder",
                dtype=dtype,
            )
        self.decoder.build((None, positions, self.units))
        self(
            {
                "image": keras.Input((self.image_size, self.image_size, 3), dtype="uint8", name="image"),
                "captions": keras.Input((None, None), dtype="int32", name="captions"),
            }
        )

    # From examples to batches.

    def adapt(self, examples: tf.data.Dataset) -> None:
        """Learns the vocabulary, where not given, builds, and reads the weights of a pre-trained encoder."""
        if self.vocabulary is None:
            self.vocabulary = SpacedWordTokenizer.learn(_captions(examples), self.vocabulary_size)
        if not self.built:
            self._build_network()
        if self.encoder_weights:
            read_pretrained(self.backbone, self.encoder_weights)
            self.encoder_weights = ""
            self.encoder_is_pretrained = True

    def inherit(self, other: ServableModel, skip: Sequence[str] = ()) -> tuple[int, int]:
        """Copies the weights that fit; of an encoder only where it is the same.

        Raises:
            UserError: where the encoder is another one, whose weights were not read.
        """
        kept = () if is_inherited(self.encoder, self.encoder_is_pretrained, other.encoder) else ("encoder",)
        return super().inherit(other, (*skip, *kept))

    def prepare(self, example: Tensors) -> Tensors:
        """`image` -> `<uint8>[size, size, 3]`; `captions` -> their words and the end, `<int32>[captions, steps]`."""
        captions = _plain_words(example["captions"])
        # Nothing is left of a caption of punctuation alone.
        captions = tf.boolean_mask(captions, tf.strings.length(captions) > 0)
        words = self.words.tokenize(captions)[:, : self.max_length]
        end = tf.RaggedTensor.from_tensor(tf.fill([words.nrows(), 1], self.words.end), row_splits_dtype=tf.int64)
        tokens = tf.concat([words, end], axis=1).to_tensor()
        return {
            "image": self._resize(example["image"]),
            # A caption may be without a word, a picture not without a caption.
            "captions": tf.cond(tf.size(tokens) > 0, lambda: tokens, lambda: tf.constant([[self.words.end]])),
        }

    def length(self, example: Tensors) -> tf.Tensor:
        """The number of words of a picture's longest caption, the end included."""
        return tf.shape(example["captions"])[1]

    def _resize(self, image: tf.Tensor) -> tf.Tensor:
        return to_pixels(resize_image(image, self.image_size))

    # What is computed once per picture.

    def features_key(self) -> str | None:
        """What `features` depend on besides the picture; None where the encoder is trained."""
        if any(weight.trainable for weight in self.backbone.weights):
            return None
        settings = [self.encoder, self.image_size, self.dtype_policy.name]
        digest = hashlib.sha256(json.dumps(settings).encode())
        for weight in self.backbone.get_weights():
            digest.update(weight.tobytes())
        return digest.hexdigest()

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """`<uint8>[batch, size, size, 3]` -> the encoder's grid, `<float16>[batch, positions, channels]`."""
        return tf.cast(self._look(images), tf.float16)

    def _look(self, images: tf.Tensor) -> tf.Tensor:
        grid = self.backbone(tf.cast(images, tf.float32))
        return tf.reshape(grid, [-1, self.grid[0] * self.grid[1], self.grid[2]])

    # The network.

    def call(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        """Logits of every word, the true ones before it given (teacher forcing).

        Args:
            inputs: `image` `<uint8>[batch, size, size, 3]`, or its `features`; `captions`
                `<int32>[batch, captions, steps]`, 0-padded.
            training: dropout.

        Returns:
            `<float>[batch * captions, steps, vocabulary]`.
        """
        return self.force(inputs, training)[0]

    def force(self, inputs: Tensors, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Does the same, and returns the weights over the grid too, `<float32>[batch * captions, steps, positions]`."""
        constants = self.remember(inputs, training)
        captions = tf.cast(inputs["captions"], tf.int32)
        if self.architecture == "transformer":
            count = tf.shape(captions)[1]
            constants = tf.nest.map_structure(lambda each: tf.repeat(each, count, axis=0), constants)
        target = _flat(captions)
        before = tf.concat([tf.fill([tf.shape(target)[0], 1], self.words.start), target[:, :-1]], axis=1)
        return self.decoder(before, constants, training=training)

    def remember(self, inputs: Tensors, training: bool = False) -> dict:
        """What the decoder remembers of each picture, from its `image` or `features`."""
        features = self._look(inputs["image"]) if "image" in inputs else inputs["features"]
        features = self.drop_features(self.normalize(tf.cast(features, self.compute_dtype)), training=training)
        memory = self.project(features)
        memory += tf.cast(tf.convert_to_tensor(self.places), memory.dtype)
        return self.decoder.remember(memory, tf.ones(tf.shape(memory)[:2], tf.bool))

    def caption(self, images: tf.Tensor) -> Decoded:
        """`<uint8>[batch, size, size, 3]` -> the best hypotheses, best first."""
        constants = self.remember({"image": images})
        limit = self.max_length + 1
        found = decode(
            self.decoder.step,
            self.decoder.initial_state(constants, limit),
            constants,
            batch=tf.shape(images)[0],
            start=self.words.start,
            end=self.words.end,
            max_length=limit,
            beams=self.beams,
            length_penalty=self.length_penalty,
            banned=self.words.unproducible,
        )
        # The last step is for the end; where a word stands there, the caption was cut off.
        return found._replace(
            tokens=found.tokens[..., : self.max_length], lengths=tf.minimum(found.lengths, self.max_length)
        )

    # Training.

    def compile(
        self,
        learning_rate: float = 1e-3,
        encoder_learning_rate: float = 0.0,
        warmup_steps: int = 500,
        label_smoothing: float = 0.0,
        attention_penalty: float = 1.0,
        clip_norm: float = 1.0,
        averaging: float = 0.0,
        xla: bool = False,
        steps_per_execution: int = 1,
    ) -> None:
        """Adam, its learning rate rising to a peak and falling with the inverse square root of the step.

        Args:
            learning_rate: at the peak.
            encoder_learning_rate: of a pre-trained encoder, at the peak; 0 keeps it as it is, so that its features are
                computed once. An encoder from scratch is trained as the rest.
            warmup_steps: when the peak is reached; 0 for constant learning rates.
            label_smoothing: probability given to all words alike.
            attention_penalty: weight of the mean of (1 - what a place was attended to in all of a caption) ** 2 (Xu
                2015, section 4.2.1).
            clip_norm: the greatest norm of the gradient, of the encoder's apart.
            averaging: momentum of the moving average of the weights that is evaluated and saved; 0 for none.
            xla: compile losses and gradients.
            steps_per_execution: training steps in one call of the graph.
        """
        self.label_smoothing = label_smoothing
        self.attention_penalty = attention_penalty
        check_range(self, ("label_smoothing",), at_least=0, below=1)
        check_range(self, ("attention_penalty",), at_least=0)

        def optimizer(rate: float) -> keras.optimizers.Optimizer:
            return FusedAdam(InverseSquareRoot(rate, warmup_steps), **moving_average(averaging))

        self.backbone.trainable = self.encoder == SCRATCH
        super().compile(
            optimizer(learning_rate),
            ["loss", "accuracy"],
            xla=xla,
            clip_norm=clip_norm,
            steps_per_execution=steps_per_execution,
        )
        self.encoder_optimizer = None
        if self.encoder != SCRATCH and encoder_learning_rate:
            self.backbone.trainable = True
            self.encoder_optimizer = optimizer(encoder_learning_rate)
            self.encoder_optimizer.build(self.backbone.trainable_variables)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """That of the decoder, and that of a fine-tuned encoder."""
        return [each for each in (self.optimizer, self.encoder_optimizer) if each is not None]

    def losses_and_gradients(
        self, batch: Tensors, words: tf.Tensor, captions: tf.Tensor
    ) -> tuple[Tensors, list[tf.Tensor]]:
        """Smoothed losses and hits by word, and the gradients of the mean loss and of the attention's penalty."""
        target = _flat(batch["captions"])
        with tf.GradientTape() as tape:
            logits, weights = self.force(batch, training=True)
            losses, hits = token_cross_entropy(logits, target, self.label_smoothing)
            loss = tf.reduce_sum(losses) / words
            if self.attention_penalty:
                there = tf.cast(target != 0, tf.float32)
                attended = tf.reduce_sum(weights * there[..., None], axis=1)
                penalty = tf.reduce_mean((1 - attended) ** 2, axis=-1) * there[:, 0]
                loss += self.attention_penalty * tf.reduce_sum(penalty) / captions
        # Dense, since sums across replicas and compiled functions are; Adam would make them dense anyway.
        gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, self.trainable_variables)]
        return {"loss": losses, "accuracy": hits}, gradients

    def train_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """One step on the means over all words and captions of all replicas."""
        there = tf.cast(batch["captions"] != 0, tf.float32)
        words, captions = self.global_sum(there), self.global_sum(there[..., 0])
        by_word, gradients = self.accelerate(self.losses_and_gradients)(batch, words, captions)
        gradient_of = {id(variable): each for variable, each in zip(self.trainable_variables, gradients, strict=True)}
        for optimizer in self.optimizers:
            variables = optimizer._trainable_variables
            self.apply_gradients(optimizer, [gradient_of[id(variable)] for variable in variables], variables)
        return self.track(by_word, tf.cast(_flat(batch["captions"]) != 0, tf.float32))

    def test_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """Loss, without smoothing, and accuracy of a batch, dropout off."""
        target = _flat(batch["captions"])
        losses, hits = token_cross_entropy(self(batch, training=False), target)
        return self.track({"loss": losses, "accuracy": hits}, tf.cast(target != 0, tf.float32))

    def measure(self, examples: tf.data.Dataset, batch_size: int = 64) -> dict[str, Any]:
        """BLEU, CIDEr-D and ROUGE-L against all captions, and the `answers`."""
        references = [
            [caption.decode("utf-8", "replace") for caption in captions]
            for captions in examples.map(lambda example: example["captions"]).as_numpy_iterator()
        ]
        images = examples.map(lambda example: self._resize(example["image"]), tf.data.AUTOTUNE).batch(batch_size)
        answers = []
        for batch in told(images.prefetch(1), "writing captions: batch", int(images.cardinality())):
            found = self._answer(batch)
            for caption, score in zip(found["caption"].numpy(), found["score"].numpy(), strict=True):
                answers.append({"caption": caption.decode("utf-8", "replace"), "score": float(score)})
        for each, captions in zip(answers, references, strict=True):
            each["references"] = captions
        return caption_report([each["caption"] for each in answers], references) | {"answers": answers}

    @tf.function(autograph=False, reduce_retracing=True)
    def _answer(self, images: tf.Tensor) -> Tensors:
        return self._write(self._search({"image": images}))

    # Answers.

    def signatures(self) -> dict[str, Signature]:
        """`serving_default`: the best caption; `explain`: what each of its words attends to."""
        inputs = {"image_bytes": tf.TensorSpec([None], tf.string, name="image_bytes")}
        grey = np.full((self.image_size, self.image_size, 3), 128, np.uint8)
        grey[self.image_size // 4 : -self.image_size // 4, self.image_size // 4 : -self.image_size // 4] = (200, 40, 40)
        examples = [{"image_bytes": tf.io.encode_png(grey).numpy()}]

        def signature(core: Any, encode: Any) -> Signature:
            return Signature(inputs, self._decode, core, encode, examples, batch_sizes=(1, 8, 32))

        return {
            "serving_default": signature(self._search, self._write),
            "explain": signature(self._search_and_attend, self._explain),
        }

    def _decode(self, inputs: Tensors) -> Tensors:
        size = self.image_size
        images = tf.map_fn(
            lambda image_bytes: self._resize(decode_image(image_bytes)),
            inputs["image_bytes"],
            fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
        )
        return {"image": images}

    def _search(self, inputs: Tensors) -> Tensors:
        found = self.caption(inputs["image"])
        return {"words": found.tokens[:, 0], "scores": found.log_probabilities[:, 0] / _counted(found)}

    def _write(self, outputs: Tensors) -> Tensors:
        return {"caption": self.words.detokenize(outputs["words"]), "score": outputs["scores"]}

    def _search_and_attend(self, inputs: Tensors) -> Tensors:
        best = self.caption(inputs["image"]).tokens[:, 0]
        _, weights = self.force(inputs | {"captions": best[:, None]})
        return {"words": best, "weights": weights}

    def _explain(self, outputs: Tensors) -> Tensors:
        """The words, "" beyond a caption's end, and the weights of each, `<float32>[batch, words, rows, columns]`."""
        words, weights = outputs["words"], outputs["weights"]
        longest = tf.reduce_max(tf.reduce_sum(tf.cast(words != 0, tf.int32), axis=1))
        shape = [tf.shape(words)[0], longest, *self.grid[:2]]
        pieces = tf.strings.regex_replace(self.words.pieces(words[:, :longest]), SPACE, "")
        return {"words": pieces, "weights": tf.reshape(weights[:, :longest], shape)}


def _waves_over(rows: int, columns: int, units: int) -> np.ndarray:
    """Sines and cosines of a place's row in one half of the units and of its column in the other.

    Their periods go from 4 places to 400, in geometric order (Vaswani 2017, section 3.5, in two dimensions).

    Returns:
        `<float32>[rows * columns, units]`.
    """
    at = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 2)
    of_axis = np.arange(units) % 2
    number = np.arange(units) // 4
    periods = 4 * 100 ** (number / max(1, number[-1]))
    phases = np.pi / 2 * (np.arange(units) // 2 % 2)
    return np.sin(2 * np.pi * at[:, of_axis] / periods + phases).astype(np.float32)


def _counted(found: Decoded) -> tf.Tensor:
    """The number of steps of the best captions: the words, and their end or the word that was cut off."""
    return tf.cast(found.lengths[:, 0] + 1, tf.float32)


def _flat(captions: tf.Tensor) -> tf.Tensor:
    """`<int32>[batch, captions, steps]` -> `<int32>[batch * captions, steps]`."""
    return tf.reshape(captions, [-1, tf.shape(captions)[2]])


def _plain_words(captions: tf.Tensor) -> tf.Tensor:
    """Lower-cases captions and leaves out punctuation, but for what is inside a word."""
    text = tf.strings.unicode_transcode(captions, "UTF-8", "UTF-8", errors="replace")
    text = tf.strings.regex_replace(tf.strings.lower(text, encoding="utf-8"), "\u2019", "'")
    text = tf.strings.regex_replace(text, r"[^\p{L}\p{N}\p{M}'-]+", " ")
    text = tf.strings.regex_replace(text, r"(^|\s)['-]+|['-]+(\s|$)", " ")
    return tf.strings.strip(tf.strings.regex_replace(text, r"\s+", " "))


def _captions(examples: tf.data.Dataset) -> Iterator[str]:
    for captions in examples.map(lambda example: _plain_words(example["captions"])).as_numpy_iterator():
        yield from (caption.decode() for caption in captions if caption)
