"""ICC profiles made byte by byte, without a color management library."""

import struct
from collections.abc import Sequence

import numpy as np

# CIE xy of red, green, blue and white, and the exponent of the transfer.
Primaries = Sequence[tuple[float, float]]
D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)
SPACES: dict[str, tuple[Primaries, float]] = {
    "Display P3": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65), 2.2),
    "Adobe RGB": (((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), D65), 2.19921875),
    "ProPhoto": (((0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105), D50), 1.8),
    "linear": (((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65), 1.0),
}
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def matrix(primaries: Primaries) -> np.ndarray:
    """Linear RGB to XYZ of the profile connection space (D50)."""
    red, green, blue, white = (xyz(*point) for point in primaries)
    columns = np.stack([red, green, blue], axis=1)
    to_xyz = columns * np.linalg.solve(columns, white)
    before, after = BRADFORD @ white, BRADFORD @ xyz(*D50)
    adapted: np.ndarray = np.linalg.inv(BRADFORD) @ np.diag(after / before) @ BRADFORD @ to_xyz
    return adapted


def fixed(number: float) -> bytes:
    return struct.pack(">i", round(number * 65_536))


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2 for a display."""
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78), **tags}
    tags |= {b"cprt": b"text" + bytes(4) + b"x\0", b"wtpt": b"XYZ " + bytes(4) + b"".join(map(fixed, xyz(*D50)))}
    at, index, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        padded = content.ljust(-(-len(content) // 4) * 4, b"\0")
        index += name + struct.pack(">II", at + len(body), len(content))
        body += padded
    head = struct.pack(">I4sI4s4s4s", at + len(body), bytes(4), 0x02400000, b"mntr", space, b"XYZ ")
    head = head.ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + b"".join(map(fixed, xyz(*D50)))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + index + body


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(primaries: Primaries, gamma: float) -> bytes:
    columns = matrix(primaries).T
    tags = {
        name: b"XYZ " + bytes(4) + b"".join(map(fixed, column))
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    }
    return profile(b"RGB ", tags | {name: curve(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")})
