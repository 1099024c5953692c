"""Color and detail of pictures whose numbers are known."""

import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

from nst.study.measures import appearance


def plain(color):
    return Image.new("RGB", (20, 10), color)


@pytest.mark.parametrize(
    ("color", "chroma", "warmth"),
    [  # a and b of CIELAB under D65, as printed in tables of sRGB's primaries
        ("black", 0, 0),
        ("white", 0, 0),
        ((119, 119, 119), 0, 0),
        ("#ff0000", math.hypot(80.09, 67.20), 67.20),
        ("#00ff00", math.hypot(-86.18, 83.18), 83.18),
        ("#0000ff", math.hypot(79.19, -107.86), -107.86),
    ],
)
def test_a_plain_color_has_the_numbers_of_cielab(color, chroma, warmth):
    found = appearance(plain(color))
    assert found.chroma == pytest.approx(chroma, abs=0.05)
    assert found.warmth == pytest.approx(warmth, abs=0.05)
    assert found.detail == pytest.approx(0, abs=1e-9)


def test_numbers_are_means_over_the_picture():
    picture = plain("#ff0000")
    picture.paste(plain("#0000ff"), (10, 0))
    found, red, blue = (appearance(p) for p in (picture, plain("#ff0000"), plain("#0000ff")))
    assert found.chroma == pytest.approx((red.chroma + blue.chroma) / 2)
    assert found.warmth == pytest.approx((red.warmth + blue.warmth) / 2)


def test_a_slope_of_the_lightness_has_the_gradient_that_is_promised():
    luminance = (np.arange(10, 90) + 16) / 116  # one L a pixel
    linear = luminance**3
    gray = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    row = (255 * gray).round().astype(np.uint8)
    picture = Image.fromarray(np.tile(row, (30, 1))).convert("RGB")
    assert appearance(picture).detail == pytest.approx(math.sqrt(2), rel=0.02)


def test_a_blurred_photo_has_less_detail_and_a_gray_one_less_color(photo):
    whole = appearance(photo)
    blurred = appearance(photo.filter(ImageFilter.GaussianBlur(2)))
    gray = appearance(photo.convert("L").convert("RGB"))
    assert blurred.detail < 0.6 * whole.detail
    assert gray.chroma < 0.01 < whole.chroma
    assert gray.detail == pytest.approx(whole.detail, rel=0.1)


def test_a_yellow_filter_is_warmer_than_a_blue_one(photo):
    def mixed(color):
        return appearance(Image.blend(photo, Image.new("RGB", photo.size, color), 0.3)).warmth

    assert mixed("blue") < appearance(photo).warmth < mixed("yellow")
