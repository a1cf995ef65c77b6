"""Image formats that are not supported, with advice for each."""

from pathlib import Path

from keras_dae.images.io.pictures import UnreadableError

RAW = (
    "is a raw photograph, which is not supported; convert it to a 16-bit TIFF or PNG "
    "file first"
)
SLIDE = "is a whole-slide image, which is not supported; export a region as TIFF"
SCOPE = "is a microscope file, which is not supported; export it as OME-TIFF"
SCAN = "is a medical or scientific image in a format that is not supported"
OTHER = "is an image in a format that is not supported; save it as PNG or TIFF"
# Suffixes of unsupported image files, by message.
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
    """Return what is wrong with an image file in an unsupported format, by its name.

    Returns None for any other name.
    """
    if path.name.lower().endswith(".nii.gz"):
        return SCAN
    return KINDS.get(path.suffix.lower())


def check_kind(path: Path) -> None:
    """Raise `UnreadableError` if the name of a file implies an unsupported format."""
    words = other_kind(path)
    if words is not None:
        raise UnreadableError(words)
