"""Trained networks: sizes, bands against the whole, strength, colors, and the report."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import nst.engines.bands
import nst.engines.trained
from nst.checkpoints.files import save_checkpoint
from nst.checkpoints.hub import load_file
from nst.engines.bands import painted
from nst.engines.trained import stylize
from nst.machine import Calibration
from nst.nn.state import BadCheckpoint
from nst.nn.transformer import TransformerNetwork
from nst.settings.onepass import TrainedSettings
from nst.steps import last

ROOT = Path(__file__).parents[2]
WHOLE, BAND = nst.engines.bands.WHOLE_PIXELS, nst.engines.bands.BAND_PIXELS


def network(upsampling="nearest", width=8, blocks=2, seed=2):
    """Random, with pictures of some contrast in the middle of the range."""
    torch.manual_seed(seed)
    made = TransformerNetwork(width, blocks, upsampling).eval()
    with torch.no_grad():
        for value in made.parameters():
            if value.dim() == 1:
                value += 0.3 * torch.randn(value.shape)
        made.kernel *= 0.5
        made.bias[:] = torch.tensor([-0.3, 0.0, 0.3])
    return made


@pytest.fixture(scope="module")
def large(photo):
    """The photo, larger, with noise so that no row is like another."""

    def make(width, height, seed=0):
        pixels = np.asarray(photo.resize((width, height)), np.float32)
        noise = np.random.default_rng(seed).normal(0, 25, pixels.shape)
        return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))

    return make


@pytest.fixture(scope="module")
def photo():
    from nst.pictures.images import open_picture
    from nst.settings.catalog import photos

    return open_picture(photos()["neuschwanstein"].path).resize((150, 100))


@pytest.fixture
def precise(monkeypatch):
    """Convolutions in float32, whatever is faster here."""
    monkeypatch.setattr(nst.engines.trained, "calibration", lambda: Calibration("float32", 1, 1, 1))


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "mine.safetensors"
    save_checkpoint(network(), path, {"style": "starry_night"})
    return load_file(path)


def in_bands(monkeypatch, rows, width):
    """Every picture runs in bands of about so many rows at full size."""
    monkeypatch.setattr(nst.engines.bands, "WHOLE_PIXELS", 0)
    monkeypatch.setattr(nst.engines.bands, "BAND_PIXELS", rows * width)


def difference(a, b):
    """Gray levels, in float64."""
    return np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))


def run(photo, checkpoint, **settings):
    return last(stylize(photo, checkpoint, TrainedSettings(**settings)))


SIZES = [(1, 1), (3, 50), (50, 3), (17, 16), (16, 16), (15, 40), (33, 29), (64, 48), (101, 1)]


@pytest.mark.parametrize("bands", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_result_has_exactly_the_size_of_the_photo(size, bands, large, monkeypatch):
    if bands:
        in_bands(monkeypatch, 16, size[0])
    result = painted(large(*size), network(), torch.float32)
    assert (result.size, result.mode) == (size, "RGB")


def test_a_picture_of_whole_fours_is_what_the_network_gives(large):
    photo, made = large(40, 28), network()
    image = torch.from_numpy(np.array(photo)).permute(2, 0, 1).unsqueeze(0).float()
    with torch.no_grad():
        expected = made(image)[0].permute(1, 2, 0).clamp(0, 255).round().byte().numpy()
    assert np.array_equal(np.asarray(painted(photo, made, torch.float32)), expected)


@pytest.mark.parametrize("size", [(37, 30), (18, 17)])
def test_a_picture_of_another_size_is_continued_at_its_edges(size, large):
    photo, made = large(*size), network()
    width, height = ((side + 3) // 4 * 4 for side in size)
    larger = Image.new("RGB", (width, height))
    for x in range(width):
        for y in range(height):
            larger.putpixel((x, y), photo.getpixel((min(x, size[0] - 1), min(y, size[1] - 1))))
    expected = painted(larger, made, torch.float32).crop((0, 0, *size))
    assert painted(photo, made, torch.float32).tobytes() == expected.tobytes()


def test_the_photo_is_left_as_it_was(large):
    photo = large(40, 28)
    before = photo.tobytes()
    painted(photo, network(), torch.float32)
    assert photo.tobytes() == before


# Bands

BANDED = [(96, 128), (61, 203), (200, 90), (40, 37), (33, 260), (16, 68)]


@pytest.mark.parametrize("rows", [16, 24, 50])
@pytest.mark.parametrize("size", BANDED)
@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_bands_give_the_whole_picture(upsampling, size, rows, large, monkeypatch):
    photo, made = large(*size), network(upsampling)
    whole = painted(photo, made, torch.float32)
    in_bands(monkeypatch, rows, size[0])
    banded = painted(photo, made, torch.float32)
    away = difference(whole, banded)
    assert np.asarray(whole, np.float64).std() > 20  # something to compare
    assert away.max() <= 1  # of a rounding that falls the other way
    assert away.mean() < 0.01


def test_bands_are_really_used(large, monkeypatch):
    photo, made, heights = large(60, 120), network(), []
    written = TransformerNetwork.written

    def seen(self, x):
        heights.append(x.shape[2])
        return written(self, x)

    monkeypatch.setattr(TransformerNetwork, "written", seen)
    painted(photo, made, torch.float32)
    in_bands(monkeypatch, 24, 60)
    painted(photo, made, torch.float32)
    assert heights == [120, 28, 32, 32, 32, 28]  # the whole; then 24 rows and margins of 4


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_bands_leave_no_seam(upsampling, large, monkeypatch):
    """In bfloat16, where bands are not exact: borders differ no more than other rows."""
    photo, made = large(90, 240), network(upsampling)
    exact = painted(photo, made, torch.float32)
    in_bands(monkeypatch, 24, 90)
    banded = painted(photo, made, torch.bfloat16)
    by_row = difference(exact, banded).mean((1, 2))
    borders = sorted({row + k for row in range(24, 240, 24) for k in (-1, 0)})
    others = np.delete(by_row, borders)
    assert by_row[borders].mean() < others.mean() + 3 * others.std() / len(borders) ** 0.5
    assert by_row[borders].max() <= others.max() + others.std()


def test_a_seam_would_be_seen(large, monkeypatch):
    """The test of bands finds a margin that is too small for a 9 x 9 kernel."""
    photo, made = large(61, 203), network()
    whole = painted(photo, made, torch.float32)
    in_bands(monkeypatch, 16, 61)
    monkeypatch.setattr(nst.engines.bands, "MARGIN", 2)
    assert difference(whole, painted(photo, made, torch.float32)).max() > 1


@pytest.mark.parametrize("rows", [16, 40])
@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@torch.no_grad()
def test_statistics_of_bands_are_those_of_the_whole(upsampling, rows, large, monkeypatch):
    photo, made = large(60, 148), network(upsampling)
    in_bands(monkeypatch, rows, 60)
    found = []
    statistics = nst.engines.bands._Computed._statistics

    def seen(self):
        found.append((self.stage, *statistics(self)))
        return found[-1][1:]

    monkeypatch.setattr(nst.engines.bands._Computed, "_statistics", seen)
    painted(photo, made, torch.float32)
    expected = whole_statistics(photo, made)
    stages = [*made.down, *made.up]
    assert [stage for stage, _, _ in found] == stages
    for stage, mean, variance in found:
        wanted_mean, wanted_variance = expected[stage]
        scale = wanted_variance.sqrt()
        assert ((mean.double() - wanted_mean).abs() < 1e-5 * scale + 1e-5).all()
        assert ((variance.double() / wanted_variance - 1).abs() < 2e-5).all()


def whole_statistics(photo, made):
    """Of each stage's convolution, in float64, from the whole picture."""
    double = network_in_float64(made)
    x = torch.from_numpy(np.array(photo)).permute(2, 0, 1).unsqueeze(0).double()
    x = (x - 127.5) / 63.75
    expected = {}
    for stage, twin in zip([*made.down], [*double.down], strict=True):
        x = measured(x, stage, twin, expected)
    for block in double.blocks:
        x = block(x)
    for stage, twin in zip([*made.up], [*double.up], strict=True):
        x = measured(x, stage, twin, expected)
    return expected


def measured(x, stage, twin, expected):
    y = twin.convolved(x)
    expected[stage] = (y.mean((0, 2, 3)), y.var((0, 2, 3), unbiased=False))
    return F.relu(F.instance_norm(y, weight=twin.scale, bias=twin.shift, eps=1e-5))


def network_in_float64(made):
    twin = TransformerNetwork(made.width, len(made.blocks), made.upsampling).double()
    twin.load_state_dict(made.state_dict())
    return twin


@pytest.mark.parametrize("contrast", [0, 1])
def test_bands_of_a_flat_picture_are_the_whole(contrast, monkeypatch):
    pixels = np.full((80, 40, 3), 128, np.uint8)
    pixels[::2] += contrast
    photo, made = Image.fromarray(pixels), network()
    whole = painted(photo, made, torch.float32)
    in_bands(monkeypatch, 16, 40)
    away = difference(whole, painted(photo, made, torch.float32))
    # One gray level is all there is: rounding of float32 is enlarged by the normalization.
    assert away.mean() < 1


@pytest.mark.parametrize("bands", [False, True])
def test_bfloat16_is_close_to_float32(bands, large, monkeypatch):
    photo, made = large(96, 80), network()
    if bands:
        in_bands(monkeypatch, 16, 96)
    exact, narrow = (painted(photo, made, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert 0 < difference(exact, narrow).mean() < 0.05 * np.asarray(exact, np.float64).std()


@pytest.mark.parametrize("bands", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_picture_gives_the_same_bits(dtype, bands, large, monkeypatch):
    photo, made = large(70, 90), network()
    if bands:
        in_bands(monkeypatch, 16, 70)
    assert painted(photo, made, dtype).tobytes() == painted(photo, made, dtype).tobytes()


MEMORY = """
import resource, sys
import numpy as np, torch
from PIL import Image
from nst.engines.trained import painted
from nst.machine import prepare
from nst.nn.transformer import TransformerNetwork
prepare()
made = TransformerNetwork(16, 1).eval()
width, height = int(sys.argv[1]), int(sys.argv[2])
pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
photo = Image.fromarray(pixels)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
painted(photo.crop((0, 0, 32, 32)), made, torch.float32)
before = peak()
result = painted(photo, made, torch.float32)
assert result.size == photo.size
print(peak() - before)
"""


def peak_bytes(width, height):
    """That painting a picture takes beyond the picture and the program."""
    arguments = [sys.executable, "-c", MEMORY, str(width), str(height)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss differs")
def test_a_large_picture_in_bands_needs_little_memory():
    width, height, channels, wide = 3000, 2000, 16, 4  # bytes of a float32
    quarter = width // 4 * (height // 4) * 4 * channels * wide  # what may be whole in memory
    band = BAND * channels * wide
    pictures = 4 * width * height * 3  # padded, result, and both as pictures
    # A block holds its input, two outputs, a padded and a reordered copy, and one to spare.
    assert peak_bytes(width, height) < 6 * quarter + 6 * band + pictures


# Settings


def test_strength_0_is_the_photo(checkpoint, large):
    photo = large(50, 41)
    assert run(photo, checkpoint, strength=0).picture.tobytes() == photo.tobytes()


def test_strength_1_is_the_whole_style(checkpoint, large, precise):
    photo = large(50, 41)
    expected = painted(photo, checkpoint.checkpoint.network, torch.float32)
    assert run(photo, checkpoint, strength=1).picture.tobytes() == expected.tobytes()
    assert run(photo, checkpoint).picture.tobytes() == expected.tobytes()


def test_strength_a_half_is_the_mean(checkpoint, large, precise):
    photo = large(50, 41)
    full = painted(photo, checkpoint.checkpoint.network, torch.float32)
    mean = (np.asarray(photo, np.float64) + np.asarray(full, np.float64)) / 2
    half = run(photo, checkpoint, strength=0.5).picture
    assert difference(half, mean).max() <= 1
    assert difference(photo, full).mean() > 10  # the mean is neither


def chroma(picture):
    return np.asarray(picture.convert("YCbCr"), np.float64)[..., 1:]


def gray_noise(width, height):
    """Dark and light pixels of weak color: with any brightness, their colors stay in range."""
    draw = np.random.default_rng(0)
    gray = draw.integers(60, 190, (height, width, 1)) + draw.integers(-20, 20, (height, width, 3))
    return Image.fromarray(gray.astype(np.uint8))


def mild(checkpoint):
    """Its pictures keep away from black and white, where no color fits."""
    with torch.no_grad():
        checkpoint.checkpoint.network.kernel *= 0.3
    return checkpoint


def test_the_photos_colors_are_kept(checkpoint, precise):
    photo, loaded = gray_noise(60, 44), mild(checkpoint)
    kept = run(photo, loaded, keep_colors=True).picture
    style = run(photo, loaded).picture
    brightness = [np.asarray(p.convert("YCbCr"), np.float64)[..., 0] for p in (kept, style)]
    assert np.abs(chroma(kept) - chroma(photo)).max() <= 2  # two conversions, rounded
    assert np.abs(brightness[0] - brightness[1]).max() <= 2
    assert np.abs(chroma(style) - chroma(photo)).mean() > 5  # without it they are not


def test_colors_are_kept_before_the_strength(checkpoint, precise):
    photo, loaded = gray_noise(60, 44), mild(checkpoint)
    kept = run(photo, loaded, keep_colors=True).picture
    half = run(photo, loaded, keep_colors=True, strength=0.5).picture
    mean = (np.asarray(photo, np.float64) + np.asarray(kept, np.float64)) / 2
    assert difference(half, mean).max() <= 1


@pytest.mark.parametrize(
    ("size", "expected"), [(None, (90, 60)), (45, (45, 30)), (180, (180, 120)), (16, (16, 11))]
)
def test_the_size_is_that_of_the_long_side(size, expected, checkpoint, large):
    result = run(large(90, 60), checkpoint, size=size)
    assert result.picture.size == expected
    assert result.photo.size == expected
    assert result.report.size == expected


@pytest.mark.parametrize(
    "wrong", [{"strength": 1.01}, {"strength": -0.1}, {"size": 15}, {"size": 20000}, {"sise": 64}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainedSettings(**wrong)


def test_a_run_repeats_bit_for_bit(checkpoint, large):
    photo = large(50, 41)
    settings = {"strength": 0.7, "keep_colors": True, "size": 77}
    first, second = (run(photo, checkpoint, **settings) for _ in range(2))
    assert first.picture.tobytes() == second.picture.tobytes()


def test_the_report_tells_what_was_done(checkpoint, large, precise):
    result = run(large(50, 41), checkpoint, strength=0.7, size=64)
    report = json.loads(json.dumps(result.report.as_dict()))
    assert report["settings"] == {"size": 64, "strength": 0.7, "keep_colors": False}
    told = report["checkpoint"]
    assert (told["name"], told["style"]) == ("mine", "starry_night")
    assert told["from"] == "mine.safetensors"
    assert told["sha256"] == sha256(checkpoint.path.read_bytes()).hexdigest()
    assert report["size"] == [64, 52]
    assert 0 < report["seconds"] < 60
    assert report["precision"] == "float32"
    assert report["device"] == str(next(checkpoint.checkpoint.network.parameters()).device)
    assert {"nst", "torch", "pillow", "python"} <= set(report["versions"])


@pytest.mark.parametrize(
    "notes",
    [
        {"style": None, "training": {"photos": "x"}},
        {"style": "a\u200db", "training": {"photos": 3, "iterations": 5, "seconds": "inf"}},
        {"style": ["a"], "training": None},
        {"training": {"photos": 1e400, "iterations": 5, "seconds": 2}, "before": 3},
    ],
)
def test_strange_notes_of_somebody_elses_checkpoint_do_not_stop_it(notes, tmp_path, large):
    path = tmp_path / "theirs.safetensors"
    save_checkpoint(network(), path, json.loads(json.dumps(notes)))
    report = run(large(50, 41), load_file(path)).report
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["training"] == {}


def test_there_is_one_step_and_it_has_the_result(checkpoint, large):
    photo = large(50, 41)
    steps = list(stylize(photo, checkpoint, TrainedSettings()))
    assert [(step.index, step.total) for step in steps] == [(1, 1)]
    (step,) = steps
    assert step.size == photo.size
    assert step.result is step.finish()
    assert step.picture() is step.result.picture
    assert step.losses.terms == {}
    assert step.seconds_left == 0


def test_nothing_is_computed_before_the_step_is_asked_for(checkpoint, large, monkeypatch):
    def never(*_):
        raise AssertionError("it began")

    monkeypatch.setattr(nst.engines.trained, "painted", never)
    steps = stylize(large(50, 41), checkpoint, TrainedSettings())
    with pytest.raises(AssertionError, match="it began"):
        next(steps)


@pytest.mark.parametrize("bands", [False, True])
def test_a_network_whose_numbers_overflow_is_refused(bands, large, monkeypatch):
    if bands:
        in_bands(monkeypatch, 16, 64)
    made = network()
    with torch.no_grad():
        made.down[0].kernel.fill_(3e38)
    with pytest.raises(BadCheckpoint, match="overflow on this photo"):
        painted(large(64, 48), made, torch.float32)
