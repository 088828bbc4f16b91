"""The whole way of a user who translates, through the command line."""

import json

import pytest
from PIL import Image


@pytest.fixture(scope="module")
def run_dir(command, tmp_path_factory):
    """A translator of the generated sentences, trained for half a minute."""
    path = tmp_path_factory.mktemp("runs") / "demo"
    flags = "--units 64 --embedding_dim 64 --cell gru --tokenizer words --dropout 0.1 --averaging 0.98 --epochs 5"
    rates = "--learning_rate 0.012 --warmup_steps 60 --batch_size 32"
    command("translation", "train", "--run_dir", path, *flags.split(), *rates.split())
    return path


def test_the_demo_is_learned_and_measured_on_unseen_sentences(command, run_dir, read_json):
    result = command("translation", "evaluate", "--model", run_dir)
    metrics = read_json(run_dir / "metrics.json")
    assert metrics["split"] == "test" and metrics["examples"] == 600
    assert 75 < metrics["bleu"] <= 100 and metrics["exact_match"] > 0.35
    assert metrics["bleu_signature"] in result.stdout and "case:mixed" in result.stdout
    answers = [json.loads(line) for line in (run_dir / "answers.jsonl").read_text().splitlines()]
    hypotheses = (run_dir / "hypotheses.txt").read_text().splitlines()
    assert hypotheses == [answer["translation"] for answer in answers] and len(answers) == 600


def test_sentences_from_a_file_and_from_a_pipe(command, run_dir, tmp_path):
    lines = "I see a dog.\nDo I help my sister?\n\n"
    (tmp_path / "in.txt").write_text(lines)
    result = command("translation", "predict", "--model", run_dir, "--input", tmp_path / "in.txt", status=2)
    first, second, empty = map(json.loads, result.stdout.splitlines())
    assert first["source"] == "I see a dog." and first["text"].endswith(".") and first["score"] < 0
    assert empty == {"source": "", "error": "text 0 of the request is empty"}
    piped = command("translation", "predict", "--model", run_dir, "--input", "-", input="Do I help my sister?\n")
    assert json.loads(piped.stdout)["text"] == second["text"]


def test_n_best_and_pictures_of_attention(command, run_dir, tmp_path):
    ask = ["translation", "predict", "--model", run_dir, "--text", "I see a dog."]
    best = json.loads(command(*ask, "--n_best", "--beams", 3).stdout)
    assert len(best["texts"]) == len(set(best["texts"])) == 3 and best["scores"] == sorted(best["scores"], reverse=True)
    drawn = json.loads(command(*ask, "--explain", "--output", tmp_path / "pictures").stdout)
    with Image.open(drawn["attention"]) as picture:
        assert picture.format == "PNG" and min(picture.size) > 200
    assert command(*ask, "--n_best", "--explain", status=2).stderr.startswith("error: --n_best and --explain")
    assert command(*ask, "--output", tmp_path, status=2).stderr.startswith("error: --output is for pictures")


def test_the_beam_is_fixed_in_an_export(command, run_dir, tmp_path):
    command("translation", "export", "--model", run_dir, "--saved_models", tmp_path, "--beams", 2)
    ask = ["translation", "predict", "--model", tmp_path / "translation", "--text", "I see a dog."]
    answered = command(*ask, "--n_best")
    assert len(json.loads(answered.stdout)["texts"]) == 2 and answered.stderr == ""
    assert "fixed in what is exported" in command(*ask, "--beams", 3, status=2).stderr
    readme = (tmp_path / "translation" / "1" / "README.md").read_text()
    assert "n_best" in readme and "explain" in readme and "import tensorflow_text" in readme


def test_parallel_files_of_ones_own_and_fine_tuning(command, run_dir, tmp_path, read_json):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    pairs = [(f"I see {n} dogs.", f"Ich sehe {n} Hunde.") for n in range(40)]
    (corpus / "train.en").write_text("".join(source + "\n" for source, _ in pairs))
    (corpus / "train.de").write_text("".join(target + "\n" for _, target in pairs))
    tuned = tmp_path / "tuned"
    data = ["--data", corpus / "train", "--source_key", "en", "--target_key", "de", "--test_fraction", 0.2]
    result = command("translation", "train", "--run_dir", tuned, "--init_from", run_dir, "--epochs", 1, *data)
    assert "weights come from" in result.stderr
    command("translation", "evaluate", "--model", tuned)
    assert read_json(tuned / "metrics.json")["examples"] == 8
    missing = command("translation", "train", "--run_dir", tmp_path / "x", "--data", corpus, status=2)
    assert missing.stderr.splitlines()[-1].startswith("error: ") and "--source_key" in missing.stderr
