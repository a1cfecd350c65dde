"""What the decoders of some photo formats need before their first file."""

from contextlib import suppress
from functools import cache


@cache
def prepare_decoders(image_format: str) -> None:
    """What has to happen once, before the first file of a format."""
    if image_format == "HEIF":
        import pillow_heif  # 0.1 s that only photos of this format pay for

        pillow_heif.register_heif_opener()
    elif image_format == "TIFF":
        import ctypes

        from PIL import _imaging

        # libtiff prints each flaw of a file to stderr; Pillow raises as well, so that nothing is lost.
        with suppress(OSError, AttributeError):  # linked statically (Windows): there its chatter stays
            library = ctypes.CDLL(_imaging.__file__)  # finds the symbols of the libraries it links to, too
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)
