"""Colors of a result."""

from PIL import Image


def with_colors_of(photo: Image.Image, picture: Image.Image) -> Image.Image:
    """Brightness of `picture`, colors of `photo`; both RGB and of one size.

    Luminance-only transfer (Gatys et al. 2016, "Preserving color in neural artistic style
    transfer", section 3.2), in YCbCr.
    """
    brightness = picture.convert("YCbCr").getchannel(0)
    _, blue, red = photo.convert("YCbCr").split()
    return Image.merge("YCbCr", (brightness, blue, red)).convert("RGB")
