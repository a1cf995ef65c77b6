"""The configuration: what is accepted, and the one sentence for what is not."""

import pytest

from keras_dae.errors import UsageError
from keras_dae.images.noise import make_noise
from keras_dae.images.patches import Cut
from keras_dae.models.ceilings import CEILINGS
from keras_dae.models.families import FAMILIES
from keras_dae.training.config import (
    OPTIONS,
    RunConfig,
    longest_first,
    make_config,
    option_arguments,
    read_toml,
)
from keras_dae.training.runs import run_name


def test_defaults_are_the_papers():
    config = make_config()
    assert (config.epochs, config.noise, config.sigma, config.clip) == (
        *(15, "gaussian", 0.5, True),
    )


def test_later_layers_win():
    assert make_config({"epochs": 3, "seed": 1}, {"epochs": 4}).epochs == 4


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"depth": 0}, "depth=0"),
        ({"depth": -1}, "depth=-1"),
        ({"latent": 0}, "latent=0"),
        ({"sigma": -1}, "sigma=-1"),
        ({"sigma": float("nan")}, "sigma=nan"),
        ({"sigma": float("inf")}, "sigma=inf"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"seed": -1}, "seed=-1"),
        ({"schedule": "step"}, "schedule='step'"),
        ({"optimizer": "sgd"}, "optimizer='sgd'"),
        ({"optimizer": ["muon"]}, "optimizer=['muon']"),
        ({"bias_lr_ratio": 3}, "bias_lr_ratio=3.0, optimizer='adam'"),
        ({"optimizer": "muon", "bias_lr_ratio": 0}, "bias_lr_ratio=0"),
        ({"latent_bias": 1000}, "latent_bias=1000"),
        ({"model": "unet", "latent_bias": 1}, "latent_bias=1.0, model='unet'"),
        ({"rate": -0.1}, "rate=-0.1"),
        ({"rate": 2}, "rate=2"),
        ({"model": "unet", "rate": 0.1}, "rate=0.1, model='unet'"),
        ({"targets": "blind-spot", "rate": 0.1}, "targets='blind-spot'"),
        ({"noise": "gausian"}, "noise='gausian'"),
        ({"epochs": "many"}, "epochs='many'"),
        ({"layers": 3}, "Unknown configuration key layers"),
    ],
)
def test_bad_values_are_named_in_one_sentence(given, named):
    with pytest.raises(UsageError) as caught:
        make_config(given)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_layer_may_depend_on_depth_and_latent():
    recipe = {
        **{"epochs": 6, "optimizer": "muon"},
        "by_model": {
            "5_8": {"epochs": 8},
            "1": {"optimizer": "adam", "epochs": 4},
            "5": {"epochs": 7},
        },
    }
    deep, flat = (make_config(recipe, {"depth": depth}) for depth in (3, 1))
    assert (deep.optimizer, deep.epochs) == ("muon", 6)
    assert (flat.optimizer, flat.epochs) == ("adam", 4)
    assert make_config(recipe).optimizer == "muon"
    # What comes later wins, and so does its depth.
    assert make_config({**recipe, "depth": 1}, {"epochs": 9}).epochs == 9
    assert make_config({**recipe, "depth": 1}, {"depth": 3}).epochs == 6
    assert make_config(recipe, {"depth": 5, "latent": 8}).epochs == 8
    assert make_config(recipe, {"depth": 5, "latent": 5}).epochs == 7


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        (3, "by_model=3"),
        ({"one": {}}, "by_model={'one': {}}"),
        ({"1": 4}, "by_model={'1': 4}"),
        ({"1": {"layers": 4}}, "key layers in by_model.1"),
        ({"1": {"depth": 3}}, "key depth in by_model.1"),
        ({"5": {"epochs": 0}}, "epochs=0"),
    ],
)
def test_bad_tables_by_model_are_named(tables, named):
    with pytest.raises(UsageError) as caught:
        make_config({"by_model": tables})
    assert named in str(caught.value)


def test_the_rate_follows_the_depth_unless_given():
    assert make_config({"depth": 1}).learning_rate > make_config().learning_rate
    assert make_config({"depth": 1, "learning_rate": 1e-4}).learning_rate == 1e-4


def test_each_field_has_one_option():
    assert set(OPTIONS) == set(RunConfig.model_fields)


def test_models_are_the_families_and_the_ceilings():
    for name in (*FAMILIES, *CEILINGS):
        assert make_config({"model": name}).model == name
    for field in ("model", "optimizer"):
        with pytest.raises(UsageError, match=f"{field} should be one of .*'nothing'"):
            make_config({field: "nothing"})


def test_a_folder_is_cut_and_no_other_data_are():
    assert make_config().make_cut() is None
    config = make_config({"data": "folder:photos"})
    assert (config.size, config.channels, config.patches) == (64, 1, None)
    given = {"data": "folder:photos", "size": 32, "channels": 3, "patches": 9}
    assert make_config(given).make_cut() == Cut(32, 3, 9)
    arguments = option_arguments(config)
    assert arguments[arguments.index("--size") + 1] == "64"
    assert "--patches" not in arguments
    assert make_config(config.model_dump()) == config


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"size": 32},
            "size, channels, patches apply only to data=folder:PATH. "
            "Received: size=32.",
        ),
        (
            {"data": "folder:x", "size": 4},
            "size must be from 8 to 1024. Received: size=4.",
        ),
        (
            {"data": "folder:x", "channels": 2},
            "channels must be 1 (grey) or 3 (RGB). Received: channels=2.",
        ),
        (
            {"sigma": "0.1..0.9", "noise": "blur"},
            "A range of sigma needs gaussian noise. Received: sigma='0.1..0.9'.",
        ),
        (
            {"steps": 100, "repeat": 2},
            "steps chooses the length of an epoch itself, so repeat must be 1. "
            "Received: steps=100, repeat=2.",
        ),
    ],
)
def test_what_a_check_says_is_all_that_is_said(given, says):
    with pytest.raises(UsageError) as caught:
        make_config(given)
    assert str(caught.value) == says


def test_option_arguments_stand_for_the_whole_configuration():
    arguments = option_arguments(make_config({"clip": False, "seed": 7}))
    assert "--no-clip" in arguments
    assert arguments[arguments.index("--seed") + 1] == "7"
    assert arguments[arguments.index("--lr") + 1] == "0.003"


def test_a_strength_that_the_noise_does_not_use_is_not_recorded():
    for noise in ("poisson", "gaussian:0.2"):
        config = make_config({"noise": noise, "sigma": 0.3})
        assert config == make_config({"noise": noise})
        assert "--sigma" not in option_arguments(config)
    config = make_config({"noise": "blur+gaussian", "sigma": 0.3})
    assert config.sigma == 0.3
    assert "--sigma" in option_arguments(config)
    assert "--depth" not in option_arguments(make_config({"model": "unet"}))


@pytest.mark.parametrize("name", ["paper.toml", "quick.toml", "best.toml"])
def test_committed_configurations_are_valid(request, name):
    path = request.config.rootpath / "configs" / name
    assert make_config(read_toml(path)).epochs >= 15


@pytest.mark.parametrize("content", [b"depth = ", b"\xff\xfe", b"[" * 5000])
def test_damaged_toml_is_named(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"bad\.toml is not valid TOML"):
        read_toml(path)


def test_a_range_of_sigma_is_a_noise():
    config = make_config({"sigma": "0.1..0.9"})
    assert config.noise == "gaussian:0.1..0.9"
    assert config.make_noise() == make_noise("gaussian", sigma=(0.1, 0.9))
    both = make_config({"noise": "blur:1+gaussian"}, {"sigma": "0.1..0.9"})
    assert both.noise == "blur:1+gaussian:0.1..0.9"
    assert make_config({"sigma": 0.3}).noise == "gaussian"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"sigma": "0.9..0.1"}, "0.9..0.1"),
        ({"sigma": "0.1..0.9", "noise": "blur"}, "sigma='0.1..0.9'"),
        ({"sigma": "0.1..0.9", "noise": "gaussian:0.3"}, "sigma='0.1..0.9'"),
        ({"train_images": 0}, "train_images=0"),
    ],
)
def test_bad_ranges_and_counts_are_named(given, named):
    with pytest.raises(UsageError) as caught:
        make_config(given)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("data", "given", "name"),
    [
        ("npz:/some/where/mine.npz", {}, "npz-mine-DAE_5_13-seed0"),
        ("folder:/some/old photos", {}, "folder-old_photos-64-DAE_5_13-seed0"),
        ("folder:photos/", {"channels": 3}, "folder-photos-64-rgb-DAE_5_13-seed0"),
        ("folder:photos", {"size": 32}, "folder-photos-32-DAE_5_13-seed0"),
    ],
)
def test_a_runs_name_is_that_of_its_data(data, given, name):
    assert run_name(make_config({"data": data, **given}), data) == name


def test_the_number_of_images_is_part_of_a_runs_name_only_where_it_is_limited():
    config = make_config({"depth": 3})
    assert run_name(config, "mnist") == "mnist-DAE_3_13-seed0"
    few = make_config({"depth": 3, "train_images": 1000})
    assert run_name(few, "mnist") == "mnist-n1000-DAE_3_13-seed0"


def test_the_longest_runs_come_first_seed_by_seed():
    given = [
        make_config({"depth": depth, "latent": latent, "seed": seed})
        for seed in (0, 1)
        for depth in (1, 3, 5)
        for latent in (5, 8, 13)
    ]
    expected = ["5_13", "5_8", "3_13", "5_5", "3_8", "3_5", "1_5", "1_8", "1_13"]
    found = longest_first(given, (28, 28, 1))
    assert [f"{c.depth}_{c.latent}" for c in found] == 2 * expected
    assert [config.seed for config in found] == 9 * [0] + 9 * [1]


def test_what_a_run_takes_grows_with_its_epochs():
    given = [
        make_config({"depth": 3, "latent": 8, "epochs": epochs, "sigma": 0.1 * epochs})
        for epochs in (2, 5, 3)
    ]
    assert [one.epochs for one in longest_first(given, (28, 28, 1))] == [5, 3, 2]
