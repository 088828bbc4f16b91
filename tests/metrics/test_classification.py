import json

import numpy as np
import pytest
from PIL import Image

from keras_apps.metrics.classification import classification_report, draw_confusion_matrix, report_lines

PROBABILITIES = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]])
LABELS = np.array([0, 1, 1, 0])


def test_report_by_hand():
    report = classification_report(PROBABILITIES, LABELS, ["neg", "pos"])
    assert report["accuracy"] == 0.75
    assert report["confusion_matrix"] == [[2, 0], [1, 1]]
    # F1: neg 2*2/(2*2+1+0) = 0.8, pos 2*1/(2*1+0+1) = 2/3.
    assert report["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert report["roc_auc"] == 1.0
    assert report["log_loss"] == pytest.approx(-np.log([0.8, 0.4, 0.7, 0.9]).mean())
    json.dumps(report)


def test_one_class_only_has_no_roc_auc_and_no_warning(recwarn):
    report = classification_report(PROBABILITIES[:1], LABELS[:1], ["neg", "pos"])
    assert report["roc_auc"] is None and not recwarn.list
    assert any("roc auc" in line and "-" in line for line in report_lines(report | {"data": "d", "split": "test"}))


def test_a_class_that_is_nowhere_has_no_f1():
    report = classification_report(np.eye(3)[:2], np.array([0, 1]), ["a", "b", "c"])
    assert report["macro_f1"] == 1.0 and report["confusion_matrix"] == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_a_constant_classifier_of_three_classes_scores_a_third():
    report = classification_report(np.tile([0.5, 0.3, 0.2], (6, 1)), np.array([0, 1, 2] * 2), ["a", "b", "c"])
    assert report["accuracy"] == pytest.approx(1 / 3)
    assert report["macro_f1"] == pytest.approx(0.5 / 3)
    assert report["roc_auc"] == 0.5


def test_confusion_matrix_is_drawn(tmp_path):
    path = tmp_path / "confusion.png"
    draw_confusion_matrix(classification_report(PROBABILITIES, LABELS, ["neg", "pos"]), path)
    with Image.open(path) as picture:
        assert min(picture.size) > 200 and len(picture.getcolors(1 << 20)) > 20


@pytest.mark.parametrize("names", [["under_$10_", "$10_$20", r"\frac"], [f"class {n}" for n in range(150)]])
def test_confusion_matrix_of_names_like_formulae_and_of_many_classes(tmp_path, names):
    path = tmp_path / "confusion.png"
    draw_confusion_matrix(
        {"confusion_matrix": np.eye(len(names), dtype=int), "class_names": names, "accuracy": 1.0}, path
    )
    with Image.open(path) as picture:
        assert min(picture.size) > 200 and max(picture.size) < 2000
