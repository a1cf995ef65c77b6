import re
from dataclasses import FrozenInstanceError

import pytest

from keras_dae.errors import UsageError
from keras_dae.models.architectures import (
    DEPTHS,
    LATENTS,
    MAX_KERNEL,
    Conv,
    DAESpec,
    Step,
    architecture_row,
    default_filters,
    paper_specs,
    plan,
    reduction,
)
from keras_dae.models.builders import build

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

# Of the README's table, from models that keras has counted (test_builders.py).
PARAMETERS = {
    "DAE_5_13": 129_797,
    "DAE_5_8": 232_581,
    "DAE_5_5": 203_525,
    "DAE_3_13": 46_661,
    "DAE_3_8": 49_829,
    "DAE_3_5": 54_661,
    "DAE_1_13": 133,
    "DAE_1_8": 397,
    "DAE_1_5": 1_157,
}

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


def test_the_nine_have_their_parameters():
    assert {spec.name: spec.parameters for spec in paper_specs()} == PARAMETERS


def test_the_width_outside_the_study_is_one():
    study = {(depth, latent) for depth in (3, 5) for latent in LATENTS}
    others = {(d, n) for d in range(1, 8) for n in range(1, 29)} - study
    assert {default_filters(*other) for other in others} == {32}
    assert plan(2, 13).layers[0].filters == 32


@pytest.mark.parametrize(
    ("row", "field"),
    [(Conv(1, 4), "strides"), (SMALL, "layers"), (Step(4, 2, "same"), "strides")],
)
def test_geometry_does_not_change_under_anyone(row, field):
    with pytest.raises(FrozenInstanceError):
        setattr(row, field, 2)


def test_defaults_of_a_convolution():
    assert Conv(3, 5) == Conv(3, 5, 1, "valid")
    assert Conv(3, 5).output_size(9) == 5
    # 'same' rounds up: the last position may stand half outside.
    assert Conv(3, 4, 2, "same").output_size(9) == 5


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


def exact_steps(size, strides):
    """Each exact step, tried one by one as the module's first lines define them."""
    for stride in strides:
        for kernel in range(2 * stride, MAX_KERNEL + 1):
            for latent in range(1, size + 1):
                if (latent - 1) * stride + kernel == size:
                    yield latent, Step(kernel, stride, "valid")
                if kernel == 2 * stride and latent * stride == size and stride > 1:
                    yield latent, Step(kernel, stride, "same")


def searched(size, strides, depth):
    """Latent side -> its best steps: all ways of 0, 1, ... `depth` steps, compared."""
    best, level = {size: (0, ())}, {size: (0, ())}
    for _ in range(depth):
        longer = {}
        for side, (kernels, steps) in level.items():
            for latent, step in exact_steps(side, strides):
                way = (kernels + step.kernel_size, (*steps, step))
                longer[latent] = min(way, longer.get(latent, way))
        level = {side: way for side, way in longer.items() if side not in best}
        best |= level
    return {side: steps for side, (_, steps) in best.items()}


@pytest.mark.parametrize("size", [2, 3, 7, 16, 28, 33])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_schedule_is_the_best_of_all(size, depth):
    """Fewest steps, then the smallest kernels; wide strides only where needed."""
    narrow = searched(size, (1, 2, 3), depth)
    wide = searched(size, (1, 2, 3, 4, 5, 6), depth)
    for latent in range(1, size + 1):
        expected = narrow.get(latent, wide.get(latent))
        assert reduction(size, latent, depth) == expected, latent


@pytest.mark.parametrize(
    ("depth", "latent", "size", "says"),
    [
        (
            *(1, 11, 23),  # 12 and 10 are as near: the larger one keeps more
            "There is no exact way from 23x23 to 11x11 in 1 convolution with kernels "
            "from twice the stride to 12; the nearest latent at depth 1 is 12, and a "
            "latent of 11 needs depth 2. Received: depth=1, latent=11.",
        ),
        (
            *(2, 2, 128),
            "There is no exact way from 128x128 to 2x2 in 2 convolutions with kernels "
            "from twice the stride to 12; the nearest latent at depth 2 is 4, and a "
            "latent of 2 needs depth 3. Received: depth=2, latent=2.",
        ),
        (
            *(1, 140, 270),  # 130 less: eleven kernels of 12 and one of 10
            "There is no exact way from 270x270 to 140x140 in 1 convolution with "
            "kernels from twice the stride to 12; the nearest latent at depth 1 is "
            "135, and a latent of 140 needs depth 12. Received: depth=1, latent=140.",
        ),
        (
            *(1, 137, 270),  # depth 13 would do, which nobody wants to hear of
            "There is no exact way from 270x270 to 137x137 in 1 convolution with "
            "kernels from twice the stride to 12; the nearest latent at depth 1 is "
            "135. Received: depth=1, latent=137.",
        ),
    ],
)
def test_what_is_said_where_there_is_no_schedule(depth, latent, size, says):
    with pytest.raises(UsageError) as refused:
        plan(depth, latent, (size, size, 1))
    assert str(refused.value) == says


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
        ((1, 0), "latent must be from 1 to .*latent=0"),
        ((1, -3), "latent=-3"),
        ((0, 13), r"depth must be from 1 to 64\. Received: depth=0"),
        ((-1, 13), "depth=-1"),
        ((65, 13), "depth must be from 1 to 64.*depth=65"),
        ((1, 13, (28, 32, 1)), "square.*height=28, width=32"),
        ((1, 13, (32, 28, 1)), "square.*height=32, width=28"),
        ((1, 1, (1, 1, 1)), "from 2 to 4096.*image_size=1"),
        ((1, 13, (4097, 4097, 1)), "from 2 to 4096.*image_size=4097"),
        ((3, 13, (28, 28, 1), -1), "filters=-1"),
        ((3, 13, (28, 28, -1)), "channels=-1"),
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


def test_a_row_tells_the_side_of_the_latent():
    assert [architecture_row(plan(1, side))["latent"] for side in LATENTS] == [*LATENTS]


def test_equal_layers_are_counted():
    assert architecture_row(plan(5, 13))["layers"] == "4x4/2, 4 of 3x3 same"


def test_the_ends_of_what_is_accepted():
    assert plan(64, 13).depth == 64
    assert plan(1, 4096, (4096, 4096, 1), filters=1).sizes == (4096, 4096)
    assert plan(2, 13, filters=1).widths == (1, 1, 4)


@pytest.mark.parametrize(
    ("shape", "latent_shape"),
    [((28, 40, 1), (13, 19, 4)), ((40, 28, 3), (19, 13, 4))],
)
def test_images_that_are_not_square_by_hand(shape, latent_shape):
    """A kernel of 4 and a stride of 2 take 28 to 13 and 40 to 19."""
    spec = plan(1, 13, shape)
    assert [str(row) for row in spec.layers] == ["4x4/2"]
    assert (spec.image_shape, spec.latent_shape) == (shape, latent_shape)
    assert spec.name == "DAE_1_13"
    assert spec.macs == 2 * 13 * 19 * 4 * 4 * shape[2] * 4
    assert spec.parameters == 2 * 16 * shape[2] * 4 + 4 + shape[2]
    model = build(spec)
    assert model.output_shape == (None, *shape)
    assert model.get_layer("latent").output.shape == (None, *latent_shape)
    assert model.count_params() == spec.parameters


@pytest.mark.parametrize("shape", [(12, 16, 1), (24, 36, 1), (30, 45, 1), (31, 64, 1)])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_each_side_is_divided_exactly(shape, depth):
    for latent in range(1, 12):
        try:
            spec = plan(depth, latent, shape)
        except UsageError:
            continue
        assert min(spec.latent_shape[:2]) == latent
        for row, height, width in zip(
            spec.layers, spec.sizes, spec._across, strict=False
        ):
            if row.padding == "valid":
                assert (height - row.kernel_size) % row.strides == 0
                assert (width - row.kernel_size) % row.strides == 0
            else:
                assert height % row.strides == width % row.strides == 0


def test_sides_without_a_common_schedule_are_one_sentence():
    with pytest.raises(UsageError, match="from 28x29 to a shorter side of 13 in 1 "):
        plan(1, 13, (29, 28, 1))
