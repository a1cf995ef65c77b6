"""Image files that are not read: how to know them, and what to say of each."""

from pathlib import Path

from keras_dae.images.io.pictures import UnreadableError

RAW = (
    "is a raw photograph, which is not read here; develop it first, to a TIFF or PNG "
    "of 16 bits"
)
SLIDE = "is a whole-slide image, which is not read here; export a region of it as TIFF"
SCOPE = "is a microscope's own file, which is not read here; export it as OME-TIFF"
SCAN = "is a medical or scientific image of a kind that is not read here"
OTHER = "is an image of a kind that is not read here; save it as PNG or TIFF"
# The suffixes of files that hold images, by what is said of them.
_SUFFIXES = {
    RAW: "3fr arw bay cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mef mos mrw nef "
    "nrw orf pef ptx r3d raf raw rw2 rwl rwz sr2 srf srw x3f",
    SLIDE: "svs ndpi scn mrxs bif vms vmu svslide isyntax",
    SCOPE: "czi nd2 lif lsm oib oif vsi zvi ims stk oir",
    SCAN: "dcm dicom nii fits fit fts mha mhd nrrd mrc mnc xcf h5img",
    OTHER: "gif jp2 j2k jpx jpf j2c jxl jxr wdp hdp jls psd psb exr hdr pic pcx tga "
    "ppm pgm pbm pnm pfm pam sgi rgb ras ico icns dds xbm xpm qoi avifs heics",
}
KINDS = {
    f".{suffix}": words
    for words, suffixes in _SUFFIXES.items()
    for suffix in suffixes.split()
}


def other_kind(path: Path) -> str | None:
    """Return what is wrong with an image file of a kind not read, by its name.

    Returns None for a name that stands for no such file.
    """
    if path.name.lower().endswith(".nii.gz"):
        return SCAN
    return KINDS.get(path.suffix.lower())


def check_kind(path: Path) -> None:
    """Raise `UnreadableError` for a file whose name says that it is not read."""
    words = other_kind(path)
    if words is not None:
        raise UnreadableError(words)
