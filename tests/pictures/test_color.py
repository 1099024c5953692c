"""Brightness of one picture with the colors of another."""

import numpy as np
import pytest
from PIL import Image

from nst.pictures.color import with_colors_of


def noise(seed, low=70, high=185):
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(low, high, (20, 31, 3), np.uint8))


def luma(picture):
    """ITU-R BT.601, as JPEG has it."""
    return np.asarray(picture, np.float64) @ [0.299, 0.587, 0.114]


def chroma(picture):
    """Blue and red minus the brightness."""
    pixels, gray = np.asarray(picture, np.float64), luma(picture)
    return np.stack([(pixels[..., 2] - gray) / 1.772, (pixels[..., 0] - gray) / 1.402], -1)


def mild(seed):
    """Weak colors, which any brightness in the middle can have."""
    gray = np.random.default_rng(seed).integers(90, 165, (20, 31, 1))
    tint = np.random.default_rng(seed + 1).integers(-25, 25, (20, 31, 3))
    return Image.fromarray((gray + tint).astype(np.uint8))


def test_the_colors_are_the_photos_and_the_brightness_the_pictures():
    photo, picture = mild(0), mild(5)
    result = with_colors_of(photo, picture)
    assert (result.mode, result.size) == ("RGB", photo.size)
    # Rounded to whole numbers in YCbCr and again in RGB.
    assert np.abs(luma(result) - luma(picture)).max() < 2
    assert np.abs(chroma(result) - chroma(photo)).max() < 2
    assert np.abs(luma(picture) - luma(photo)).mean() > 10
    assert np.abs(chroma(picture) - chroma(photo)).mean() > 5


def test_a_picture_with_its_own_colors_stays_as_it_is():
    photo = noise(1)
    away = np.abs(np.asarray(with_colors_of(photo, photo), int) - np.asarray(photo, int))
    # Pillow cuts Y, Cb and Cr off to whole numbers: below 1 + 1.772 in blue, and a rounding.
    assert away.max() <= 3


@pytest.mark.parametrize("gray", [0, 100, 255])
def test_colors_of_a_gray_photo_make_a_gray_picture(gray):
    result = np.asarray(with_colors_of(Image.new("RGB", (31, 20), (gray,) * 3), noise(2)), int)
    assert np.ptp(result, axis=2).max() == 0
    assert np.abs(result[..., 0] - luma(noise(2))).max() < 1.01  # cut off, not rounded


def test_both_pictures_are_left_as_they_were():
    photo, picture = noise(3), noise(4)
    before = photo.tobytes(), picture.tobytes()
    with_colors_of(photo, picture)
    assert (photo.tobytes(), picture.tobytes()) == before
