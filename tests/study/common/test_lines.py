"""A look has one meaning in every figure."""

import pytest

from keras_dae.study.common.lines import line_styles
from keras_dae.study.nine.diagrams import PALETTE
from keras_dae.study.robustness.figures import _drawn, _lines


def model(depth, latent, name=None):
    row = {"name": name or f"DAE_{depth}_{latent}", "kind": "model"}
    return {**row, "depth": depth, "latent": latent}


NINE = [model(depth, latent) for depth in (5, 3, 1) for latent in (13, 8, 5)]
UNET = {"name": "unet", "kind": "model"}
MEDIAN = {"name": "median", "kind": "filter"}


@pytest.mark.parametrize("others", [[], [UNET, MEDIAN], [model(7, 13, "BEST_7_13")]])
def test_a_models_look_does_not_turn_on_what_is_drawn_beside(others):
    alone = {row["name"]: line_styles([row])[row["name"]] for row in NINE}
    assert line_styles([*others, *NINE]).items() >= alone.items()


def test_colour_is_the_latent_and_marker_the_depth():
    styles = line_styles(NINE)
    for place, latent in enumerate((13, 8, 5)):
        colours = {styles[f"DAE_{depth}_{latent}"]["color"] for depth in (5, 3, 1)}
        assert colours == {PALETTE[place]}
    markers = [styles[f"DAE_{depth}_8"]["marker"] for depth in (5, 3, 1)]
    assert len(set(markers)) == 3
    looks = {(one["color"], one["marker"]) for one in styles.values()}
    assert len(looks) == 9


def test_another_training_of_a_model_is_told_apart():
    ranged = model(5, 5, "DAE_5_5 (gaussian:0.1..0.9)")
    plain, other = line_styles([model(5, 5), ranged]).values()
    assert (plain["color"], plain["marker"]) == (other["color"], other["marker"])
    assert other["mfc"] == "white" != plain.get("mfc")


def test_robustness_draws_the_ends_and_the_best_filter():
    psnr = {"median": 15.0, "mean": 12.0, "noisy input": 9.0}
    rows = [
        {**row, "noise": "gaussian", "strength": 0.5,
         "test": {"psnr": psnr.get(row["name"], 20.0)}}
        for row in [
            *NINE, UNET, MEDIAN, {"name": "mean", "kind": "filter"},
            {"name": "noisy input", "kind": "filter"},
            model(5, 5, "DAE_5_5 (gaussian:0.1..0.9)"),
        ]
    ]  # fmt: skip
    assert _drawn(rows, _lines(rows, "psnr"), "psnr") == {
        *("DAE_5_13", "DAE_5_5", "DAE_1_13", "DAE_1_5", "unet", "median"),
        *("noisy input", "DAE_5_5 (gaussian:0.1..0.9)"),
    }


def test_models_without_a_latent_differ():
    names = [f"net {number}" for number in range(6)]
    styles = line_styles([{"name": name, "kind": "model"} for name in names])
    assert len({str(look) for look in styles.values()}) == 6
