"""`nmm embed` as a process: output formats, streams, and files that appear whole."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import SAMPLE_DATA, Nmm

from nmm.index.common.cpu_features import has_int8_dot_product
from nmm.index.embed import vectors_of_images
from nmm.index.encoders.base import Task
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder

NMM = Path(sys.executable).with_name("nmm")
MINI = ("--model", "mini", "--device", "cpu")
PHOTOS = SAMPLE_DATA / "photos"
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and devices")


def run(*arguments: str | Path, stdin: bytes = b"", **environ: str) -> tuple[int, bytes, str]:
    """Return a function that runs `nmm embed` on bytes, with the built-in model."""
    done = subprocess.run(
        [NMM, "embed", *arguments, *MINI],
        check=False,
        input=stdin,
        capture_output=True,
        env={**os.environ, **environ},
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr.decode()


def parsed(form: str, output: bytes) -> tuple[list[str] | None, NDArray[np.float32]]:
    """Return the inputs, if the format contains them, and the vectors."""
    if form == "npy":
        return None, np.load(io.BytesIO(output), allow_pickle=False)
    if form == "jsonl":
        objects = [json.loads(line) for line in output.decode().splitlines()]
        names = [each["input"] for each in objects]
        return names, np.array([each["embedding"] for each in objects], np.float32)
    header, *rows = csv.reader(io.StringIO(output.decode(), newline=""))
    assert header == ["input", *map(str, range(384))]
    return [row[0] for row in rows], np.array([row[1:] for row in rows]).astype(np.float32)


@pytest.mark.parametrize("form", ["jsonl", "csv", "npy"])
def test_every_format_contains_the_same_numbers(form: str, mini: OnnxEncoder) -> None:
    texts = ["a cat", 'she said "no, thanks"', "two\nlines", "Höhe 日本"]
    status, output, errors = run("text", *texts, "--format", form, "--task", "search_query")
    names, vectors = parsed(form, output)
    assert (status, errors, names) == (0, "", None if form == "npy" else texts)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, mini.embed_texts(texts, Task.QUERY))


@pytest.mark.parametrize("form", ["jsonl", "csv", "npy"])
def test_the_suffix_of_the_output_file_selects_the_format(form: str, tmp_path: Path) -> None:
    file = tmp_path / f"vectors.{form}"
    file.write_text("old")
    assert run("text", "a cat", "-o", file) == (0, b"", "")
    assert file.read_bytes() == run("text", "a cat", "--format", form)[1]
    assert list(tmp_path.iterdir()) == [file]


def test_every_line_of_stdin_is_an_input(mini: OnnxEncoder) -> None:
    lines = b"one\r\n\ncaf\xe9\n" + "last, Höhe".encode()
    status, output, _ = run("text", "first", "-", "after", stdin=lines, PYTHONIOENCODING="ascii")
    names, vectors = parsed("jsonl", output)
    assert (status, names) == (0, ["first", "one", "", "caf?", "last, Höhe", "after"])
    np.testing.assert_allclose(vectors, mini.embed_texts(names or [], Task.DOCUMENT), atol=1e-5)


def test_more_lines_than_a_batch_come_in_order(mini: OnnxEncoder) -> None:
    texts = [f"number {number}" for number in range(300)]
    output = run("text", "-", stdin="\n".join(texts).encode())[1]
    names, vectors = parsed("jsonl", output)
    assert names == texts
    np.testing.assert_allclose(vectors, mini.embed_texts(texts, Task.DOCUMENT), atol=1e-5)


@pytest.mark.parametrize(("kind", "line"), [("text", "a cat"), ("image", str(PHOTOS / "lawn.jpg"))])
def test_a_line_is_answered_before_stdin_is_closed(kind: str, line: str) -> None:
    with subprocess.Popen(
        [NMM, "embed", kind, "-", *MINI], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(2):
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["input"] == line
        process.stdin.close()
        assert process.stdout.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize("kind", ["text", "image"])
def test_no_input_gives_no_output(kind: str) -> None:
    assert run(kind, "-") == (0, b"", "")
    assert parsed("csv", run(kind, "-", "--format", "csv")[1])[0] == []
    assert parsed("npy", run(kind, "-", "--format", "npy")[1])[1].shape == (0, 384)


@pytest.mark.parametrize("form", ["jsonl", "csv", "npy"])
def test_a_bad_image_is_reported_and_keeps_its_row(
    form: str, tmp_path: Path, mini: OnnxEncoder
) -> None:
    good, other = PHOTOS / "chelsea.jpg", PHOTOS / "lawn.jpg"
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    status, output, errors = run("image", good, bad, other, "--format", form)
    assert status == 3
    assert errors == (
        f"skipped {bad}: not an image: it has the signature of no known image format\n"
        "1 of 3 images skipped.\n"
    )
    names, vectors = parsed(form, output)
    expected, _ = vectors_of_images(mini, [good, bad, other])
    if form == "npy":
        np.testing.assert_array_equal(vectors, expected)
        assert np.isnan(vectors).all(1).tolist() == [False, True, False]
    else:
        assert names == [str(good), str(other)]
        np.testing.assert_array_equal(vectors, expected[[0, 2]])


@posix
def test_any_file_name_can_be_read_from_stdin(tmp_path: Path) -> None:
    photo = (PHOTOS / "lawn.jpg").read_bytes()
    odd = [b"two\nlines.jpg", b"caf\xe9.jpg", b"return\r"]
    for name in odd:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(photo)
    paths = [os.fsencode(tmp_path) + b"/" + name for name in odd]
    status, output, errors = run("image", "-0", "-", stdin=b"\0".join(paths) + b"\0")
    assert (status, errors) == (0, "")
    names = [json.loads(line)["input"] for line in output.splitlines()]
    assert [os.fsencode(name) for name in names] == paths
    lines = f"{PHOTOS / 'lawn.jpg'}\r\n{(PHOTOS / 'lawn.jpg').as_uri()}".encode()
    by_line = run("image", "-", stdin=lines)
    assert (by_line[0], len(by_line[1].splitlines())) == (0, 2)


def test_images_above_the_pixel_limit_are_skipped() -> None:
    status, output, errors = run("image", PHOTOS / "lawn.jpg", "--max-pixels", "100")
    assert (status, output) == (3, b"")
    assert "the limit is 0.0 (--max-pixels)" in errors


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_the_old_file(number: int, tmp_path: Path) -> None:
    file = tmp_path / "vectors.jsonl"
    file.write_text("old")
    with subprocess.Popen(
        [NMM, "embed", "text", "-", "-o", file, *MINI],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(b"a cat\n")
        process.stdin.flush()
        parts: list[Path] = []
        while not any(part.stat().st_size for part in parts):
            assert process.poll() is None
            parts = [part for part in tmp_path.iterdir() if part != file]
            time.sleep(0.01)
        process.send_signal(number)
        process.wait(60)
        said = process.stderr.read()
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert (list(tmp_path.iterdir()), file.read_text()) == ([file], "old")


@posix
@pytest.mark.parametrize("form", ["jsonl", "csv", "npy"])
def test_a_pipe_that_is_closed_ends_it_quietly(form: str) -> None:
    lines = "".join(f"{number}\n" for number in range(500)).encode()
    with subprocess.Popen(
        [NMM, "embed", "text", "-", "--format", form, *MINI],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.close()
        process.stdout = None
        _, errors = process.communicate(lines, timeout=60)
    assert (process.returncode, errors) == (141, b"")


@posix
@pytest.mark.parametrize("form", ["jsonl", "npy"])
def test_output_that_cannot_be_written_is_an_error(form: str, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    status, _, errors = run("text", "a cat", "--format", form, "-o", full)
    assert (status, errors) == (74, "nmm: /dev/full cannot be written: No space left on device\n")
    assert full.is_char_device()
    with full.open("wb") as stdout:
        arguments = [NMM, "embed", "text", "a", "--format", form, *MINI]
        done = subprocess.run(arguments, check=False, stdout=stdout, stderr=subprocess.PIPE)
    said = b"nmm: The output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (74, said)
    nowhere = tmp_path / "no" / "vectors.npy"
    said_of_file = f"nmm: {nowhere} cannot be written: No such file or directory\n"
    assert run("text", "a cat", "-o", nowhere) == (74, b"", said_of_file)


@posix
def test_a_pipe_is_written_to_and_not_replaced() -> None:
    assert run("text", "a cat", "-o", "/dev/stdout") == run("text", "a cat", "-o", "-")
    assert run("text", "a cat", "-o", "-") == run("text", "a cat")


@posix
def test_a_matrix_is_not_printed_on_a_terminal() -> None:
    import pty

    ours, theirs = pty.openpty()
    arguments = [NMM, "embed", "text", "a", "--format", "npy", *MINI]
    done = subprocess.run(arguments, check=False, stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert done.stderr == (
        "nmm: npy is binary and cannot be printed to a terminal.\nWrite it to a file with -o.\n"
    )


def test_an_unavailable_default_is_an_error_that_names_the_built_in_model(nmm: Nmm) -> None:
    by_default = nmm("embed", "text", "a cat", "--offline")
    assert (by_default.returncode, by_default.stdout) == (4, "")
    assert by_default.stderr.splitlines()[-1] == (
        "Leave out --offline, or download it with: nmm models pull nomic-v1.5; "
        "or add --model mini, which is built in."
    )
    by_name = nmm("embed", "text", "a cat", "--offline", "--model", "nomic-v1.5")
    assert by_name.returncode == 4
    assert "mini" not in by_name.stderr


def test_a_dimension_that_the_model_does_not_have_is_an_error_of_usage() -> None:
    status, output, errors = run("text", "a cat", "--dim", "128")
    assert (status, output) == (2, b"")
    assert "They have 384" in errors


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['nmm', 'embed', 'text', '--help']\n"
        "from nmm.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "nmm.cli.commands.embed" in loaded
    assert (
        loaded & {"numpy", "PIL", "torch", "onnxruntime", "tokenizers", "nmm.index.embed"} == set()
    )


def test_precision_auto_follows_the_processor(tmp_path: Path) -> None:
    """Set on the command line, in the environment or in the configuration."""
    chosen = "int8" if has_int8_dot_product() else "fp32"
    _, expected, _ = run("text", "a cat", "--precision", chosen)
    config = tmp_path / "config.toml"
    config.write_text('[defaults]\nprecision = "auto"\n', "utf-8")
    for status, output, errors in (
        run("text", "a cat", "--precision", "auto"),
        run("text", "a cat", NMM_PRECISION="auto"),
        run("text", "a cat", NMM_CONFIG=str(config)),
    ):
        assert (status, errors) == (0, "")
        assert output == expected
    _, default, _ = run("text", "a cat")
    assert (default == expected) is not has_int8_dot_product()
