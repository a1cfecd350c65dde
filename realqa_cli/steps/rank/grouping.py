"""Groups of photos of one scene: near-duplicates by their fingerprints, bursts by their time and fingerprints.

A photo belongs to a group if it is similar to one photo of it. The limits were chosen so that copies of 245
photographs (reduced, compressed again, cropped by 2 %) are found and no two different photographs are; the limits
for photos that were taken within seconds are wider, as the camera and the subject may move.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from realqa_cli.media.fingerprint import HASH_BITS, Fingerprint, similar_pairs, standardised
from realqa_cli.steps.rank.candidates import Candidate

GroupKind = Literal["single", "near-duplicates", "burst"]

DUPLICATE_BITS, DUPLICATE_CORRELATION = 76, 0.75
BURST_BITS, BURST_CORRELATION = 110, 0.5
BURST_SURE_CORRELATION = 0.85
"""Frames of a burst whose thumbnails correlate so much need no similar hash: a small shift turns that of a scene with
a fine regular pattern."""
BURST_SECONDS = 2.0
"""Most seconds from one frame of a burst to the next."""

_FOLLOWING = 16  # photos, by time, with which a photo is compared as a frame of the same burst


@dataclass(frozen=True)
class PhotoGroup:
    """members: indices, ascending.  kind: "burst" if they were not all taken at the same time."""

    members: tuple[int, ...]
    kind: GroupKind


def group_photos(candidates: Sequence[Candidate]) -> list[PhotoGroup]:
    """The groups, each photo in one, in the order of their first members."""
    measured = [(index, each.fingerprint) for index, each in enumerate(candidates) if each.fingerprint is not None]
    indices, fingerprints = [index for index, _ in measured], [each for _, each in measured]
    pairs = [
        *similar_pairs(fingerprints, most_bits=DUPLICATE_BITS, least_correlation=DUPLICATE_CORRELATION),
        *_burst_pairs([candidates[index].taken for index in indices], fingerprints),
    ]
    linked = _linked(len(candidates), [(indices[first], indices[second]) for first, second in pairs])
    return [PhotoGroup(members, _kind(candidates, members)) for members in linked]


def _burst_pairs(times: Sequence[float | None], fingerprints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    by_time = sorted((time, index) for index, time in enumerate(times) if time is not None)
    if len(by_time) < 2:
        return
    order = [index for _, index in by_time]
    thumbnails = standardised([fingerprints[index] for index in order])
    hashes = np.stack([fingerprints[index].phash for index in order])
    for first, (time, index) in enumerate(by_time):
        for second in range(first + 1, min(first + 1 + _FOLLOWING, len(by_time))):
            if by_time[second][0] - time > BURST_SECONDS:
                break
            bits = HASH_BITS - int((hashes[first] == hashes[second]).sum())
            correlation = float(thumbnails[first] @ thumbnails[second])
            if correlation >= (BURST_CORRELATION if bits <= BURST_BITS else BURST_SURE_CORRELATION):
                yield index, order[second]


def _linked(count: int, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The connected sets of `count` photos."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.array(pairs, dtype=int).reshape(-1, 2).T
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    _, labels = connected_components(links, directed=False)
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(int(label), []).append(index)
    return [tuple(each) for each in members.values()]


def _kind(candidates: Sequence[Candidate], members: Sequence[int]) -> GroupKind:
    if len(members) == 1:
        return "single"
    times = {candidates[index].taken for index in members} - {None}
    return "burst" if len(times) > 1 else "near-duplicates"
