"""JPEG lossless (ITU-T T.81, annex H) of one component, with differences that wrap.

T.81 H.2.1 computes differences modulo 65536, and many encoders reduce them to the bits in use. libjpeg, which decodes
everything else, cuts such samples off at 0 and at the largest value, and every later one is wrong.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_BLOCK_BITS: Final = 2**20
"""Bits that are looked up at once: bounds the memory."""

_Codes = npt.NDArray[np.uint8]


@dataclass
class _Frame:
    precision: int
    height: int
    width: int
    predictor: int
    point_transform: int
    restart_interval: int
    categories: _Codes
    lengths: _Codes
    scan: bytes


def decode_jpeg_lossless(frame: bytes) -> npt.NDArray[np.uint16]:
    """Decode a frame; samples are reduced modulo 2 to the power of its precision.

    Args:
        frame: a JPEG of process 14 (SOF3) with one component.

    Returns:
        uint16 [height, width].

    Raises:
        ValueError: another kind of JPEG, or a damaged one.
    """
    parts = _parse(frame)
    samples = parts.height * parts.width
    wanted = parts.restart_interval or samples
    differences = [
        _differences(segment, min(wanted, samples - first), parts)
        for first, segment in zip(range(0, samples, wanted), _segments(parts.scan), strict=False)
    ]
    if sum(map(len, differences)) != samples:
        raise ValueError("the compressed pixels are cut off")
    bits = parts.precision - parts.point_transform
    rows_between_restarts = parts.restart_interval // parts.width or parts.height
    field = np.concatenate(differences).reshape(parts.height, parts.width)
    bands = [
        _restore(field[first : first + rows_between_restarts], parts.predictor, bits)
        for first in range(0, parts.height, rows_between_restarts)
    ]
    return np.asarray(np.concatenate(bands) << parts.point_transform, dtype=np.uint16)


def _parse(frame: bytes) -> _Frame:
    size: tuple[int, int, int] | None = None
    tables: dict[int, tuple[_Codes, _Codes]] = {}
    restart = 0
    place = 2
    while place + 4 <= len(frame):
        if frame[place] != 0xFF:
            raise ValueError("a JPEG marker is missing")
        marker = frame[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        length = int.from_bytes(frame[place + 2 : place + 4], "big")
        body = frame[place + 4 : place + 2 + length]
        place += 2 + length
        if marker == 0xC3:
            precision, height, width, components = struct.unpack_from(">BHHB", body)
            if components != 1 or not 2 <= precision <= 16 or not height * width:
                raise ValueError(f"a lossless JPEG of {components} components and {precision} bits")
            size = precision, height, width
        elif marker == 0xC4:
            tables |= _tables(body)
        elif marker == 0xDD:
            restart = int.from_bytes(body[:2], "big")
        elif marker == 0xDA:
            if size is None or len(body) < 6 or body[0] != 1 or body[2] >> 4 not in tables:
                raise ValueError("not a lossless JPEG")
            predictor, transform = body[3], body[5] & 15
            if not 1 <= predictor <= 7 or transform >= size[0] or restart % size[2]:
                raise ValueError(f"predictor {predictor}, point transform {transform}, restart interval {restart}")
            return _Frame(*size, predictor, transform, restart, *tables[body[2] >> 4], frame[place:])
    raise ValueError("the JPEG holds no scan")


def _tables(body: bytes) -> dict[int, tuple[_Codes, _Codes]]:
    """Table number -> (category, code length) of every 16 bits; length 0 where they begin no code."""
    tables = {}
    while len(body) >= 17:
        counts, code, place = body[1:17], 0, 17
        categories, lengths = np.zeros(2**16, np.uint8), np.zeros(2**16, np.uint8)
        for length, count in enumerate(counts, 1):
            for category in body[place : place + count]:
                first = code << (16 - length)
                last = first + (1 << (16 - length))
                if category > 16 or last > 2**16:
                    raise ValueError("a damaged Huffman table")
                categories[first:last], lengths[first:last] = category, length
                code += 1
            place += count
            code <<= 1
        tables[body[0] & 15] = categories, lengths
        body = body[place:]
    return tables


def _segments(scan: bytes) -> list[bytes]:
    """The entropy-coded segments between restart markers, without stuffed zeros."""
    segments, first, place = [], 0, 0
    while (place := scan.find(b"\xff", place)) >= 0 and place + 1 < len(scan):
        marker = scan[place + 1]
        if 0xD0 <= marker <= 0xD7:
            segments.append(scan[first:place])
            first = place + 2
        elif marker not in (0, 0xFF):
            break
        place += 1 if marker == 0xFF else 2
    else:
        place = len(scan)
    segments.append(scan[first:place])
    return [segment.replace(b"\xff\0", b"\xff") for segment in segments]


def _differences(segment: bytes, count: int, parts: _Frame) -> npt.NDArray[np.int32]:
    """At most `count` differences of one segment.

    The code at every bit is looked up at once. What remains to be done one by one is to walk from code to code.
    """
    found: list[npt.NDArray[np.int32]] = []
    total, place = 0, 0
    end = len(segment) * 8
    # Bits after the end count as ones, as the standard pads the last byte.
    padded = np.frombuffer(segment + b"\xff" * 8, dtype=np.uint8)
    while total < count and place < end:
        first_byte = place // 8
        piece = padded[first_byte : first_byte + _BLOCK_BITS // 8 + 6].astype(np.uint64)
        starts = len(piece) - 6
        words = np.zeros(starts, dtype=np.uint64)
        for index in range(6):
            words = (words << np.uint64(8)) | piece[index : index + starts]
        shifts = np.arange(48 - 16, 48 - 24, -1, dtype=np.uint64)
        heads = ((words[:, None] >> shifts) & np.uint64(0xFFFF)).astype(np.uint16).ravel()
        lengths, categories = parts.lengths[heads], parts.categories[heads]
        # Category 16 is the difference 32768, without further bits.
        steps = (lengths + np.where(categories == 16, 0, categories)).tolist()
        visited: list[int] = []
        bit, stop = place - first_byte * 8, min(starts * 8, end - first_byte * 8)
        left = count - total
        while bit < stop and left:
            visited.append(bit)
            step = steps[bit]
            if step == 0:
                raise ValueError("a damaged code in the compressed pixels")
            bit += step
            left -= 1
        places = np.array(visited, dtype=np.int64)
        found.append(_values(words, places, lengths[places], categories[places]))
        total += len(visited)
        place = first_byte * 8 + bit
    if place > end:
        raise ValueError("the compressed pixels are cut off")
    return np.concatenate(found) if found else np.zeros(0, np.int32)


def _values(
    words: npt.NDArray[np.uint64], places: npt.NDArray[np.int64], lengths: _Codes, categories: _Codes
) -> npt.NDArray[np.int32]:
    category = np.where(categories == 16, 0, categories).astype(np.int64)
    shift = 48 - places % 8 - lengths - category
    raw = (words[places // 8] >> shift.astype(np.uint64)).astype(np.int64) & ((1 << category) - 1)
    negative = (category > 0) & (raw < (1 << np.maximum(category - 1, 0)))
    values = np.where(negative, raw - (1 << category) + 1, raw)
    return np.where(categories == 16, 32768, values).astype(np.int32)


def _restore(differences: npt.NDArray[np.int32], predictor: int, bits: int) -> npt.NDArray[np.int64]:
    """Samples from their differences; the first row is predicted from the left, the first column from above."""
    mask = (1 << bits) - 1
    rows = np.empty(differences.shape, dtype=np.int64)
    rows[0] = ((1 << (bits - 1)) + np.cumsum(differences[0], dtype=np.int64)) & mask
    for y in range(1, len(rows)):
        above, difference = rows[y - 1], differences[y].astype(np.int64)
        start = (above[0] + difference[0]) & mask
        rows[y] = _restore_row(above, difference, int(start), predictor, mask)
    return rows


def _restore_row(
    above: npt.NDArray[np.int64], difference: npt.NDArray[np.int64], start: int, predictor: int, mask: int
) -> npt.NDArray[Any]:
    b, c, rest = above[1:], above[:-1], difference[1:]
    if predictor in (2, 3):
        return np.concatenate([[start], ((b if predictor == 2 else c) + rest) & mask])
    if predictor in (1, 4, 5):
        slope = {1: 0 * b, 4: b - c, 5: (b - c) >> 1}[predictor]
        return np.concatenate([[start], (start + np.cumsum(slope + rest)) & mask])
    row = [start]
    for above_x, left_above, step in zip(b.tolist(), c.tolist(), rest.tolist(), strict=True):
        left = row[-1]
        guess = above_x + ((left - left_above) >> 1) if predictor == 6 else (left + above_x) >> 1
        row.append((guess + step) & mask)
    return np.array(row)
