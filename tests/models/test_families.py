import pytest

from keras_dae.errors import UsageError
from keras_dae.models.families import (
    FAMILIES,
    MATCHED_FIELD,
    MATCHED_PARAMETERS,
    plan_family,
)

MNIST = (28, 28, 1)
MEMBERS = [(depth, latent) for depth in (3, 5) for latent in (13, 8, 5)]


@pytest.mark.parametrize(("depth", "latent"), MEMBERS)
def test_the_matched_family_is_matched(depth, latent):
    spec = plan_family("matched", depth, latent, MNIST)
    assert (spec.name, spec.depth) == (f"MATCHED_{depth}_{latent}", depth)
    assert spec.latent_shape == (latent, latent, 4)
    assert spec.parameters == pytest.approx(MATCHED_PARAMETERS, rel=0.03)
    # The study's own family goes from 12 to 36 pixels and by 5 to 1 in parameters.
    assert 31 <= spec.receptive_field <= MATCHED_FIELD


@pytest.mark.parametrize("latent", [13, 8, 5])
def test_matched_models_of_a_latent_cost_alike_at_both_depths(latent):
    three, five = (plan_family("matched", depth, latent, MNIST) for depth in (3, 5))
    assert three.macs == pytest.approx(five.macs, rel=0.06)
    assert three.receptive_field == five.receptive_field


def test_a_width_that_is_given_is_kept():
    spec = plan_family("matched", 5, 8, MNIST, filters=7)
    assert {row.filters for row in spec.layers[:-1]} == {7}


def test_one_convolution_has_nothing_to_match_with():
    with pytest.raises(UsageError, match="depth=1, latent=13"):
        plan_family("matched", 1, 13, MNIST)


@pytest.mark.parametrize("name", FAMILIES)
def test_names_begin_with_the_family(name):
    spec = plan_family(name, 5, 13, MNIST, 8)
    assert spec.name == f"{FAMILIES[name].prefix}_5_13"
    assert spec.image_shape == MNIST
