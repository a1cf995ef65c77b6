import pytest

from keras_dae.errors import UsageError
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
