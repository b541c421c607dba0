"""Devices and precisions: which one is chosen, and that all produce the same embeddings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from support import SAMPLE_DATA

from nmm.cli.console.hints import lines_of
from nmm.index.common import cpu_features
from nmm.index.encoders.backend import Backend, Device, Precision
from nmm.index.encoders.base import Task
from nmm.index.encoders.export.compiler import ensure_compiled
from nmm.index.encoders.hub.cache_dirs import compiled_folder
from nmm.index.encoders.hub.compiled import is_compiled
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import JINA_CLIP_V1, MINI
from nmm.index.encoders.runtime import onnx_encoder
from nmm.index.encoders.runtime.devices import (
    available_cpus,
    check_backend,
    choose_device,
    choose_precision,
)
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder, Workload
from nmm.index.encoders.runtime.torch_encoder import TorchEncoder
from nmm.index.errors import UsageError

TEXTS = ["a cat", "two boats on a lake, early in the morning", "", "Fünf Enten 🦆"]

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    photos = sorted((SAMPLE_DATA / "photos").glob("*.jpg"))
    return np.stack([to_pixels(Image.open(p).convert("RGB"), MINI.image) for p in photos])


@pytest.fixture(scope="module")
def in_torch(mini: OnnxEncoder) -> TorchEncoder:
    """Use the CPU in place of a GPU: the same code, another device."""
    return TorchEncoder(MINI, compiled_folder(MINI), Device.CPU, torch.float32)


@pytest.mark.parametrize(
    ("dtype", "least"),
    [(torch.float32, 0.999_999), (torch.bfloat16, 0.99), (torch.float16, 0.999)],
)
def test_torch_embeds_as_onnx_runtime_does(
    mini: OnnxEncoder,
    in_torch: TorchEncoder,
    pixels: NDArray[np.uint8],
    dtype: torch.dtype,
    least: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Building the encoders takes half a minute and is the same for all.
    monkeypatch.setattr(in_torch, "_dtype", dtype)
    assert in_torch.weights == mini.weights
    images = in_torch.embed_images(pixels)
    texts = in_torch.embed_texts(TEXTS, Task.DOCUMENT)
    for ours, theirs in (
        (images, mini.embed_images(pixels)),
        (texts, mini.embed_texts(TEXTS, Task.DOCUMENT)),
    ):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
        assert (ours * theirs).sum(1).mean() >= least


@without_cuda
@pytest.mark.parametrize("device", [Device.CUDA, Device.MPS])
def test_an_absent_device_is_refused(device: Device) -> None:
    if device is Device.MPS and torch.backends.mps.is_available():
        pytest.skip("there is an MPS device")
    with pytest.raises(UsageError) as raised:
        load_encoder(MINI, backend=Backend(device))
    assert lines_of(raised.value) == [
        f"PyTorch finds no {device.value} device on this machine.",
        f"It is PyTorch {torch.__version__}.",
        "Install the build of PyTorch that supports the device. Or leave out --device.",
    ]


def test_graphs_run_on_the_cpu_only() -> None:
    assert choose_device(JINA_CLIP_V1, Device.AUTO) is Device.CPU
    with pytest.raises(UsageError, match="jina-clip-v1 runs on the CPU only"):
        choose_device(JINA_CLIP_V1, Device.CUDA)


@without_cuda
@pytest.mark.skipif(sys.platform == "darwin", reason="there may be an MPS device")
def test_looking_for_a_gpu_does_not_import_torch_where_there_is_none() -> None:
    program = (
        "import sys\n"
        "from nmm.index.encoders.runtime.devices import Device, choose_device\n"
        "from nmm.index.encoders.registry import MINI\n"
        "print(choose_device(MINI, Device.AUTO).value, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("cpu False\n", "")


def test_the_number_of_threads_is_configurable(mini: OnnxEncoder) -> None:
    one = load_encoder(MINI, backend=Backend(threads=1))
    assert isinstance(one, OnnxEncoder)
    queries = load_encoder(MINI, workload=Workload.INTERACTIVE)
    assert isinstance(queries, OnnxEncoder)
    runs_and_threads = [
        (encoder._parallel_runs, encoder._text_session.get_session_options().intra_op_num_threads)
        for encoder in (one, mini, queries)
    ]
    # Many items: one run per core. Single queries: all cores for one run.
    assert runs_and_threads == [(1, 1), (available_cpus(), 1), (1, available_cpus())]


# Every build of ONNX Runtime has this provider; it accepts no part of a graph.
AZURE = "AzureExecutionProvider"


def test_an_accelerator_with_the_same_results_is_used(
    mini: OnnxEncoder, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_encoder, "ACCELERATORS", ("NoneSuchExecutionProvider", AZURE))
    encoder = OnnxEncoder(MINI, compiled_folder(MINI))
    assert encoder._vision_session.get_providers()[0] == AZURE
    np.testing.assert_allclose(
        encoder.embed_images(pixels[:2]), mini.embed_images(pixels[:2]), atol=1e-5
    )


def test_an_accelerator_with_different_results_is_not_used(
    mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_encoder, "ACCELERATORS", (AZURE,))
    encoder = OnnxEncoder(MINI, compiled_folder(MINI))
    real = encoder._open

    def open_another(file: Path, provider: str = onnx_encoder.CPU) -> object:
        # Other weights: the text encoder, which does not even accept pixels.
        return real(compiled_folder(MINI) / "text.onnx") if provider == AZURE else real(file)

    monkeypatch.setattr(encoder, "_open", open_another)
    assert encoder._vision_session.get_providers() == [onnx_encoder.CPU]
    assert "pixels" in {x.name for x in encoder._vision_session.get_inputs()}


def test_int8_embeddings_are_close_to_fp32(mini: OnnxEncoder, pixels: NDArray[np.uint8]) -> None:
    encoder = load_encoder(MINI, backend=Backend(precision=Precision.INT8))
    assert encoder.weights == mini.weights
    for ours, theirs in (
        (encoder.embed_images(pixels), mini.embed_images(pixels)),
        (encoder.embed_texts(TEXTS, Task.QUERY), mini.embed_texts(TEXTS, Task.QUERY)),
    ):
        cosines = (ours * theirs).sum(1)
        assert 0.99 <= cosines.mean() < 0.999_999, "or it is not in 8 bits at all"
    # The files of one precision do not replace those of the other.
    assert compiled_folder(MINI, Precision.INT8) != compiled_folder(MINI)
    assert is_compiled(MINI)


AUTO = Backend(device=Device.CPU, precision=Precision.AUTO)
# The names that Linux uses in /proc/cpuinfo.
BYTE_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
def test_detected_instruction_sets_equal_those_of_the_kernel() -> None:
    named = BYTE_PRODUCTS & set(Path("/proc/cpuinfo").read_text("utf-8").split())
    assert cpu_features.has_int8_dot_product() == bool(named)


@pytest.mark.parametrize(
    ("there", "chosen"), [(True, Precision.INT8), (False, Precision.FP32)], ids=["VNNI", "none"]
)
def test_auto_is_int8_if_the_processor_supports_it(
    there: bool,
    chosen: Precision,
    mini: OnnxEncoder,
    pixels: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu_features, "has_int8_dot_product", lambda: there)
    found = load_encoder(MINI, backend=AUTO)
    expected = load_encoder(MINI, backend=Backend(Device.CPU, precision=chosen))
    assert found.weights == mini.weights
    assert (found.embed_images(pixels) == expected.embed_images(pixels)).all()
    assert (found.embed_images(pixels) == mini.embed_images(pixels)).all() is not there


def test_auto_is_fp32_for_graphs_and_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_features, "has_int8_dot_product", lambda: True)
    check_backend(JINA_CLIP_V1, AUTO)
    assert choose_precision(JINA_CLIP_V1, AUTO) is Precision.FP32
    monkeypatch.setattr("nmm.index.encoders.runtime.devices.choose_device", lambda *_: Device.CUDA)
    assert choose_precision(MINI, Backend(precision=Precision.AUTO)) is Precision.FP32


def test_graphs_have_one_precision() -> None:
    with pytest.raises(UsageError, match="jina-clip-v1 runs in fp32 only"):
        ensure_compiled(JINA_CLIP_V1, precision=Precision.INT8)
