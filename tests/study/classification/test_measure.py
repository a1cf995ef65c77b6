import dataclasses

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.images.frozen import is_held
from keras_dae.images.noise import Gaussian
from keras_dae.study.classification import classifiers
from keras_dae.study.classification import measure as module
from keras_dae.study.classification.bench import ClassificationBench
from keras_dae.study.classification.measure import classify, confusion
from keras_dae.study.classification.section import write
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
    held_pairs = type(few.bench).pairs.func

    def pairs(of):
        assert is_held(of.splits.test)  # the validation images alone
        return held_pairs(of)

    monkeypatch.setattr(type(few.bench), "pairs", property(pairs))
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


def test_the_reference_learns_from_noise_as_long_as_asked(bench, perfect):
    bench.steps = 40
    options = {"others": [], "sigmas": (), "trained_on": ("clean",)}
    results = classify(bench, [perfect, SWAPPED], **options)
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

    monkeypatch.setattr(classifiers, "build_classifier", lambda *_, seed: Model())
    monkeypatch.setattr(classifiers, "save", lambda model, path: None)
    images = np.full((300, 2, 2, 1), 0.5, np.float32)
    data = classifiers.TrainingSet(images, np.arange(300), 300)
    classifiers.fit_on_fresh_noise(
        data, Gaussian(0.1), tmp_path, steps=5, seed=0, tick=lambda share: None
    )
    assert [len(given) for given, _ in seen] == [300, 300, 40]  # 5 x 128 images
    assert sorted(seen[0][1]) == list(range(300))
    assert not np.isin(seen[0][0], seen[1][0]).any()  # no draw of noise comes twice


def test_the_best_median_is_chosen_on_validation(bench, monkeypatch):
    """3x3 is better on validation, 5x5 on test: the curve is that of 3x3."""
    right = {
        ("median 3x3", "validation"): 9, ("median 5x5", "validation"): 8,
        ("median 3x3", "test"): 5, ("median 5x5", "test"): 7,
    }  # fmt: skip
    validation = len(bench.splits.validation)

    def read(bench, tested, source, drawn):
        part = "validation" if len(drawn.splits.test) == validation else "test"
        truth = bench.classes(part).copy()
        truth[right.get((tested.name, part), 1) :] += 1
        return dict.fromkeys(("cnn", "logistic"), truth)

    monkeypatch.setattr(ClassificationBench, "read", read)
    lines = {
        (line["classifier"], line["name"]): line["accuracy"]
        for line in module._curves(bench, [], [0.5])
    }
    expected = [5 / len(bench.splits.test)]
    assert lines["cnn", "best median"] == lines["logistic", "best median"] == expected
