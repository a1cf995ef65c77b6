import dataclasses

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.images.noise import Gaussian
from keras_dae.study.classification import classifiers
from keras_dae.study.classification.bench import ClassificationBench
from keras_dae.study.classification.measure import classify, confusion
from keras_dae.study.common.candidates import Candidate, baselines
from keras_dae.study.common.store import Store


def model(name, denoise, seed=0):
    facts = {"depth": 1, "latent": 4, "seed": seed, "val_loss": 0.1}
    used = {"model": name + str(seed)}
    return Candidate(name, "dae", used, lambda: (denoise, {}), facts)


@pytest.fixture
def bench(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(classifiers, "STEPS", 25)
    return ClassificationBench(labelled, Gaussian(1.0), 0, Store(tmp_path))


@pytest.fixture
def perfect(bench):
    """A denoiser that knows every clean image of the test and training splits."""
    known = {
        image.tobytes(): answer
        for noisy, clean in (bench.bench.pairs, *bench._pairs(bench.train))
        for image, answer in zip(noisy, clean, strict=True)
    }
    return model(
        "perfect", lambda images: np.stack([known[i.tobytes()] for i in images])
    )


SWAPPED = model("swapped", lambda noisy: np.zeros_like(noisy))


def find(results, **wanted):
    return [row for row in results["rows"] if wanted.items() <= dict(row).items()]


def test_a_perfect_denoiser_recovers_all_and_black_is_named(bench, perfect):
    others = baselines(bench.splits, ["median 3x3"])
    results = classify(bench, [perfect, SWAPPED], others, sigmas=())
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
        assert bench.classes("test")[case["image"]] == case["true"] != case["read"]


def test_nothing_is_done_twice(bench, perfect, monkeypatch):
    options = {"others": [], "sigmas": (0.5,), "trained_on": ("clean",)}
    first = classify(bench, [SWAPPED], **options)
    again = ClassificationBench(bench.splits, bench.noise, bench.seed, bench.store)

    def refuse(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(ClassificationBench, "classifier", refuse)
    assert classify(again, [SWAPPED], **options) == first
    kept = {path.suffix for path in bench.store.folder.iterdir()}
    assert kept == {".keras", ".npz"}


def test_curves_start_at_the_clean_accuracy(bench, perfect):
    identity = model("identity", lambda noisy: noisy)
    options = {"others": [], "trained_on": ("clean",)}
    results = classify(bench, [identity], sigmas=(0.0, 2.0), **options)
    lines = {(line["classifier"], line["name"]): line for line in results["curves"]}
    for kind in ("cnn", "logistic"):
        noisy = lines[kind, "noisy input"]["accuracy"]
        assert noisy[0] == 1 > noisy[1]
        assert lines[kind, "identity"]["accuracy"] == noisy
        assert (kind, "best median") in lines


def test_confusion_counts_only_what_is_read_rightly_when_clean(bench):
    wrong = dataclasses.replace(
        bench.splits,
        labels={**bench.splits.labels, "test": np.full(30, 3, np.uint8)},
    )
    other = ClassificationBench(wrong, bench.noise, bench.seed, bench.store)
    found = confusion(other, SWAPPED)
    assert found["right_when_clean"] == 10
    assert found["misread"] <= 10


def test_a_data_set_without_labels_is_named(bench):
    bare = dataclasses.replace(bench.splits, labels={})
    with pytest.raises(KerasDAEError, match="labelled has no labels"):
        ClassificationBench(bare, bench.noise, 0, bench.store)


def test_pairs_that_do_not_fit_in_memory_are_read_block_by_block(
    bench, monkeypatch, tmp_path
):
    """The same figures, though the noisy test images are never held together."""
    options = {"others": baselines(bench.splits), "sigmas": (0.5,)}
    held = classify(bench, [SWAPPED], **options)
    pixels = bench.bench.pixels
    monkeypatch.setattr("keras_dae.images.frozen.HELD_BYTES", 8 * pixels * 20)
    monkeypatch.setattr("keras_dae.models.batches.VALUES_AT_ONCE", 16 * pixels * 7)
    few = ClassificationBench(bench.splits, bench.noise, 0, Store(tmp_path / "other"))
    monkeypatch.setattr(type(few.bench), "pairs", None)  # all of them at once
    # Classifiers learn from the first 20 images here: theirs are given.
    monkeypatch.setattr(
        ClassificationBench, "classifier", lambda _, *names: original(bench, *names)
    )
    read = classify(few, [SWAPPED], **options)
    assert read["training_images"] == 20
    for one, other in zip(read["rows"], held["rows"], strict=True):
        assert one == other
    assert read["confusions"] == held["confusions"]


original = ClassificationBench.classifier
