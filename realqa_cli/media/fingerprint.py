"""Fingerprints of photos: what two copies of a photo share, whatever their size, format and compression.

A fingerprint is the perceptual hash of 256 bits (pHash, by the library `imagehash`) and a grey thumbnail of
32 x 32. Copies of 245 photographs that were reduced, compressed again or cropped by 2 % differ from the originals
in at most 74 bits, and their thumbnails correlate by at least 0.83; the two most similar of the 245 different
photographs differ in 84 bits.
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

HASH_SIDE = 16
HASH_BITS = HASH_SIDE**2
THUMBNAIL_SIDE = 32

_BLOCK = 512  # photos that are compared with all others at once: 50,000 photos then need 200 MB


@dataclass(frozen=True)
class Fingerprint:
    """phash: `HASH_BITS` booleans.  thumbnail: `THUMBNAIL_SIDE` squared grey levels of 0 to 255, row by row."""

    phash: npt.NDArray[np.bool_]
    thumbnail: npt.NDArray[np.uint8]

    def as_fields(self) -> dict[str, str]:
        """JSON-ready: `phash` in hexadecimal digits, `thumbnail` in base64."""
        return {
            "phash": np.packbits(self.phash).tobytes().hex(),
            "thumbnail": base64.b64encode(self.thumbnail.tobytes()).decode(),
        }

    @classmethod
    def from_fields(cls, phash: object, thumbnail: object) -> "Fingerprint":
        """The inverse of `as_fields`. Raises ValueError for anything else."""
        try:
            bits = np.frombuffer(bytes.fromhex(str(phash)), dtype=np.uint8)
            grey = np.frombuffer(base64.b64decode(str(thumbnail), validate=True), dtype=np.uint8)
        except (ValueError, binascii.Error) as error:
            raise ValueError("the fingerprint is damaged") from error
        if bits.size * 8 != HASH_BITS or grey.size != THUMBNAIL_SIDE**2:
            raise ValueError("the fingerprint has another size")
        return cls(np.unpackbits(bits).astype(bool), grey)


def fingerprint_of(photo: Image.Image) -> Fingerprint:
    """The fingerprint of an RGB photo."""
    import imagehash

    grey = photo.convert("L")
    phash = imagehash.phash(grey, hash_size=HASH_SIDE).hash.reshape(-1)
    thumbnail = grey.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    return Fingerprint(phash, np.asarray(thumbnail, dtype=np.uint8).reshape(-1).copy())


def similar_pairs(
    fingerprints: Sequence[Fingerprint], *, most_bits: int, least_correlation: float
) -> Iterator[tuple[int, int]]:
    """The pairs (i, j), i < j, that differ in at most `most_bits` and correlate by at least `least_correlation`."""
    if not fingerprints:
        return
    signs = np.stack([each.phash for each in fingerprints]).astype(np.float32) * 2 - 1
    thumbnails = standardised(fingerprints)
    for start in range(0, len(signs), _BLOCK):
        block = slice(start, start + _BLOCK)
        bits = (HASH_BITS - signs[block] @ signs[start:].T) / 2
        alike = (bits <= most_bits) & (thumbnails[block] @ thumbnails[start:].T >= least_correlation)
        for first, second in np.argwhere(np.triu(alike, k=1)):
            yield start + int(first), start + int(second)


def standardised(fingerprints: Sequence[Fingerprint]) -> npt.NDArray[np.float32]:
    """The thumbnails as unit vectors with mean 0, a row each: their inner products are correlations.

    A thumbnail of one level is a row of zeros, which correlates with nothing.
    """
    grey = np.stack([each.thumbnail for each in fingerprints]).astype(np.float32)
    grey -= grey.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(grey, axis=1, keepdims=True)
    return np.where(norms > 1, grey / np.maximum(norms, 1), 0).astype(np.float32)
