import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from keras_apps.errors import UserError
from keras_apps.metrics.pictures import l1, label_report, psnr, ssim

RANDOM = np.random.default_rng(0)
TRUE = RANDOM.integers(0, 256, size=(18, 16, 20, 3)).astype(np.uint8)
NOISY = np.clip(TRUE.astype(int) + RANDOM.integers(-30, 31, size=TRUE.shape), 0, 255).astype(np.uint8)


def test_l1_and_psnr_of_each_picture_by_hand():
    true = np.zeros((2, 4, 4, 3), np.uint8)
    predicted = true.copy()
    predicted[0, :2] = 51
    predicted[1] = 255
    np.testing.assert_allclose(l1(predicted, true), [0.1, 1.0])
    np.testing.assert_allclose(l1(true, predicted), [0.1, 1.0])
    np.testing.assert_allclose(psnr(predicted, true), [10 * np.log10(50), 0.0], atol=1e-4)
    assert np.isinf(psnr(true, true)).all()


def test_psnr_of_many_pictures_is_by_the_definition():
    expected = -10 * np.log10((((NOISY / 255.0) - (TRUE / 255.0)) ** 2).mean((1, 2, 3)))
    np.testing.assert_allclose(psnr(NOISY, TRUE), expected, rtol=1e-4)


def test_ssim_is_by_the_definition():
    def local_mean(x):
        for axis in (1, 2):
            x = gaussian_filter1d(x, 1.5, axis=axis, radius=5)
        return x[:, 5:-5, 5:-5]

    x, y = NOISY.astype(float), TRUE.astype(float)
    mean_x, mean_y = local_mean(x), local_mean(y)
    variances = local_mean(x * x) - mean_x**2 + local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    map_ = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))
    np.testing.assert_allclose(ssim(NOISY, TRUE), map_.mean((1, 2, 3)), rtol=1e-3)
    np.testing.assert_allclose(ssim(TRUE, TRUE), np.ones(18), rtol=1e-6)


def test_label_report_by_hand():
    true = np.array([[[0, 0], [1, 1]], [[0, 2], [2, 2]]])
    predicted = np.array([[[0, 1], [1, 1]], [[0, 2], [2, 0]]])
    report = label_report(predicted, true, 4)
    assert report["pixel_accuracy"] == 0.75
    assert report["iou"] == pytest.approx([2 / 4, 2 / 3, 2 / 3, None])
    assert report["mean_iou"] == pytest.approx((2 / 4 + 2 / 3 + 2 / 3) / 3)
    assert report["confusion_matrix"] == [[2, 1, 0, 0], [0, 2, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]


def test_mistakes_are_named():
    with pytest.raises(UserError, match="at least 11x11; received 8x20"):
        ssim(TRUE[:, :8], TRUE[:, :8])
    with pytest.raises(UserError, match="of one shape"):
        l1(TRUE[:, :8], TRUE)
    with pytest.raises(UserError, match="no pictures"):
        psnr(TRUE[:0], TRUE[:0])
    with pytest.raises(UserError, match="predicted classes are 0 to 5, not 0 to 2"):
        label_report(np.array([[[0, 5]]]), np.array([[[0, 1]]]), 3)
