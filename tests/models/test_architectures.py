import re

import pytest

from keras_dae.errors import UsageError
from keras_dae.models.architectures import (
    DEPTHS,
    LATENTS,
    MAX_KERNEL,
    Conv,
    DAESpec,
    architecture_row,
    paper_specs,
    plan,
)

# Table 1 of the paper: name, latent channels last, latent values by pixels in %.
TABLE_1 = [
    ("DAE_5_13", (13, 13, 4), 86.22),
    ("DAE_5_8", (8, 8, 4), 32.65),
    ("DAE_5_5", (5, 5, 4), 12.76),
    ("DAE_3_13", (13, 13, 4), 86.22),
    ("DAE_3_8", (8, 8, 4), 32.65),
    ("DAE_3_5", (5, 5, 4), 12.76),
    ("DAE_1_13", (13, 13, 4), 86.22),
    ("DAE_1_8", (8, 8, 4), 32.65),
    ("DAE_1_5", (5, 5, 4), 12.76),
]

# 8x8x1 -> 4x4x3 -> 4x4x4 and back.
SMALL = DAESpec(8, 1, (Conv(3, 4, 2, "same"), Conv(4, 3, 1, "same")))


def test_the_nine_are_table_1():
    rows = [
        (spec.name, spec.latent_shape, round(100 * spec.latent_ratio, 2))
        for spec in paper_specs()
    ]
    assert rows == TABLE_1


@pytest.mark.parametrize("spec", paper_specs(), ids=lambda spec: spec.name)
def test_the_nine(spec):
    depth, latent = map(int, spec.name.split("_")[1:])
    assert spec.depth == len(spec.layers) == depth
    assert spec == plan(depth, latent)
    assert spec.image_shape == (28, 28, 1)
    assert len({layer.filters for layer in spec.layers[:-1]}) <= 1


def test_small_by_hand():
    assert SMALL.sizes == (8, 4, 4)
    assert SMALL.widths == (1, 3, 4)
    assert SMALL.latent_shape == (4, 4, 4)
    assert SMALL.latent_ratio == 1
    assert SMALL.name == "DAE_2_4"
    # 4*4*1*3 + 3, 3*3*3*4 + 4; back: 3*3*4*3 + 3, 4*4*3*1 + 1
    assert SMALL.parameters == 51 + 112 + 111 + 49 == 323
    # 16 positions of 4*4*1*3 and of 3*3*3*4, both ways
    assert SMALL.macs == 2 * (16 * 48 + 16 * 108) == 4992


def test_dae_1_13_by_hand():
    spec = plan(1, 13)
    assert spec.layers == (Conv(4, 4, 2),)
    assert spec.parameters == (4 * 4 * 1 * 4 + 4) + (4 * 4 * 4 * 1 + 1) == 133
    assert spec.macs == 2 * 13 * 13 * 4 * 4 * 4 == 21632


@pytest.mark.parametrize(
    ("layers", "field"),
    [
        ((Conv(1, 4, 2),), 4),
        ((Conv(1, 3, 1, "same"), Conv(1, 3, 1, "same")), 5),
        ((Conv(1, 4, 2), Conv(1, 3, 1, "same")), 8),  # 4 + 2 * 2
        ((Conv(1, 4, 2), Conv(1, 5, 2), Conv(1, 3, 1, "same")), 20),  # 4 + 4*2 + 2*4
        ((Conv(1, 7, 3), Conv(1, 3), Conv(1, 2, 2)), 16),  # 7 + 2*3 + 1*3
    ],
)
def test_receptive_field_by_hand(layers, field):
    assert DAESpec(40, 1, layers).receptive_field == field


@pytest.mark.parametrize(
    ("depth", "latent", "image_shape"),
    [
        *((depth, latent, (28, 28, 1)) for depth in DEPTHS for latent in LATENTS),
        (1, 28, (28, 28, 1)),
        (2, 7, (28, 28, 1)),
        (4, 14, (28, 28, 1)),
        (3, 1, (28, 28, 1)),
        (1, 1, (2, 2, 1)),
        (5, 16, (64, 64, 1)),
        (3, 8, (32, 32, 3)),
        (5, 8, (32, 32, 3)),
        (3, 32, (256, 256, 1)),
        (5, 32, (256, 256, 3)),
        (7, 9, (33, 33, 2)),
    ],
)
def test_each_step_is_exact_and_its_mirror_comes_back(depth, latent, image_shape):
    spec = plan(depth, latent, image_shape)
    assert spec.depth == depth
    assert spec.image_shape == image_shape
    assert spec.latent_shape == (latent, latent, 4)
    for layer, size, smaller in zip(
        spec.layers, spec.sizes[:-1], spec.sizes[1:], strict=True
    ):
        kernel, strides = layer.kernel_size, layer.strides
        if layer.padding == "same":
            assert size % strides == 0
            assert smaller * strides == size
        else:
            assert (size - kernel) % strides == 0
            assert (smaller - 1) * strides + kernel == size
        assert 2 * strides <= kernel <= MAX_KERNEL


@pytest.mark.parametrize(
    ("depth", "latent", "size"), [(1, 3, 28), (1, 3, 64), (1, 45, 64), (2, 2, 128)]
)
def test_no_schedule_names_a_nearest_latent_that_has_one(depth, latent, size):
    with pytest.raises(UsageError, match=f"latent={latent}") as refused:
        plan(depth, latent, (size, size, 1))
    nearest = int(re.search(r"nearest latent .* is (\d+)", str(refused.value))[1])
    assert plan(depth, nearest, (size, size, 1)).latent_shape[0] == nearest
    distance = abs(nearest - latent)
    for nearer in range(max(1, latent - distance + 1), latent + distance):
        with pytest.raises(UsageError):
            plan(depth, nearer, (size, size, 1))
    deeper = re.search(r"needs depth (\d+)", str(refused.value))
    assert plan(int(deeper[1]), latent, (size, size, 1)).latent_shape[0] == latent


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((1, 29), "image side 28.*latent=29"),
        ((1, 0), "latent=0"),
        ((1, -3), "latent=-3"),
        ((0, 13), "depth=0"),
        ((-1, 13), "depth=-1"),
        ((65, 13), "depth=65"),
        ((1, 13, (28, 32, 1)), "square.*height=28, width=32"),
        ((1, 1, (1, 1, 1)), "image_size=1"),
        ((1, 13, (5000, 5000, 1)), "image_size=5000"),
        ((3, 13, (28, 28, 1), -1), "filters=-1"),
    ],
)
def test_refused(arguments, says):
    with pytest.raises(UsageError, match=says):
        plan(*arguments)


def test_no_filters_are_refused():
    with pytest.raises(UsageError, match="filters=0"):
        plan(3, 13, filters=0)


def test_no_channels_are_refused():
    with pytest.raises(UsageError, match="channels=0"):
        plan(3, 13, (28, 28, 0))


def test_filters_between_image_and_latent():
    assert plan(5, 13, filters=7).widths == (1, 7, 7, 7, 7, 4)


def test_architecture_row():
    assert architecture_row(SMALL) == {
        "name": "DAE_2_4",
        "depth": 2,
        "latent": 4,
        "latent_shape": [4, 4, 4],
        "latent_ratio": 1.0,
        "layers": "4x4/2 same, 3x3 same",
        "filters": 3,
        "parameters": 323,
        "macs": 4992,
        "receptive_field": 8,
    }


def test_equal_layers_are_counted():
    assert architecture_row(plan(5, 13))["layers"] == "4x4/2, 4 of 3x3 same"
