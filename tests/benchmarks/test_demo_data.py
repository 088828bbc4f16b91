import pytest

from benchmarks.demo_data import SETS, row
from keras_apps.data import demo_facades, demo_textures


def test_a_row_counts_all_examples_and_compares_drawing_with_decoding():
    name, count, _, drawn, decoded, ratio = row("demo_facades", 2)
    assert name == "`demo_facades`" and int(count) == sum(demo_facades.SIZES.values())
    assert float(ratio) == pytest.approx(float(drawn) / float(decoded), rel=0.05)
    assert row("demo_textures", 1)[1] == str(2 * sum(demo_textures.SIZES.values()))


def test_texts_have_no_picture_to_draw():
    assert row("demo_reviews", 2)[3:] == ["-", "-", "-"]
    assert [name for name, made in SETS.items() if not hasattr(made, "draw")] == ["demo_reviews", "demo_translation"]
