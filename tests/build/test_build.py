from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import gguf
import numpy as np
import pytest
from enginehouse.build.bundle_writer import build_bundle
from enginehouse.build.default_checkpoint import default_checkpoint
from enginehouse.build.plan import BuildPlan

from enginehouse.bundle import Bundle
from enginehouse.errors import BuildError, BundleError, CheckpointError, NameRefusedError
from tests.conftest import CLI, run_cli, stack_env, wait_until


def _plan(checkpoint: Path, output: Path, **options: str) -> BuildPlan:
    return BuildPlan(
        checkpoint, options.get("name", "m"), options.get("runtime", "openvino"), output
    )


def _tiny_gguf(path: Path, architecture: str = "llama", **metadata: str) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        writer.add_string(key.replace("__", "."), value)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _refused(plan: BuildPlan, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        build_bundle(plan, lambda _: None)
    assert not plan.output.exists()
    assert list(plan.output.parent.glob(".building-*")) == []


def test_a_bundle_is_whole_and_says_what_it_is(bundle: Bundle) -> None:
    bundle.verify()
    manifest = bundle.manifest
    assert (manifest.schema_version, manifest.runtime) == (1, "openvino")
    assert manifest.architecture.layers == 30
    assert manifest.context_length == 8192
    assert manifest.special_tokens.end_ids == (2,)
    assert manifest.tokenizer_check["texts"] >= 200
    assert manifest.tokenizer_check["with_control_tokens"] > 10
    assert manifest.checkpoint.license == "apache-2.0"
    assert manifest.checkpoint.sha256 in bundle.card


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing", "added"])
def test_damage_to_a_bundle_is_found_and_named(bundle: Bundle, tmp_path: Path, damage: str) -> None:
    copy = Bundle.open(Path(shutil.copytree(bundle.path, tmp_path / "copy")))
    target = copy.path / "tokenizer.json"
    match damage:
        case "changed":
            target.write_bytes(b"X" + target.read_bytes()[1:])
        case "truncated":
            target.write_bytes(target.read_bytes()[:-1])
        case "missing":
            target.unlink()
        case "added":
            target = copy.path / "extra.bin"
            target.write_bytes(b"x")
    with pytest.raises(BundleError, match=target.name):
        copy.verify()


def test_missing_checkpoint(tmp_path: Path) -> None:
    _refused(_plan(tmp_path / "none.gguf", tmp_path / "b"), CheckpointError, "no such checkpoint")


def test_a_file_that_is_not_gguf(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"hello world")
    _refused(_plan(file, tmp_path / "b"), CheckpointError, "not a GGUF file")


@pytest.mark.parametrize("keep_bytes", [6, 20_000, 2_000_000])
def test_a_truncated_gguf(tmp_path: Path, unknown_checkpoint: Path, keep_bytes: int) -> None:
    file = tmp_path / "x.gguf"
    with unknown_checkpoint.open("rb") as source:
        file.write_bytes(source.read(keep_bytes))
    _refused(_plan(file, tmp_path / "b"), CheckpointError, "truncated|damaged")


def test_an_unsupported_architecture(tmp_path: Path) -> None:
    file = _tiny_gguf(tmp_path / "x.gguf", architecture="mamba")
    _refused(_plan(file, tmp_path / "b"), CheckpointError, "'mamba' is not supported.*llama")


def test_no_chat_template(tmp_path: Path) -> None:
    file = _tiny_gguf(tmp_path / "x.gguf")
    _refused(_plan(file, tmp_path / "b"), BuildError, "no chat template.*--chat-template")


def test_a_tokenizer_that_cannot_be_rebuilt(tmp_path: Path) -> None:
    file = _tiny_gguf(
        tmp_path / "x.gguf", tokenizer__chat_template="{{ x }}", tokenizer__ggml__model="llama"
    )
    _refused(_plan(file, tmp_path / "b"), CheckpointError, "'llama' cannot be rebuilt from GGUF")


def test_unknown_runtime(tmp_path: Path) -> None:
    plan = _plan(default_checkpoint(), tmp_path / "b", runtime="onnx")
    _refused(plan, BuildError, "unknown runtime 'onnx': choose one of openvino")


def test_a_runtime_that_this_host_cannot_build_says_so(tmp_path: Path) -> None:
    plan = _plan(default_checkpoint(), tmp_path / "b", runtime="tensorrt_llm")
    _refused(plan, CheckpointError, "builds from a Hugging Face directory")


def test_a_name_that_cannot_be_carried(tmp_path: Path) -> None:
    _refused(_plan(default_checkpoint(), tmp_path / "b", name="A.B"), NameRefusedError, "'A.B'")


def test_no_disk_space(tmp_path: Path) -> None:
    # Sparse: it claims a petabyte and occupies nothing.
    file = _tiny_gguf(tmp_path / "x.gguf")
    with file.open("ab") as stream:
        stream.truncate(1 << 43)
    _refused(_plan(file, tmp_path / "b"), BuildError, "not enough disk space")


def test_an_existing_bundle_is_never_overwritten(tmp_path: Path) -> None:
    output = tmp_path / "b"
    output.mkdir()
    with pytest.raises(BuildError, match="exists already"):
        build_bundle(_plan(default_checkpoint(), output), lambda _: None)


def test_a_huggingface_directory_that_lacks_something(tmp_path: Path) -> None:
    model = tmp_path / "hf"
    model.mkdir()
    _refused(_plan(model, tmp_path / "b"), CheckpointError, r"no config\.json")
    (model / "config.json").write_text("{}")
    _refused(_plan(model, tmp_path / "b"), CheckpointError, "no .*safetensors")


def test_a_killed_build_leaves_no_bundle_and_the_next_one_cleans_up(
    unknown_checkpoint: Path, tmp_path: Path
) -> None:
    env = stack_env(tmp_path)
    # Accepted without a proof, which would take most of the time; another test has it.
    arguments = [
        "build", str(unknown_checkpoint), "--name", "m", "--output", str(tmp_path / "b"),
        "--runtime", "openvino", "--accept-quality", "a test of what is left behind",
    ]  # fmt: skip
    with subprocess.Popen([*CLI, *arguments], env=env, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: any(tmp_path.glob(".building-*/f16.gguf")), "scratch files")
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "b").exists()
    assert any(tmp_path.glob(".building-*"))
    done = run_cli(env, *arguments)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob(".building-*")) == []
    Bundle.open(tmp_path / "b").verify()


def test_the_command_line_fails_with_one_line(tmp_path: Path) -> None:
    done = run_cli(stack_env(tmp_path), "build", tmp_path / "none.gguf", "--name", "m")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no such checkpoint" in done.stderr
