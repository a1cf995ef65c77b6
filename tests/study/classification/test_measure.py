import dataclasses

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.images.noise import Gaussian
from keras_dae.study.classification import measure as classification
from keras_dae.study.classification import readers
from keras_dae.study.classification.exam import Exam
from keras_dae.study.classification.measure import classify, confusion
from keras_dae.study.classification.section import write
from keras_dae.study.common.contenders import Contender, filters


def model(name, denoise, seed=0):
    row = {"depth": 1, "latent": 4, "seed": seed, "val_loss": 0.1}
    return Contender(name, "model", {"model": name + str(seed)}, row, lambda: denoise)


@pytest.fixture
def exam(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "STEPS", 25)
    return Exam(labelled, Gaussian(1.0), 0, tmp_path)


@pytest.fixture
def perfect(exam):
    """A denoiser that knows every clean image of the test and of the lesson."""
    noisy = [exam.bench.pairs[0], exam.noisy_train]
    clean = [exam.bench.pairs[1], exam.clean_train]
    known = {
        image.tobytes(): answer
        for images, answers in zip(noisy, clean, strict=True)
        for image, answer in zip(images, answers, strict=True)
    }
    return model(
        "perfect", lambda images: np.stack([known[i.tobytes()] for i in images])
    )


SWAPPED = model("swapped", lambda noisy: np.zeros_like(noisy))


def find(results, **wanted):
    return [row for row in results["rows"] if wanted.items() <= dict(row).items()]


def test_a_perfect_denoiser_recovers_all_and_black_is_named(exam, perfect):
    others = filters(exam.splits, ["median 3x3"])
    results = classify(exam, [perfect, SWAPPED], others, sigmas=())
    for kind in ("cnn", "logistic"):
        of = {"classifier": kind, "trained_on": "clean"}
        (clean,) = find(results, **of, tested_on="clean")
        (noisy,) = find(results, **of, tested_on="noisy")
        (best,) = find(results, **of, tested_on="perfect")
        (filtered,) = find(results, **of, tested_on="median 3x3")
        assert best["accuracy"] == clean["accuracy"] == 1
        assert (clean["recovered"], noisy["recovered"], best["recovered"]) == (1, 0, 1)
        lost = 1 - noisy["accuracy"]
        gained = filtered["accuracy"] - noisy["accuracy"]
        assert filtered["recovered"] == pytest.approx(gained / lost)
        assert len(find(results, classifier=kind, trained_on="noisy")) == 2
        assert len(find(results, classifier=kind, trained_on="denoised")) == 2
    rows = {row["name"]: row for row in results["confusions"]}
    assert rows["perfect"]["misread"] == 0
    black = rows["swapped"]
    # All black images are read as one class: every image of the other two is misread.
    assert black["misread"] == 20
    assert sum(map(sum, black["counts"])) == 20
    assert [black["counts"][i][i] for i in range(3)] == [0, 0, 0]
    for case in black["worst"]:
        assert exam.classes("test")[case["image"]] == case["true"] != case["read"]


def test_nothing_is_done_twice(exam, perfect, monkeypatch):
    options = {"others": [], "sigmas": (0.5,), "lessons": ("clean",)}
    first = classify(exam, [SWAPPED], **options)
    again = Exam(exam.splits, exam.noise, exam.seed, exam.out)

    def refuse(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(classification, "accuracy", refuse)
    monkeypatch.setattr(Exam, "reader", refuse)
    assert classify(again, [SWAPPED], **options) == first
    kept = {path.suffix for path in (exam.out / "classifiers").iterdir()}
    assert kept == {".keras", ".npz", ".json"}


def test_curves_start_at_the_clean_accuracy(exam, perfect):
    identity = model("identity", lambda noisy: noisy)
    options = {"others": [], "lessons": ("clean",)}
    results = classify(exam, [identity], sigmas=(0.0, 2.0), **options)
    lines = {(line["classifier"], line["name"]): line for line in results["curves"]}
    for kind in ("cnn", "logistic"):
        noisy = lines[kind, "noisy input"]["accuracy"]
        assert noisy[0] == 1 > noisy[1]
        assert lines[kind, "identity"]["accuracy"] == noisy
        assert (kind, "best median") in lines


def test_confusion_counts_only_what_is_read_rightly_when_clean(exam):
    wrong = dataclasses.replace(
        exam.splits,
        labels={**exam.splits.labels, "test": np.full(30, 3, np.uint8)},
    )
    other = Exam(wrong, exam.noise, exam.seed, exam.out / "other")
    found = confusion(other, SWAPPED)
    assert found["right_when_clean"] == 10
    assert found["misread"] <= 10


def test_a_data_set_without_labels_is_named(exam):
    bare = dataclasses.replace(exam.splits, labels={})
    with pytest.raises(KerasDAEError, match="labelled has no labels"):
        Exam(bare, exam.noise, 0, exam.out)


def test_the_reference_learns_from_noise_as_long_as_asked(exam, perfect):
    exam.steps = 40
    options = {"others": [], "sigmas": (), "lessons": ("clean",)}
    results = classify(exam, [perfect, SWAPPED], **options)
    reference = find(results, trained_on="reference")
    assert [row["seed"] for row in reference] == [0, 1, 2]
    assert len({row["accuracy"] for row in reference}) > 1  # seeds differ
    reached = np.mean([row["accuracy"] for row in reference])
    of = {"classifier": "cnn", "trained_on": "clean"}
    (noisy,) = find(results, **of, tested_on="noisy")
    (black,) = find(results, **of, tested_on="swapped")
    assert reached > noisy["accuracy"]
    share = (black["accuracy"] - noisy["accuracy"]) / (reached - noisy["accuracy"])
    assert black["recovered_of_reference"] == pytest.approx(share)
    (linear,) = find(results, classifier="logistic", tested_on="swapped")
    assert "recovered_of_reference" not in linear
    _, texts, (table,) = write(results)
    assert table.heads.count("recovered of the reference") == 1
    assert "seed 0." in " ".join(texts)  # of the denoisers, not of the reference
    assert "for 40 steps of 128 images" in " ".join(texts)
    assert f"{100 * reached:.2f} % ± " in " ".join(texts)


def test_a_reference_takes_so_many_steps_and_fresh_noise(tmp_path, monkeypatch):
    seen = []

    class Model:
        def compile(self, optimizer, loss):
            pass

        def fit(self, images, classes, **options):
            seen.append((images.copy(), classes))

    monkeypatch.setattr(readers, "build_classifier", lambda *_, seed: Model())
    monkeypatch.setattr(readers, "save", lambda model, path: None)
    images = np.full((300, 2, 2, 1), 0.5, np.float32)
    lesson = readers.Lesson(images, np.arange(300), 300)
    readers.fit_on_fresh_noise(
        lesson, Gaussian(0.1), tmp_path, steps=5, seed=0, tick=lambda share: None
    )
    assert [len(given) for given, _ in seen] == [300, 300, 40]  # 5 x 128 images
    assert sorted(seen[0][1]) == list(range(300))
    assert not np.isin(seen[0][0], seen[1][0]).any()  # no draw of noise comes twice


def test_the_best_median_is_chosen_on_validation(exam, monkeypatch):
    """3x3 is better on validation, 5x5 on test: the curve is that of 3x3."""
    points = {
        ("median 3x3", "validation"): 0.9, ("median 5x5", "validation"): 0.8,
        ("median 3x3", "test"): 0.5, ("median 5x5", "test"): 0.7,
    }  # fmt: skip

    def point(exam, one, sigma, part="test"):
        return dict.fromkeys(("cnn", "logistic"), points.get((one.name, part), 0.1))

    monkeypatch.setattr(classification, "_point", point)
    lines = {
        (line["classifier"], line["name"]): line["accuracy"]
        for line in classification._curves(exam, [], [0.5])
    }
    assert lines["cnn", "best median"] == lines["logistic", "best median"] == [0.5]


def test_noisy_validation_images_are_not_those_of_the_test(exam):
    seen = []

    def remembered(noisy):
        seen.append(noisy.copy())
        return noisy

    one = model("remembered", remembered)
    for part in ("test", "validation"):
        classification._point(exam, one, 0.5, part)
    expected = [len(exam.splits.test), len(exam.splits.validation)]
    assert [len(images) for images in seen] == expected
    assert not np.array_equal(seen[0][:5], seen[1][:5])
