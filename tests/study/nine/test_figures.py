import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from keras_dae.errors import KerasDAEError
from keras_dae.models.architectures import paper_specs, plan
from keras_dae.study.nine import figures

SETS = {
    "one": [(2, 7)],
    "two": [(1, 8), (3, 8)],
    "nine": [(spec.depth, spec.latent_shape[0]) for spec in paper_specs()],
}


def images(count, channels=1, seed=0):
    clean = np.random.default_rng(seed).random((count, 28, 28, channels), "float32")
    noisy = np.clip(clean + np.float32(0.25), 0, 1)
    for array in (clean, noisy):
        array.setflags(write=False)  # a figure that wrote into its input would raise
    return clean, noisy


def stages(spec):
    (clean,), (noisy,) = images(1, spec.channels)
    latent = np.random.default_rng(1).random(spec.latent_shape)
    latent.setflags(write=False)
    return figures.Stages(clean, noisy, latent, clean)


def models(shapes, seeds=1):
    return [
        {
            "name": f"DAE_{depth}_{latent}",
            "depth": depth,
            "latent": latent,
            "seed": seed,
            "test": {"mse": 0.01 * depth + 0.001 * latent + 0.002 * seed},
            "history": {"loss": [0.5, 0.2, 0.1], "val_loss": [0.4, 0.15, 0.12]},
        }
        for depth, latent in shapes
        for seed in range(seeds)
    ]


def texts(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(Text)]


def bars_of(figure):
    return [patch for axes in figure.axes for patch in axes.patches]


@pytest.mark.parametrize(
    "spec", [plan(5, 13), plan(1, 8), plan(3, 8, (28, 28, 3))], ids=lambda s: s.name
)
def test_scheme_names_every_layer_of_the_model(spec):
    figure = figures.scheme(spec, stages(spec))
    found = texts(figure)
    shapes = [
        f"{size}\N{MULTIPLICATION SIGN}{size}\N{MULTIPLICATION SIGN}{channels}"
        for size, channels in zip(spec.sizes, spec.widths, strict=True)
    ]
    assert [text for text in found if text in shapes] == shapes + shapes[-2::-1]
    assert f"{spec.parameters:,} parameters, {spec.macs:,} multiply-adds" in found
    # the noisy and the denoised image, and the latent maps between them
    assert len(figure.axes[0].images) == 2 + spec.latent_shape[-1]


@pytest.mark.parametrize("channels", [1, 3])
def test_pipeline_shows_each_latent_map_and_the_measured_loss(channels):
    spec = plan(1, 8, (28, 28, channels))
    shown = stages(spec)
    half = figures.Stages(shown.clean, shown.noisy, shown.latent, shown.clean + 0.5)
    figure = figures.pipeline(spec, half)
    values = 784 * channels
    assert any(
        text == f"loss: MSE = 0.2500, the mean over {values:,} pixel values"
        f" (their sum: {0.25 * values:.2f})"
        for text in texts(figure)
    )
    arrays = [image.get_array() for image in figure.axes[0].images]
    for index in range(4):
        latent = shown.latent[..., index]
        assert any(np.array_equal(array, latent) for array in arrays)


@pytest.mark.parametrize(("count", "grid"), [(1, (2, 1)), (8, (2, 8)), (10, (4, 8))])
def test_samples_pairs_clean_and_noisy(count, grid):
    clean, noisy = images(count)
    figure = figures.samples(clean, noisy)
    axes = np.array(figure.axes).reshape(grid)
    row, column = 2 * ((count - 1) // 8), (count - 1) % 8
    for shift, expected in ((0, clean), (1, noisy)):
        shown = axes[row + shift, column].images[0].get_array()
        np.testing.assert_array_equal(shown, expected[-1, ..., 0])
    assert [one.get_ylabel() for one in axes[:, 0]] == ["clean", "noisy"] * (
        row // 2 + 1
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_reconstruction_gives_each_image_its_error(channels):
    clean = np.zeros((2, 28, 28, channels), "float32")
    noisy, denoised = clean + 0.5, clean + np.float32(0.25)
    denoised[1] = 1
    figure = figures.reconstruction(clean, noisy, denoised, "DAE_5_13")
    axes = np.array(figure.axes).reshape(4, 2)
    assert [one.get_xlabel() for one in axes[1]] == ["MSE 0.2500"] * 2
    assert [one.get_xlabel() for one in axes[2]] == ["MSE 0.0625", "MSE 1.0000"]
    np.testing.assert_array_equal(axes[3, 0].images[0].get_array(), 0.25)
    assert "DAE_5_13" in texts(figure)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("names", [["one"], ["one", "two"], list("abcdefghi")])
def test_all_models_has_a_labelled_column_a_model(names, channels):
    clean = np.zeros((3, 28, 28, channels), "float32")
    denoised = {name: clean + np.float32(0.5) for name in names}
    figure = figures.all_models(clean, clean + 1, denoised)
    axes = np.array(figure.axes).reshape(3, 2 + len(names))
    titles = [one.get_title() for one in axes[0]]
    assert titles[1] == "noisy\nMSE 1.0000"
    assert titles[2:] == [f"{name}\nMSE 0.2500" for name in names]
    assert axes[2, 0].get_ylabel() == "sample 3"


@pytest.mark.parametrize("shapes", SETS.values(), ids=SETS)
def test_losses_draws_the_histories_a_panel_a_depth(shapes):
    figure = figures.losses(models(shapes))
    depths = sorted({depth for depth, _ in shapes})
    assert [axes.get_title() for axes in figure.axes] == [
        f"{depth} convolution" + ("s" if depth > 1 else "") for depth in depths
    ]
    for axes, depth in zip(figure.axes, depths, strict=True):
        assert len(axes.lines) == 2 * sum(shape[0] == depth for shape in shapes)
        train, validation = axes.lines[:2]
        assert train.get_ydata().tolist() == [0.5, 0.2, 0.1]
        assert validation.get_ydata().tolist() == [0.4, 0.15, 0.12]
        assert (train.get_linestyle(), validation.get_linestyle()) == ("-", "--")
    assert any("up to 0.5." in text for text in texts(figure))


def test_losses_draws_mean_and_range_of_seeds_that_stopped_apart():
    runs = models([(3, 8)], seeds=2)
    runs[1]["history"] = {"loss": [0.3, 0.4], "val_loss": [0.2, 0.1]}
    (axes,) = figures.losses(runs).axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.4, 0.3, 0.1])
    band = axes.collections[0].get_paths()[0].vertices
    assert band[band[:, 0] == 1, 1].min() == 0.3
    assert band[band[:, 0] == 1, 1].max() == 0.5


@pytest.mark.parametrize("shapes", SETS.values(), ids=SETS)
def test_test_loss_of_one_seed_draws_its_heights_without_error_bars(shapes):
    rows = models(shapes)
    figure = figures.test_loss(rows, [])
    (axes,) = figure.axes
    expected = sorted(rows, key=lambda row: (row["depth"], -row["latent"]))
    heights = [bar.get_height() for bar in bars_of(figure)]
    np.testing.assert_allclose(heights, [row["test"]["mse"] for row in expected])
    assert len(axes.lines) == 0
    assert {f"{height:.4f}" for height in heights} <= set(texts(figure))


def test_test_loss_draws_mean_deviation_and_every_seed():
    rows = models([(1, 8)], seeds=3)
    for row, error in zip(rows, (0.010, 0.012, 0.017), strict=True):
        row["test"] = {"mse": error}  # mean 0.013, squares 9 + 1 + 16 = 26, by 2: 13
    figure = figures.test_loss(rows, [])
    (bar,) = bars_of(figure)
    assert bar.get_height() == pytest.approx(0.013)
    (axes,) = figure.axes
    ((low, high),) = [segment[:, 1] for segment in axes.collections[0].get_segments()]
    assert (high - low) / 2 == pytest.approx(0.001 * 13**0.5)
    dots = next(line for line in axes.lines if len(line.get_xdata()) == 3)
    assert dots.get_ydata().tolist() == [0.010, 0.012, 0.017]


def test_test_loss_breaks_the_axis_below_far_floors():
    floors = [
        {"name": name, "test": {"mse": value}}
        for name, value in (("noisy $in$put", 0.1156), ("black", 0.114), ("near", 0.01))
    ]
    figure = figures.test_loss(models([(1, 8), (1, 5)]), floors)
    upper, lower = figure.axes
    assert upper.get_ylim()[0] > lower.get_ylim()[1] > 0.018
    assert lower.get_ylim()[0] == 0
    lines = {line.get_ydata()[0] for line in (*upper.lines, *lower.lines)}
    assert {0.1156, 0.114, 0.01} <= lines
    figure.draw_without_rendering()
    found = figure.findobj(Text)
    labels = {text.get_text(): text.get_window_extent() for text in found}
    assert not labels["noisy $in$put 0.1156"].overlaps(labels["black 0.1140"])
    assert {"noisy $in$put 0.1156", "black 0.1140", "near 0.0100"} <= set(labels)


def test_a_latent_size_has_the_colour_of_its_curve_in_the_bars():
    rows = models(SETS["nine"])
    curves = [line.get_color() for line in figures.losses(rows).axes[0].lines[::2]]
    bars = bars_of(figures.test_loss(rows, []))[:3]
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars] == curves
    assert len(set(curves)) == 3


def test_no_label_runs_off_the_figure():
    spec = plan(5, 5)
    clean, noisy = images(1)
    floors = [{"name": "median 3x3", "test": {"mse": 0.4}}]
    rows = models(SETS["nine"], seeds=2)
    drawn = {
        "scheme": figures.scheme(spec, stages(spec)),
        "smallest scheme": figures.scheme(plan(1, 5), stages(plan(1, 5))),
        "pipeline": figures.pipeline(spec, stages(spec)),
        "reconstruction": figures.reconstruction(clean, noisy, noisy, "DAE_5_13"),
        "losses": figures.losses(rows[:1]),
        "test_loss": figures.test_loss(rows, floors),
        "all_models": figures.all_models(clean, noisy, {"DAE_5_13": noisy}),
    }
    for name, figure in drawn.items():
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        assert min(box.x0, box.y0) >= 0, name
        assert box.x1 <= figure.get_figwidth(), name
        assert box.y1 <= figure.get_figheight(), name


def test_png_is_the_same_each_time_and_written_whole(tmp_path):
    clean, noisy = images(2)
    first, second = (figures.png_bytes(figures.samples(clean, noisy)) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
    path = tmp_path / "new" / "samples.png"
    figures.save_png(figures.samples(clean, noisy), path)
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["samples.png"]


def test_a_png_that_cannot_be_written_leaves_no_file(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(KerasDAEError, match="Cannot write"):
        figures.save_png(Figure(), blocked / "figure.png")
    assert blocked.read_text() == "not a folder"


def test_the_pipeline_shows_the_noise_before_it_is_clipped():
    """Black under noise of -0.5 stays black; the noise shown is -0.5, and says so."""
    spec = plan(1, 8)
    shown = stages(spec)
    clean = np.zeros_like(shown.clean)
    noise = np.where(np.indices(clean.shape).sum(axis=0) % 2, 0.5, -0.5)
    of = {"latent": shown.latent, "denoised": clean}
    clipped = figures.Stages(clean, np.clip(noise, 0, 1), **of, unclipped=noise)
    figure = figures.pipeline(spec, clipped)
    assert "clip" in texts(figure)
    arrays = [np.asarray(image.get_array()) for image in figure.axes[0].images]
    assert any(np.array_equal(one, (noise[..., 0] > 0) * 1.0) for one in arrays)
    plain = figures.Stages(clean, noise, **of)
    assert "clip" not in texts(figures.pipeline(spec, plain))


def test_losses_after_one_epoch_are_points_to_be_seen():
    runs = [
        {"depth": 1, "latent": 5, "history": {"loss": [0.05], "val_loss": [0.04]}},
    ]
    axes = figures.losses(runs).axes[0]
    assert [line.get_marker() for line in axes.lines] == ["o", "o"]
    assert axes.get_xticks().tolist() == [1]
    runs[0]["history"] = {"loss": [0.05, 0.04], "val_loss": [0.04, 0.03]}
    lines = figures.losses(runs).axes[0].lines
    assert {line.get_marker() for line in lines} == {"None"}
