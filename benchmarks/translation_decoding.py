"""How soon a translation is written: `python -m benchmarks.translation_decoding --model RUN_DIR`.

The first tables are of greedy decoding of one sentence at a time, raw text in and raw text out, by one model in five
ways: the two of TensorFlow's tutorial (a Python loop, and a graph with every step in it), a Python loop over a compiled
step, and the exported loop, portable and compiled by XLA. The last is of beam search, in sentences a second.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import simple_parsing
import tensorflow as tf

from apps.translation import DataFlags, ModelFlags
from benchmarks import timing
from keras_apps.data import translation
from keras_apps.errors import UserError
from keras_apps.models.servable import ServableModel, Signature, Tensors
from keras_apps.models.translation import Translator

ANSWER = "serving_default"


@dataclasses.dataclass(frozen=True)
class Exported:
    """A SavedModel with one signature, written and loaded again.

    Args:
        answer: its signature.
        nodes: operations in its graph, those in bodies of loops and in functions included.
        megabytes: of the file with the graph; the weights are beside it.
        save_seconds: to trace and write it.
        load_seconds: to load it.
        kept: what has to live as long as the signature.
    """

    answer: Callable[..., Tensors]
    nodes: int
    megabytes: float
    save_seconds: float
    load_seconds: float
    kept: Any


def export(model: ServableModel, function: Callable[[Tensors], Tensors], signature: Signature) -> Exported:
    """Writes a function of raw inputs as the apps' exports are written, and loads it as a server does."""
    with tempfile.TemporaryDirectory() as folder:
        began = timing.now()
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint(ANSWER, function, input_signature=[dict(signature.inputs)])
        archive.write_out(folder, verbose=False)
        written = timing.now()
        loaded = tf.saved_model.load(folder)
        ended = timing.now()
        graph = loaded.signatures[ANSWER].graph.as_graph_def()
        nodes = len(graph.node) + sum(len(function.node_def) for function in graph.library.function)
        size = (Path(folder) / "saved_model.pb").stat().st_size / 1e6
        return Exported(loaded.signatures[ANSWER], nodes, size, written - began, ended - written, loaded)


class PythonLoop:
    """Greedy decoding by a Python loop that looks after every step whether the sentence has ended.

    Args:
        model: what translates.
        limit: steps at the most.
        compiled: a graph for the encoder and one for a step; else all is eager, as `translate` of
            https://www.tensorflow.org/text/tutorials/nmt_with_attention is.
    """

    def __init__(self, model: Translator, limit: int, compiled: bool = True):
        self.model = model
        self.limit = limit
        self.steps = 0
        self.forbidden = forbidden(model)
        self._decode = model.signatures()[ANSWER].decode
        self._begin, self._advance = self.begin, self.advance
        if compiled:
            self._begin, self._advance = (
                tf.function(each, autograph=False, reduce_retracing=True) for each in (self.begin, self.advance)
            )

    def begin(self, text: tf.Tensor) -> tuple[Any, Any]:
        """Reads one sentence, without padding; `<string>[1]` -> the decoder's constants and first state."""
        source = self._decode({"text": text})["source"]
        constants = self.model.read(tf.boolean_mask(source, source != 0)[None])
        return constants, self.model.decoder.initial_state(constants, self.limit)

    def advance(self, token: tf.Tensor, position: tf.Tensor, state: Any, constants: Any) -> tuple[tf.Tensor, Any]:
        """The likeliest next token `<int32>[1]`, and the state."""
        logits, state = self.model.decoder.step(token, position, state, constants)
        return tf.argmax(tf.cast(logits, tf.float32) + self.forbidden, axis=-1, output_type=tf.int32), state

    def __call__(self, text: tf.Tensor) -> str:
        """The translation; `steps` is how many it took."""
        constants, state = self._begin(text)
        token = tf.constant([self.model.tokens.start])
        tokens = []
        for position in range(self.limit):
            token, state = self._advance(token, tf.constant(position), state, constants)
            if int(token[0]) == self.model.tokens.end:
                break
            tokens.append(token)
        self.steps = position + 1
        written = tf.stack(tokens, axis=1) if tokens else tf.zeros([1, 0], tf.int32)
        return self.model.tokens.detokenize(written).numpy()[0].decode("utf-8", "replace")


def unrolled(model: Translator, limit: int) -> Callable[[Tensors], Tensors]:
    """A graph with every one of `limit` steps in it, as the tutorial exports: nothing ends it early."""
    loop = PythonLoop(model, limit, compiled=False)
    end = model.tokens.end

    def answer(inputs: Tensors) -> Tensors:
        constants, state = loop.begin(inputs["text"])
        token = tf.constant([model.tokens.start])
        ended = tf.constant([False])
        tokens = []
        for position in range(limit):
            token, state = loop.advance(token, tf.constant(position), state, constants)
            ended |= token == end
            tokens.append(tf.where(ended, 0, token))
        return {"text": model.tokens.detokenize(tf.stack(tokens, axis=1))}

    return answer


def forbidden(model: Translator) -> tf.Tensor:
    """`<float32>[vocabulary]`: -inf for the tokens that the exported loop never produces, else 0."""
    row = np.zeros(model.tokens.size, np.float32)
    row[list(model.tokens.unproducible)] = -np.inf
    return tf.constant(row)


def by_length(model: Translator, texts: Sequence[str], lengths: Sequence[int], count: int) -> dict[int, list[str]]:
    """For each of the lengths that requests are padded to, the first sentences that are padded to it."""
    numbers = model.tokens.tokenize(tf.constant(texts)).row_lengths().numpy() + 1
    chosen = {}
    for length in lengths:
        if length not in model.lengths:
            raise UserError(f"--lengths {length}: this model pads to {model.lengths}")
        shorter = max((each for each in model.lengths if each < length), default=1)
        found = [text for text, number in zip(texts, numbers, strict=True) if shorter < number <= length]
        if not found:
            raise UserError(f"--lengths {length}: the data has no sentence of {shorter + 1} to {length} tokens")
        chosen[length] = found[:count]
    return chosen


def greedy_table(model: Translator, texts: Sequence[str], length: int, calls: int, seconds: float) -> str:
    """One sentence at a time, all ways in turn with the same; model is greedy."""
    limit = 2 * length
    signature = model.signatures()[ANSWER]
    loops = {
        "Python loop, eager": PythonLoop(model, limit, compiled=False),
        "Python loop, compiled step": PythonLoop(model, limit),
    }
    exports = {
        "unrolled graph": export(model, unrolled(model, limit), signature),
        "our loop": export(model, signature.function(xla=False), signature),
        "our loop, XLA": export(model, signature.function(xla=True), signature),
    }

    def asked(exported: Exported) -> Callable[[tf.Tensor], str]:
        return lambda text: exported.answer(text=text)["text"].numpy()[0].decode("utf-8", "replace")

    ways: Mapping[str, Callable[[tf.Tensor], str]] = loops | {name: asked(each) for name, each in exports.items()}
    ours = list(ways)[-2]
    first, answers, steps = {}, {}, []
    for name, way in ways.items():
        began = timing.now()
        way(tf.constant(texts[:1]))
        first[name] = timing.now() - began
        answers[name] = []
        for text in texts:
            answers[name].append(way(tf.constant([text])))
            if name in loops:
                steps.append(loops[name].steps)
        timing.progress(f"{name}: warm")

    def turns(way: Callable[[tf.Tensor], str]) -> Callable[[], str]:
        texts_in_turn: Iterator[tf.Tensor] = itertools.cycle([tf.constant([text]) for text in texts])
        return lambda: way(next(texts_in_turn))

    measured = timing.time_calls([turns(way) for way in ways.values()], calls=calls, seconds=seconds)
    timings = dict(zip(ways, measured, strict=True))
    rows = []
    for name, timed in timings.items():
        exported = exports.get(name)
        size = [f"{exported.nodes:,}", f"{exported.megabytes:.2f}"] if exported else ["", ""]
        spent = [f"{exported.save_seconds:.1f}", f"{exported.load_seconds:.1f}"] if exported else ["", ""]
        rows.append(
            [name, f"{1e3 * timed.median:.2f}", f"{1e3 * timed.p95:.2f}"]
            + [f"{timed.median / timings[each].median:.2f}" for each in list(ways)[-2:]]
            + [f"{1e3 * first[name]:.0f}", *size, *spent]
        )
    header = ["one sentence, greedy", "ms, median", "p95", "to our loop", "to our loop, XLA", "first call, ms"]
    differing = {
        name: sum(mine != theirs for mine, theirs in zip(answers[name], answers[ours], strict=True)) for name in ways
    }
    strays = [f"{name}: {count} of {len(texts)}" for name, count in differing.items() if count]
    return "\n".join(
        [
            f"{len(texts)} sentences padded to {length} tokens, {len(timings[ours].seconds)} calls each; "
            f"{np.mean(steps):.1f} steps to a translation on average, {limit} at the most. "
            + (f"Other translations than our loop's: {', '.join(strays)}." if strays else "All translate alike."),
            "",
            timing.table([*header, "graph nodes", "graph MB", "export, s", "load, s"], rows),
        ]
    )


def rates(
    exports: Sequence[Exported], requests: Callable[[int], Tensors], batches: Sequence[int], calls: int, seconds: float
) -> list[list[str]]:
    """Elements a second that the exports answer, in turn, and the last's to the first's; a row for each batch size.

    Args:
        exports: to compare.
        requests: a raw batch of so many.
        batches: sizes to ask with.
        calls: of each for each size, at the most.
        seconds: for each size.
    """
    rows = []
    for batch in batches:
        request = requests(batch)
        functions = [lambda each=each, request=request: each.answer(**request) for each in exports]
        for function in functions:
            function()
            function()
        timings = timing.time_calls(functions, calls=calls, seconds=seconds)
        rows.append([str(batch), *(f"{batch / each.median:,.1f}" for each in timings)])
        rows[-1] += [f"{1e3 * each.median:.1f}" for each in timings]
        rows[-1].append(f"{timings[0].median / timings[-1].median:.2f}")
        timing.progress(f"batch {batch}: {len(timings[0].seconds)} calls each")
    return rows


def rate_table(what: str, rows: Sequence[Sequence[str]]) -> str:
    """Of `rates` of a portable export and of one compiled by XLA."""
    return timing.table(
        [f"{what} at once", f"portable, {what}/s", f"XLA, {what}/s", "portable, ms", "XLA, ms", "XLA to portable"], rows
    )


def main() -> None:
    parser = simple_parsing.ArgumentParser(prog="benchmarks.translation_decoding", description=__doc__)
    parser.add_argument("--model", default="", help="a run directory or a .keras file; else one with fresh weights")
    parser.add_argument("--parts", nargs="+", choices=("greedy", "beam"), default=["greedy", "beam"])
    parser.add_argument("--sentences", type=int, default=64, help="to translate, of each length")
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 32], help="tokens that they are padded to")
    parser.add_argument("--beam_width", type=int, default=5)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 8, 64], help="of the beam search")
    parser.add_argument("--calls", type=int, default=200, help="of each for each row, at the most")
    parser.add_argument("--seconds", type=float, default=60, help="for each row of beams, and each table of greedy")
    parser.add_arguments(DataFlags, "data_flags")
    parser.add_arguments(ModelFlags, "model_flags")
    args = parser.parse_args()

    print(timing.machine(), end="\n\n")
    splits = translation.load(**dataclasses.asdict(args.data_flags))
    if args.model:
        model = Translator.load(args.model)
        weights = f"the weights of {args.model}, so that sentences end where they end"
    else:
        if splits.train is None:
            raise UserError("the data has no sentences to learn a vocabulary from; name a trained model: --model")
        model = Translator(**dataclasses.asdict(args.model_flags))
        model.adapt(splits.train)
        weights = "fresh weights, with which hardly a sentence ends before the last step allowed"
    examples = next(each for each in (splits.test, splits.validation, splits.train) if each is not None)
    texts = [row["source"].decode() for row in examples.as_numpy_iterator()]
    chosen = by_length(model, texts, args.lengths, args.sentences)
    kind = f"{model.cell.upper()}, attention {model.attention}" if model.architecture == "rnn" else "transformer"
    print(f"{kind}, {model.units} units, depth {model.depth}, {model.tokens.size} tokens; {weights}.", end="\n\n")
    if "greedy" in args.parts:
        greedy = model.snapshot(beams=1)
        for length, sentences in chosen.items():
            print(greedy_table(greedy, sentences, length, args.calls, args.seconds), end="\n\n", flush=True)
    if "beam" in args.parts:
        wide = model.snapshot(beams=args.beam_width)
        signature = wide.signatures()[ANSWER]
        exports = [export(wide, signature.function(xla), signature) for xla in (False, True)]
        for length, sentences in chosen.items():
            rows = rates(
                exports,
                lambda batch, some=sentences: {
                    "text": tf.constant(list(itertools.islice(itertools.cycle(some), batch)))
                },
                args.batch_sizes,
                args.calls,
                args.seconds,
            )
            print(f"Beam search of {args.beam_width}, sentences padded to {length} tokens.", end="\n\n")
            print(rate_table("sentences", rows), end="\n\n", flush=True)


if __name__ == "__main__":
    timing.run(main)
