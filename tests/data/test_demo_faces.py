import dataclasses
from collections import defaultdict

import numpy as np
import pytest

from keras_apps.data import demo_faces
from keras_apps.data.demo_faces import Face, draw, generate


@pytest.fixture(scope="module")
def parts():
    return generate(0)


def of_identities(faces, count):
    numbers = sorted({face.identity.number for face in faces})[:count]
    return [face for face in faces if face.identity.number in numbers]


@pytest.fixture(scope="module")
def measured(parts):
    """Coarse pixels, ages and identities of faces to learn from and of other people's."""

    def coarse(faces):
        pixels = np.stack([draw(face) for face in faces])[:, 8:56, 8:56] / np.float32(255)
        pixels = pixels.reshape(-1, 12, 4, 12, 4, 3).mean((2, 4)).reshape(len(faces), -1)
        return pixels, np.array([face.age for face in faces]), np.array([face.identity.number for face in faces])

    return coarse(of_identities(parts["train"], 70)), coarse(of_identities(parts["test"], 25))


def test_people_are_in_one_part_and_shown_at_all_ages(parts):
    assert {name: len(faces) for name, faces in parts.items()} == demo_faces.SIZES
    people = {name: {face.identity.number for face in faces} for name, faces in parts.items()}
    assert [len(people[name]) for name in parts] == [300, 30, 60]
    assert sum(map(len, people.values())) == len(set().union(*people.values()))
    lives = defaultdict(list)
    for face in parts["test"]:
        lives[face.identity].append(face.age)
    assert len(lives) == 60
    for ages in lives.values():
        assert len(ages) == 10 and 0 <= min(ages) < 10 and 81 <= max(ages) <= 90
        assert np.diff(sorted(ages)).max() <= 19
    ages = [face.age for face in parts["train"]]
    assert np.histogram(ages, 9, (0, 90))[0].min() > 290


def test_the_seed_decides(parts):
    assert generate(0) == parts and generate(1)["validation"] != parts["validation"]
    face = parts["test"][0]
    images = [draw(face), draw(face), draw(dataclasses.replace(face, seed=face.seed ^ 1))]
    assert images[0].shape == (64, 64, 3) and images[0].dtype == np.uint8
    np.testing.assert_array_equal(images[0], images[1])
    assert np.abs(images[0].astype(int) - images[2]).mean() > 4


def test_every_identity_can_be_drawn_at_every_age(parts):
    for number, face in enumerate(of_identities(parts["validation"], 20)):
        image = draw(Face(face.identity, number % 91, number))
        assert 20 < image.std() < 110


def test_age_can_be_read_by_a_linear_map(measured):
    (pixels, ages, _), (others, true, _) = measured
    middle = pixels.mean(0)
    centred = pixels - middle
    weights = np.linalg.solve(centred.T @ centred + np.eye(centred.shape[1]), centred.T @ (ages - ages.mean()))
    errors = np.abs((others - middle) @ weights + ages.mean() - true)
    assert np.abs(true - true.mean()).mean() > 20
    assert errors.mean() < 9 and (errors < 15).mean() > 0.85, errors.mean()


def test_identity_survives_age(measured):
    """Two pictures of one person, thirty years apart or more, are more alike than those of two."""
    (pixels, _, people), (others, ages, true) = measured
    middle = pixels.mean(0)
    within = pixels - np.stack([pixels[people == person].mean(0) for person in people])
    values, vectors = np.linalg.eigh(within.T @ within + 0.3 * np.eye(within.shape[1]))
    codes = (others - middle) @ (vectors / np.sqrt(values))
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    first, second = np.triu_indices(len(codes), 1)
    far = np.abs(ages[first] - ages[second]) >= 30
    alike, same = (codes @ codes.T)[first, second][far], (true[first] == true[second])[far]
    different = np.sort(alike[~same])
    area_under_curve = np.searchsorted(different, alike[same]).mean() / len(different)
    assert area_under_curve > 0.85
