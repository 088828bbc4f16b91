import numpy as np
import pytest
import scipy.linalg

from keras_apps.errors import UserError
from keras_apps.metrics.distributions import (
    density_coverage,
    distribution_report,
    frechet_distance,
    kernel_distance,
    precision_recall,
)

RANDOM = np.random.default_rng(0)
REAL = RANDOM.normal(size=(40, 6))
FAKE = RANDOM.normal(size=(30, 6)) @ RANDOM.normal(size=(6, 6)) * 0.6 + 0.5


def with_moments(mean, covariance, count=50):
    """Examples of exactly this mean and covariance."""
    x = RANDOM.normal(size=(count, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_gaussians_is_known():
    one = with_moments([0.0, 0.0], np.diag([4.0, 9.0]))
    other = with_moments([3.0, 4.0], np.diag([1.0, 25.0]))
    assert frechet_distance(one, other) == pytest.approx(25 + 1 + 4)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_is_by_the_matrix_root():
    a, b = np.cov(REAL.T), np.cov(FAKE.T)
    means = np.sum((REAL.mean(0) - FAKE.mean(0)) ** 2)
    expected = means + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    assert frechet_distance(REAL, FAKE) == pytest.approx(expected)
    assert frechet_distance(FAKE.astype("float32"), REAL) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_of_fewer_examples_than_units():
    real, fake = RANDOM.normal(size=(5, 30)), RANDOM.normal(size=(7, 30))
    # In other axes, where all examples lie in the first 12, the distance is the same.
    axes, _ = np.linalg.qr(np.concatenate([real, fake]).T)
    a, b = (np.cov((x @ axes).T) + 1e-12 * np.eye(12) for x in (real, fake))
    expected = np.sum((real.mean(0) - fake.mean(0)) ** 2) + np.trace(a + b)
    expected -= 2 * np.sqrt(np.abs(np.linalg.eigvals(a @ b))).sum()
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)


def unbiased_mmd(x, y):
    def kernel(a, b):
        return (a @ b / len(a) + 1) ** 3

    within_x = np.mean([kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j])
    within_y = np.mean([kernel(y[i], y[j]) for i in range(len(y)) for j in range(len(y)) if i != j])
    return within_x + within_y - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_kernel_distance_is_the_mean_over_subsets():
    distance, error = kernel_distance(REAL, FAKE, subsets=3, subset_size=10, seed=4)
    random = np.random.default_rng(4)
    values = [unbiased_mmd(*(x[random.choice(len(x), 10, replace=False)] for x in (REAL, FAKE))) for _ in range(3)]
    assert distance == pytest.approx(np.mean(values))
    assert error == pytest.approx(np.std(values, ddof=1) * np.sqrt(10 / 20))


def test_kernel_distance_of_one_distribution_is_zero_within_its_error():
    sets = [kernel_distance(*RANDOM.normal(size=(2, 100, 8)), subsets=20) for _ in range(60)]
    values = np.array([value for value, _ in sets])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(60)
    assert values.min() < 0


def test_kernel_distance_says_how_sure_it_is():
    pairs = [(RANDOM.normal(size=(200, 8)), RANDOM.normal(0.5, 1, size=(200, 8))) for _ in range(40)]
    shifts = [kernel_distance(*pair, subsets=40) for pair in pairs]
    values, errors = np.array(shifts).T
    assert 0.7 < errors.mean() / values.std() < 1.6
    assert (values > 3 * errors).mean() > 0.9


def test_neighbourhoods_are_those_of_brute_force():
    k = 3
    near = [sorted(np.linalg.norm(x - y) for y in REAL)[k] for x in REAL]
    near_fake = [sorted(np.linalg.norm(x - y) for y in FAKE)[k] for x in FAKE]
    inside = [[np.linalg.norm(x - y) <= r for y in FAKE] for x, r in zip(REAL, near, strict=True)]
    inside_fake = [[np.linalg.norm(x - y) <= r for y, r in zip(FAKE, near_fake, strict=True)] for x in REAL]
    assert precision_recall(REAL, FAKE, k) == pytest.approx((np.any(inside, 0).mean(), np.any(inside_fake, 1).mean()))
    assert density_coverage(REAL, FAKE, k) == pytest.approx((np.sum(inside) / (k * 30), np.any(inside, 1).mean()))


def test_copies_are_inside_even_where_the_balls_have_no_size():
    for _ in range(20):
        real = np.repeat(RANDOM.normal(size=(10, 64)), 6, axis=0)
        assert precision_recall(real, real[::6]) == (1, 1)
        assert density_coverage(real, real[::6]) == (6 / 5, 1)


def test_one_distribution_has_the_values_that_are_expected():
    real, fake = RANDOM.normal(size=(2, 500, 4))
    density, coverage = density_coverage(real, fake)
    assert density == pytest.approx(1, abs=0.1)
    assert coverage == pytest.approx(1 - 0.5**5, abs=0.03)
    assert min(precision_recall(real, fake)) > 0.9


def test_a_collapsed_set_is_seen():
    real = np.concatenate([RANDOM.normal(10 * mode, 1, size=(50, 4)) for mode in range(4)])
    one_mode = RANDOM.normal(0, 1, size=(200, 4))
    one_point = np.repeat(real[:1], 200, axis=0)
    for fake, share in ((one_mode, 0.25), (one_point, 0.1)):
        report = distribution_report(real, fake)
        assert report["precision"] > 0.8
        assert report["recall"] <= share + 0.02 and report["coverage"] <= share + 0.02
        assert report["fid"] > 50
    elsewhere = distribution_report(real, real + 100)
    assert elsewhere["precision"] == elsewhere["density"] == elsewhere["recall"] == elsewhere["coverage"] == 0


def test_mistakes_are_named():
    with pytest.raises(UserError, match="40 real and 1 fake pictures are too few to compare; give at least 2"):
        frechet_distance(REAL, FAKE[:1])
    with pytest.raises(UserError, match="at least 6 of each"):
        precision_recall(REAL[:5], FAKE)
    with pytest.raises(UserError, match="same network"):
        kernel_distance(REAL, FAKE[:, :3])
