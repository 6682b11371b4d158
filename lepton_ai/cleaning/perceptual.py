"""Which images look alike: perceptual hashes find pairs, grey copies confirm them."""

import numpy as np

from lepton_ai.cleaning.columns import Array

SIDE = 8
NEAR = 20  # of 128 bits may differ
ALIKE = 0.985  # correlation of the grey copies
CHUNK = 512


def difference_hash(small: Array) -> Array:
    """64 bits (N, 64) for each grey image (N, S, S): whether each of 8 x 8 places is brighter than the one left of it.

    Krawetz: Kind of Like That, 2013 (dHash).
    """
    thumbs = _resized(small, SIDE, SIDE + 1)
    # A step counts from a twentieth of the contrast on: in even areas, noise alone would set the bits.
    least = 0.05 * thumbs.std(axis=(1, 2), keepdims=True)
    return np.asarray(np.diff(thumbs, axis=2) > least).reshape(len(small), -1)


def frequency_hash(small: Array) -> Array:
    """64 bits (N, 64) for each grey image (N, S, S): whether each of its 8 x 8 lowest frequencies lies above their
    median.

    Zauner: Implementation and Benchmarking of Perceptual Image Hash Functions, 2010 (pHash).
    """
    size = small.shape[1]
    places = np.arange(size)
    basis = np.cos(np.pi * (places[None, :] + 0.5) * np.arange(SIDE)[:, None] / size)
    waves = np.einsum("fi,nij,gj->nfg", basis, small.astype(np.float64), basis, optimize=True).reshape(len(small), -1)
    return np.asarray(waves > np.median(waves[:, 1:], axis=1, keepdims=True))


def look_alikes(small: Array, others: Array) -> Array:
    """Pairs (P, 2) of grey images (N, S, S) and (M, S, S) that look alike, also when brighter, recompressed or resized.
    The same array twice gives each pair once."""
    bits, grey = _signs(small), _normal(small)
    other_bits, other_grey = (bits, grey) if small is others else (_signs(others), _normal(others))
    found = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(bits), CHUNK):
        apart = (bits.shape[1] - bits[start : start + CHUNK] @ other_bits.T) / 2
        one, other = np.nonzero(apart <= NEAR)
        one += start
        if small is others:
            one, other = one[one < other], other[one < other]
        for low in range(0, len(one), 8192):  # a crowd of equal images makes many pairs
            part = slice(low, low + 8192)
            close = np.einsum("ij,ij->i", grey[one[part]], other_grey[other[part]]) >= ALIKE
            found.append(np.stack([one[part][close], other[part][close]], axis=1))
    return np.concatenate(found)


def _signs(small: Array) -> Array:
    return np.where(np.concatenate([difference_hash(small), frequency_hash(small)], axis=1), 1, -1).astype(np.float32)


def _normal(small: Array) -> Array:
    flat = small.reshape(len(small), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))


def _resized(small: Array, height: int, width: int) -> Array:
    """Means over boxes, as many as wanted along each side."""
    size = small.shape[1]
    rows, columns = (np.linspace(0, size, number + 1).astype(np.int64)[:-1] for number in (height, width))
    sums = np.add.reduceat(np.add.reduceat(small.astype(np.float64), rows, axis=1), columns, axis=2)
    areas = np.diff(np.append(rows, size))[:, None] * np.diff(np.append(columns, size))[None, :]
    return np.asarray(sums / areas)
