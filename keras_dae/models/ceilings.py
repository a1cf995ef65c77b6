"""Denoisers without a bottleneck, as data, to measure the cost of a narrow latent.

Each row of `CEILINGS` creates the nodes of a graph for an image shape. Parameters and
multiply-adds are counted from the nodes, and `ceiling_builders` builds the same nodes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

from keras_dae.errors import UsageError, check
from keras_dae.models.architectures import MAX_IMAGE_SIZE

NOISY = "noisy"
# Kernel side and stride of the nodes whose kind fixes them.
UP = 2
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Node:
    """One layer of a ceiling.

    Attributes:
        name: unique name in the graph; the last node is 'denoised'.
        kind: a row of `ceiling_builders.LAYERS`: conv ('same', stride 1), transpose
            (2x2, stride 2), pool (2x2 maximum), concatenate, add or activation.
        inputs: names of its input nodes; 'noisy' is the image.
        filters: output channels, if it has weights.
        kernel_size: side of its square kernel in pixels.
        activation: relu, sigmoid or linear.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    filters: int = 0
    kernel_size: int = 0
    activation: str = "relu"


@dataclass(frozen=True)
class CeilingSpec:
    """The specification of a denoiser without a bottleneck; see `build_ceiling`.

    Attributes:
        name: its row of `CEILINGS`.
        image_shape: height, width and channels of one image.
        nodes: the layers in topological order.
    """

    name: str
    image_shape: Shape
    nodes: tuple[Node, ...]

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Name of each node -> height, width and channels of its output."""
        shapes = {NOISY: self.image_shape}
        for node in self.nodes:
            given = [shapes[name] for name in node.inputs]
            height, width, channels = given[0]
            if node.kind == "pool":
                height, width = height // UP, width // UP
            elif node.kind == "transpose":
                height, width = height * UP, width * UP
            elif node.kind == "concatenate":
                channels = sum(shape[2] for shape in given)
            shapes[node.name] = (height, width, node.filters or channels)
        return shapes

    def kernels(self) -> Iterator[tuple[Node, int]]:
        """Yield each node with weights, and the number of its input channels."""
        for node in self.nodes:
            if node.filters:
                yield node, self.shapes[node.inputs[0]][2]

    @property
    def parameters(self) -> int:
        """Trainable weights and biases."""
        return sum(
            (node.kernel_size**2 * given + 1) * node.filters
            for node, given in self.kernels()
        )

    @property
    def macs(self) -> int:
        """Multiply-adds per image; a transposed convolution counts over its input."""
        total = 0
        for node, given in self.kernels():
            place = node.inputs[0] if node.kind == "transpose" else node.name
            pixels = prod(self.shapes[place][:2])
            total += pixels * node.kernel_size**2 * given * node.filters
        return total


def _conv(
    name: str, source: str, filters: int, side: int = 3, to: str = "relu"
) -> Node:
    return Node(name, "conv", (source,), filters, side, to)


def unet(image_shape: Shape, filters: int | None = None) -> tuple[Node, ...]:
    """Return a small U-Net: three levels with two convolutions each.

    After O. Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image
    Segmentation", 2015. Skip connections pass the maps of each level to the decoder.

    Raises:
        UsageError: height or width is not a multiple of 4.
    """
    height, width, channels = image_shape
    if height % UP**2 or width % UP**2:
        raise UsageError(
            "The U-Net halves the image twice, so height and width must be multiples "
            f"of {UP**2}. Received: image_size={height}x{width}."
        )
    wide = filters or 16
    nodes, source = [], NOISY
    for level in (1, 2, 3):
        made = wide * 2 ** (level - 1)
        nodes += [
            _conv(f"down_{level}a", source, made),
            _conv(f"down_{level}b", f"down_{level}a", made),
        ]
        source = f"down_{level}b"
        if level < 3:
            nodes.append(Node(f"pool_{level}", "pool", (source,)))
            source = f"pool_{level}"
    for level in (2, 1):
        made = wide * 2 ** (level - 1)
        skipped = (f"transpose_{level}", f"down_{level}b")
        nodes += [
            Node(f"transpose_{level}", "transpose", (source,), made, UP),
            Node(f"skip_{level}", "concatenate", skipped),
            _conv(f"up_{level}a", f"skip_{level}", made),
            _conv(f"up_{level}b", f"up_{level}a", made),
        ]
        source = f"up_{level}b"
    return (*nodes, _conv("denoised", source, channels, 1, "sigmoid"))


def dncnn(image_shape: Shape, filters: int | None = None) -> tuple[Node, ...]:
    """Return a residual chain of eight 3x3 convolutions at full resolution.

    After K. Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN
    for Image Denoising", 2017, without its batch normalization. The chain predicts what
    to add to the noisy image. The sum passes through a sigmoid: a clipped sum would
    have no gradient at black pixels, and most pixels of a digit are black.
    """
    wide = filters or 32
    nodes, source = [], NOISY
    for number in range(1, 8):
        nodes.append(_conv(f"conv_{number}", source, wide))
        source = f"conv_{number}"
    return (
        *nodes,
        _conv("correction", source, image_shape[2], to="linear"),
        Node("corrected", "add", (NOISY, "correction")),
        Node("denoised", "activation", ("corrected",), activation="sigmoid"),
    )


CEILINGS: dict[str, Callable[[Shape, int | None], tuple[Node, ...]]] = {
    "unet": unet,
    "dncnn": dncnn,
}


def plan_ceiling(
    name: str, image_shape: Shape = (28, 28, 1), filters: int | None = None
) -> CeilingSpec:
    """Return a row of `CEILINGS` for images of this shape.

    Args:
        name: unet or dncnn.
        image_shape: height, width and channels of one image.
        filters: channels at full resolution; None uses the default of the row.

    Raises:
        UsageError: the name is unknown, or the size is not supported.
    """
    check(name in CEILINGS, f"model must be one of {', '.join(CEILINGS)}.", model=name)
    check(
        all(1 <= side <= MAX_IMAGE_SIZE for side in image_shape[:2]),
        f"The image side must be from 1 to {MAX_IMAGE_SIZE}.",
        image_shape=image_shape,
    )
    check(filters is None or filters > 0, "filters must be positive.", filters=filters)
    return CeilingSpec(name, image_shape, CEILINGS[name](image_shape, filters))
