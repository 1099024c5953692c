"""Decoders: their shape, their files, and how well the bundled ones rebuild photos."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from nst.nn.decoders import Decoder, bundled, encoder, load_decoder, round_trip, save_decoder
from nst.nn.state import BadCheckpoint
from nst.nn.vgg import DECODED
from nst.pictures.images import fit, open_picture, resized
from nst.settings.catalog import photos

CPU = torch.device("cpu")
LEAST_PSNR = {"conv1_1": 36.0, "conv2_1": 31.0, "conv3_1": 26.0, "conv4_1": 21.5}


def picture(name, side=256):
    found = open_picture(photos()[name].path)
    return resized(found, fit(found.size, side))


@pytest.fixture(scope="module")
def rebuilt():
    """(layer, photo) and what the layer's decoder makes of it."""
    backbone = encoder(torch.float32, CPU)
    names = ("neuschwanstein", "astronaut", "cat")
    return {
        (layer, name): (
            picture(name),
            round_trip(picture(name), bundled(layer).decoder, backbone),
        )
        for layer in DECODED
        for name in names
    }


def pairs(rebuilt, layer):
    found = [both for (one, _), both in rebuilt.items() if one == layer]
    return [tuple(np.asarray(p, dtype=np.float64) for p in both) for both in found]


@pytest.mark.parametrize("layer", DECODED)
def test_photos_are_rebuilt(layer, rebuilt):
    errors = [np.square(ours - theirs).mean() for theirs, ours in pairs(rebuilt, layer)]
    psnr = 10 * math.log10(255**2 / np.mean(errors))
    assert psnr >= LEAST_PSNR[layer]


@pytest.mark.parametrize("layer", DECODED)
def test_no_color_is_cast(layer, rebuilt):
    for theirs, ours in pairs(rebuilt, layer):
        np.testing.assert_allclose(ours.mean((0, 1)), theirs.mean((0, 1)), atol=8)


def repeated(error, period):
    """(period, period): what of (H, W) comes back every so many pixels."""
    height, width = (side // period * period for side in error.shape)
    tiles = error[:height, :width] - error.mean()
    tiles = tiles.reshape(height // period, period, width // period, period)
    return tiles.mean((0, 2))


def patterns(rebuilt, layer, period):
    """Of the decoder's errors in each photo."""
    errors = ((ours - theirs).mean(2) for theirs, ours in pairs(rebuilt, layer))
    return [repeated(error, period) for error in errors]


@pytest.mark.parametrize("layer", DECODED)
@pytest.mark.parametrize("period", [2, 4, 8])
def test_there_is_no_checkerboard_in_any_photo(layer, period, rebuilt):
    """What repeats every few pixels is next to nothing."""
    # The castle's own rows of windows count, too, at the distance of conv4_1's positions.
    bound = 2.2 if (layer, period) == ("conv4_1", 8) else 2.0  # gray levels
    for pattern in patterns(rebuilt, layer, period):
        assert np.abs(pattern).max() < bound


@pytest.mark.parametrize("layer", DECODED)
@pytest.mark.parametrize("period", [2, 4, 8])
def test_there_is_no_checkerboard_in_all_photos(layer, period, rebuilt):
    """What the decoder adds to every picture, whatever it shows."""
    assert np.abs(np.mean(patterns(rebuilt, layer, period), 0)).max() < 1.2  # gray levels


def smooth():
    """Where a checkerboard would be seen first."""
    y, x = np.mgrid[:160, :160]
    sky = np.stack([80 + 0.3 * x, 120 + 0.3 * y, 200 + 0 * x], 2)
    return {"sky": sky, "gray": np.full_like(sky, 128), "green": sky * 0 + (60, 120, 50)}


@pytest.mark.parametrize("layer", DECODED)
@pytest.mark.parametrize("name", smooth())
def test_there_is_no_checkerboard_on_smooth_ground(layer, name):
    picture = Image.fromarray(smooth()[name].astype(np.uint8))
    backbone = encoder(torch.float32, CPU)
    ours = np.asarray(round_trip(picture, bundled(layer).decoder, backbone), dtype=float)
    error = (ours - np.asarray(picture, dtype=float))[32:-32, 32:-32]
    for channel in range(3):
        for period in (2, 4, 8):
            assert np.abs(repeated(error[..., channel], period)).max() < 1.0  # gray levels


def test_a_pattern_would_be_noticed():
    checker = np.indices((64, 64)).sum(0) % 2 * 8.0
    assert np.abs(repeated(checker, 2)).max() == 4.0
    assert np.abs(repeated(np.kron(checker[:16, :16], np.ones((4, 4))), 8)).max() == 4.0


@pytest.mark.parametrize("layer", DECODED)
@pytest.mark.parametrize("size", [(40, 24), (37, 51), (16, 16)])
def test_a_round_trip_keeps_the_size(layer, size):
    photo = resized(picture("cat"), size)
    assert round_trip(photo, Decoder(layer), encoder(torch.float32, CPU)).size == size


@pytest.mark.parametrize("layer", DECODED)
def test_the_shape_is_the_encoders_mirrored(layer):
    block = DECODED.index(layer) + 1
    decoder = Decoder(layer)
    side = 2 ** (block - 1)
    channels = (64, 128, 256, 512)[block - 1]
    assert decoder(torch.rand(2, channels, 3, 4)).shape == (2, 3, 3 * side, 4 * side)
    convolutions = [p for name, p in decoder.named_parameters() if name.endswith("kernel")]
    assert len(convolutions) == (1, 4, 7, 12)[block - 1]  # with a sketch a part


def test_a_file_gives_back_what_was_saved(tmp_path):
    decoder = Decoder("conv2_1").half().float()  # files have half precision
    decoder.mean.copy_(torch.arange(-64.0, 64.0))
    decoder.deviation.copy_(torch.arange(1.0, 129.0))
    save_decoder(decoder, tmp_path / "d.safetensors", {"training": {"iterations": 3}})
    kept = load_decoder(tmp_path / "d.safetensors")
    assert kept.notes == {"layer": "conv2_1", "training": {"iterations": 3}}
    features = torch.rand(1, 128, 4, 4)
    torch.testing.assert_close(kept.decoder(features), decoder(features))
    assert kept.decoder(features.bfloat16()).dtype == torch.float32
    assert [path.name for path in tmp_path.iterdir()] == ["d.safetensors"]


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x08\0\0\0\0\0\0\0{}      "])
def test_another_file_is_refused(content, tmp_path):
    (tmp_path / "d.safetensors").write_bytes(content)
    with pytest.raises(BadCheckpoint, match="is no decoder, or is damaged"):
        load_decoder(tmp_path / "d.safetensors")


def test_the_bundled_ones_say_how_they_were_trained():
    for layer in DECODED:
        notes = bundled(layer).notes
        assert notes["layer"] == layer == notes["training"]["settings"]["layer"]
        assert notes["training"]["complete"]
        assert notes["training"]["photos"] > 1000


def test_pictures_of_one_color_come_back():
    backbone = encoder(torch.float32, CPU)
    gray = Image.new("RGB", (64, 64), (120, 130, 110))
    for layer in DECODED:
        back = np.asarray(round_trip(gray, bundled(layer).decoder, backbone), dtype=float)
        assert np.abs(back - np.asarray(gray, dtype=float)).mean() < 25
