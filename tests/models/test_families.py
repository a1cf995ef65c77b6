import pytest

from keras_dae.errors import UsageError
from keras_dae.models.architectures import Conv, DAESpec, architecture_row
from keras_dae.models.families import (
    BALANCED_FIELD,
    BALANCED_MACS,
    BALANCED_PARAMETERS,
    FAMILIES,
    plan_family,
)

MNIST = (28, 28, 1)
MEMBERS = [(depth, latent) for depth in (3, 5) for latent in (13, 8, 5)]
TARGETS = [
    ("equal-parameters", "parameters", BALANCED_PARAMETERS),
    ("equal-macs", "macs", BALANCED_MACS),
]


@pytest.mark.parametrize(("depth", "latent"), MEMBERS)
@pytest.mark.parametrize(("family", "attribute", "target"), TARGETS)
def test_members_of_a_balanced_family_are_alike(
    family, attribute, target, depth, latent
):
    spec = plan_family(family, depth, latent, MNIST)
    assert spec.name == f"{FAMILIES[family].prefix}_{depth}_{latent}"
    assert spec.latent_shape == (latent, latent, 4)
    assert getattr(spec, attribute) == pytest.approx(target, rel=0.03)
    # The study's own family goes from 12 to 36 pixels.
    assert spec.receptive_field in (BALANCED_FIELD, BALANCED_FIELD + 1)
    widths = spec.widths[1:-1]
    assert sorted(widths, reverse=True) == list(widths)


def test_a_width_that_is_given_is_kept():
    spec = plan_family("equal-macs", 5, 8, MNIST, filters=7)
    assert {row.filters for row in spec.layers[:-1]} == {7}


def test_one_convolution_has_nothing_to_balance():
    with pytest.raises(UsageError, match="depth=1, latent=13"):
        plan_family("equal-parameters", 1, 13, MNIST)


@pytest.mark.parametrize("name", FAMILIES)
def test_names_begin_with_the_family(name):
    spec = plan_family(name, 5, 13, MNIST, 8)
    assert spec.name == f"{FAMILIES[name].prefix}_5_13"
    assert spec.image_shape == MNIST


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [(1, ()), (3, ()), (4, ()), (5, (2,)), (6, (2,)), (9, (2, 4, 6))],
)
def test_residual_blocks_are_pairs_of_layers_of_equal_shape(depth, blocks):
    """Two convolutions reduce, the last one gives the latent; the rest are 3x3."""
    spec = plan_family("residual", depth, 5, MNIST)
    assert (spec.name, spec.blocks) == (f"RES_{depth}_5", blocks)
    plain = plan_family("dae", depth, 5, MNIST)
    assert plain.blocks == ()
    assert plain.layers == spec.layers


def test_as_many_filters_as_channels_leave_the_ends_alone():
    """The first layer's mirror gives the image, and the latent is no sum."""
    layers = (Conv(4, 3, 1, "same"),) * 4
    assert DAESpec(8, 4, layers, residual=True).blocks == (1,)
    assert DAESpec(8, 4, layers[:3], residual=True).blocks == ()


def test_the_row_of_a_table_counts_residual_blocks():
    found = architecture_row(plan_family("residual", 9, 5, MNIST))["layers"]
    assert found == "4x4/2, 5x5/2, 7 of 3x3 same; residual blocks: 3"


def test_a_family_that_is_none_is_named():
    with pytest.raises(UsageError, match=r"should be one of dae, .*'resnet'"):
        plan_family("resnet", 5, 5, MNIST)
