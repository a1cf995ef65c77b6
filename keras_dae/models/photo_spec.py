"""The denoiser of photographs as data: its geometry, no keras."""

from dataclasses import dataclass

from keras_dae.errors import check

PHOTO = "photo"  # the name of the model
ENDS = 4  # kernel of the first and the last convolution, whose stride is 2
KERNEL = 3
STRIDE = 2
BLOCKS, FILTERS = 3, 64


@dataclass(frozen=True)
class PhotoSpec:
    """A denoiser of photographs as data: what `build_photo` builds.

    Attributes:
        channels: channels of the image, 1 (grey) or 3 (colour).
        blocks: residual blocks of two 3x3 convolutions at half resolution.
        filters: channels at half resolution.
        size: height and width that `macs` counts for; the model takes any.

    Raises:
        UsageError: a value below 1, or an odd size.
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
        """What a run is named by: photo, or photo-6 for six blocks."""
        return PHOTO if self.blocks == BLOCKS else f"{PHOTO}-{self.blocks}"

    @property
    def parameters(self) -> int:
        """Weights of all kernels; there are no biases."""
        ends = 2 * ENDS**2 * self.channels * self.filters
        return ends + 2 * self.blocks * (KERNEL * self.filters) ** 2

    @property
    def macs(self) -> int:
        """Multiply-adds for one image: each weight acts at each place of the middle."""
        height, width = self.size
        return self.parameters * (height // STRIDE) * (width // STRIDE)
