"""The specification of the denoiser of photographs, without keras."""

from dataclasses import dataclass

from keras_dae.errors import check

PHOTO = "photo"  # the name of the model
ENDS = 4  # kernel of the first and the last convolution, whose stride is 2
KERNEL = 3
STRIDE = 2
BLOCKS, FILTERS = 3, 64


@dataclass(frozen=True)
class PhotoSpec:
    """The specification of a denoiser of photographs, which `build_photo` builds.

    Attributes:
        channels: channels of the image, 1 (grey) or 3 (colour).
        blocks: residual blocks of two 3x3 convolutions at half resolution.
        filters: channels at half resolution.
        size: height and width for `macs`; the model accepts any size.

    Raises:
        UsageError: a value is below 1, or the size is odd.
    """

    channels: int = 3
    blocks: int = BLOCKS
    filters: int = FILTERS
    size: tuple[int, int] = (128, 128)

    def __post_init__(self) -> None:
        for name in ("channels", "blocks", "filters"):
            value = getattr(self, name)
            check(value >= 1, f"{name} must be at least 1.", **{name: value})
        check(
            all(side > 0 and side % STRIDE == 0 for side in self.size),
            "Images for photo must have even sides.",
            size=self.size,
        )

    @property
    def name(self) -> str:
        """Name for runs: photo, or for example photo-6 with six blocks."""
        return PHOTO if self.blocks == BLOCKS else f"{PHOTO}-{self.blocks}"

    @property
    def parameters(self) -> int:
        """Weights of all kernels; there are no biases."""
        ends = 2 * ENDS**2 * self.channels * self.filters
        return ends + 2 * self.blocks * (KERNEL * self.filters) ** 2

    @property
    def macs(self) -> int:
        """Multiply-adds per image: each weight acts at each half-resolution pixel."""
        height, width = self.size
        return self.parameters * (height // STRIDE) * (width // STRIDE)
