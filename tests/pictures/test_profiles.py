"""Descriptions of colors, against the formulas of their standards."""

import io
import random
import struct

import numpy as np
import pytest
from PIL import Image

from nst.pictures import png
from nst.pictures.profiles import BT709, SRGB, of_boxes, of_png, to_srgb
from tests.drawn import blocks, chunk, encoded, gray_profile, icc, with_chunks

GRAYS = Image.fromarray(np.arange(256, dtype=np.uint8)[None])


def srgb(light):
    """0 to 255 from linear light, by IEC 61966-2-1."""
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return 255 * coded


def shown(profile, picture):
    return np.asarray(to_srgb(profile)(picture).convert("RGB"), dtype=float)


def chunks(*pairs):
    """As `side_chunks` finds them in a file."""
    return png.side_chunks(io.BytesIO(with_chunks(encoded(blocks(), "PNG"), *pairs)))


@pytest.mark.parametrize("gamma", [0.3, 0.6, 1.0, 2.0])
def test_a_gamma_is_the_exponent_of_the_light(gamma):
    profile = of_png(chunks((b"gAMA", struct.pack(">I", round(100_000 * gamma)))))
    expected = srgb((np.arange(256) / 255) ** (1 / gamma))
    assert np.abs(shown(profile, GRAYS)[0, :, 1] - expected).max() <= 1


def test_wider_primaries_are_converted_by_their_matrix():
    # Pure P3 colors in linear light, by the matrix of CSS Color 4, at a half and below.
    to_709 = np.array([[1.2249, -0.2247, 0], [-0.042, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])
    light = np.array([[0.5, 0.4, 0.3], [0.2, 0.3, 0.25], [0.6, 0.5, 0.55]])
    numbers = srgb(light).round()
    found = shown(of_boxes(12, 13), Image.fromarray(numbers.astype(np.uint8)[None]))[0]
    assert np.abs(found - srgb(light @ to_709.T)).max() <= 1.5


@pytest.mark.parametrize("codes", [(1, 13), (1, 16), (9, 18), (2, 2), (0, 0), (200, 13)])
def test_srgb_hdr_and_unknown_codes_are_left_alone(codes):
    assert of_boxes(*codes) == SRGB
    assert to_srgb(SRGB)(GRAYS) is GRAYS


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], SRGB),
        ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))], SRGB),
        ([icc(gray_profile(1.0)), (b"sRGB", b"\0")], gray_profile(1.0)),
        ([(b"cICP", b"\1\x0d\0\1"), icc(gray_profile(1.0))], SRGB),
        ([(b"cICP", b"\1\x0d\0\0"), icc(gray_profile(1.0))], gray_profile(1.0)),
        ([(b"cICP", b"\1"), icc(gray_profile(1.0))], gray_profile(1.0)),
        ([icc(b"broken"), (b"sRGB", b"\0")], SRGB),
    ],
)
def test_the_first_description_that_is_understood_counts(pairs, expected):
    assert of_png(chunks(*pairs)) == expected


def test_a_description_behind_the_pixels_does_not_count():
    late = encoded(blocks(), "PNG")
    late = late[:-12] + chunk(*icc(gray_profile(1.0))) + late[-12:]
    assert png.side_chunks(io.BytesIO(late)).keys() == {b"IHDR"}


def test_a_profile_for_other_pictures_changes_nothing():
    picture = blocks()
    assert to_srgb(gray_profile(1.0))(picture) is picture
    assert shown(gray_profile(1.0), GRAYS)[0, 100, 0] > 150


def test_no_numbers_break_a_description():
    chance = random.Random(0)
    for _ in range(200):
        odd = 0, 1, 2**31, 2**32 - 1
        numbers = [chance.choice((*odd, chance.randrange(10**5))) for _ in range(9)]
        points = struct.pack(">8I", *numbers[1:])[: chance.choice((32, 32, 32, 7))]
        found = of_png({b"gAMA": struct.pack(">I", numbers[0]), b"cHRM": points})
        assert to_srgb(found)(blocks()).size == blocks().size


def test_chromaticities_are_those_of_the_chunk():
    numbers = [round(100_000 * number) for point in BT709 for number in point]
    assert png.chromaticities(struct.pack(">8I", *numbers)) == BT709
