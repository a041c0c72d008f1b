"""`enginehouse build --dry-run`: what it prints can be pasted, and holds to the facts."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from enginehouse.model_repository import config

from tests.conftest import call_cli, stack_env
from tests.contract.facts import facts

_LLAMA = {"model_type": "llama", "vocab_size": 32_000, "max_position_embeddings": 4096,
          "eos_token_id": 2, "bos_token_id": 1, "torch_dtype": "float16"}  # fmt: skip
_SIZES = {
    "7b": {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "intermediate_size": 11_008,
    },
    "70b": {
        "hidden_size": 8192,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "intermediate_size": 28_672,
    },
}
_PARALLEL = [(1, 1), (4, 1), (4, 2)]
_PROGRAMS = {"docker", "python3", "trtllm-build", "mpirun", "mkdir", "cat", "cp",
             "/opt/tritonserver/bin/tritonserver"}  # fmt: skip
#: Runs the dry run of a size with options, and returns what it printed.
DryRun = Callable[..., str]


@pytest.fixture
def dry_run(tmp_path: Path) -> DryRun:
    def run(size: str, *options: str | Path) -> str:
        checkpoint = tmp_path / f"llama-{size}"
        checkpoint.mkdir(exist_ok=True)
        (checkpoint / "config.json").write_text(json.dumps(_LLAMA | _SIZES[size]))
        done = call_cli(
            stack_env(tmp_path / "home"), "build", checkpoint, "--name", f"llama-{size}",
            "--runtime", "tensorrt_llm", "--dry-run", *options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _commands(script: str) -> list[list[str]]:
    """Command lines of the script, without the files that it writes."""
    plain = re.sub(r"<<'(\w+)'\n.*?\n\1$", "", script, flags=re.DOTALL | re.MULTILINE)
    joined = plain.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in joined if shlex.split(line, comments=True)]


def _config(script: str) -> object:
    text = re.search(r"<<'PBTXT'\n(.*?)\nPBTXT$", script, re.DOTALL | re.MULTILINE)
    assert text is not None
    return config.parse(text[1])


@pytest.mark.parametrize(("tensor", "pipeline"), _PARALLEL)
@pytest.mark.parametrize("size", ["7b", "70b"])
def test_an_engine_s_commands_can_be_pasted(
    dry_run: DryRun, size: str, tensor: int, pipeline: int
) -> None:
    given = ("--tensor-parallel", str(tensor), "--pipeline-parallel", str(pipeline))
    weight_format = "fp8" if size == "70b" else "fp16"
    script = dry_run(size, "--flavour", "engine", "--format", weight_format, *given)
    commands = _commands(script)
    assert {argv[0] for argv in commands} <= _PROGRAMS
    built = [argv for argv in commands if _is_vendor_s(argv)]
    assert len(built) == 2
    for argv in built:
        assert facts("1.2").check_argv(argv) == []
    convert = built[0]
    assert convert[convert.index("--tp_size") + 1] == str(tensor)
    assert convert[convert.index("--pp_size") + 1] == str(pipeline)
    for rank in range(tensor * pipeline):
        assert f"engine/rank{rank}.engine" in script
    assert f"rank{tensor * pipeline}.engine" not in script
    _assert_shell_accepts(script)


def _is_vendor_s(argv: list[str]) -> bool:
    return argv[0] == "trtllm-build" or (argv[0] == "python3" and "/examples/" in argv[1])


def _assert_shell_accepts(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for body in re.findall(r"<<'PYTHON'\n(.*?)\nPYTHON$", script, re.DOTALL | re.MULTILINE):
        compile(body, "dry-run", "exec")


@pytest.mark.parametrize("version", ["1.0", "1.2", "newest"])
def test_the_llm_call_is_printed_for_the_target_version(dry_run: DryRun, version: str) -> None:
    script = dry_run("7b", "--target-version", version, "--tensor-parallel", "4")
    assert "tensor_parallel_size=4" in script
    assert "from tensorrt_llm import LLM" in script
    assert "nvcr.io/nvidia/tensorrt-llm/release:1." in script
    _assert_shell_accepts(script)


def test_several_nodes_of_the_c_plus_plus_backend(dry_run: DryRun, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("backend: tensorrtllm\nflavour: engine\nparallel: {gpus_per_node: 4}\n")
    script = dry_run(
        "70b", "--tensor-parallel", "4", "--pipeline-parallel", "2", "--tensorrt-llm-config",
        settings, "--max-batch", "32",
    )  # fmt: skip
    launch = next(argv for argv in _commands(script) if argv[0] == "mpirun")
    assert launch.count("/opt/tritonserver/bin/tritonserver") == 8
    assert launch.count("--load-model=llama-70b.tensorrt_llm") == 7
    assert launch.count("--hostfile") == 8
    message = _config(script)
    assert message.backend == "tensorrtllm"
    assert message.max_batch_size == 32
    assert message.parameters["num_nodes"].string_value == "2"
    assert len(message.parameters) == 46
    assert "node 1, pipeline stage 1, tensor shard 3" in script


def test_several_nodes_of_the_llm_api(dry_run: DryRun) -> None:
    script = dry_run("70b", "--tensor-parallel", "8", "--pipeline-parallel", "2")
    launches = [argv for argv in _commands(script) if argv[0] == "mpirun"]
    assert [argv[argv.index("trtllm-llmapi-launch") + 1] for argv in launches] == [
        "python3",
        "/opt/tritonserver/bin/tritonserver",
    ]
    assert all(argv[argv.index("-n") + 1] == "16" for argv in launches)
    assert "hosts.txt names the 2 nodes" in script
    _assert_shell_accepts(script)


def test_adapters_of_the_command_line_are_built_in(dry_run: DryRun, tmp_path: Path) -> None:
    script = dry_run("7b", "--flavour", "engine", "--lora", f"sql={tmp_path}")
    build = next(argv for argv in _commands(script) if argv[0] == "trtllm-build")
    assert build[build.index("--lora_dir") + 1] == str(tmp_path)
    assert "engine/adapters/sql/" in script
    assert "enable_lora=True" in script


def test_the_python_backend_s_config_is_the_contract_s(dry_run: DryRun) -> None:
    message = _config(dry_run("7b"))
    assert message.backend == "python"
    assert message.model_transaction_policy.decoupled


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--flavour", "engine", "--target-version", "newest"), "ended with 1.2"),
        (("--format", "w8a16"), "not one of flavour 'pytorch'"),
        (("--format", "int8"), "not one of flavour 'pytorch'"),
        (("--tensor-parallel", "4", "--expert-parallel", "3"), "must divide parallel.tensor"),
        (("--max-input-len", "10", "--max-seq-len", "10"), "leaves no room"),
    ],
)
def test_what_the_vendor_has_not_is_refused_by_name(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(_LLAMA | _SIZES["7b"]))
    done = call_cli(
        stack_env(tmp_path / "home"), "build", tmp_path, "--name", "m", "--runtime",
        "tensorrt_llm", "--dry-run", *options,
    )  # fmt: skip
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())


def test_a_build_without_the_package_says_where_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(_LLAMA | _SIZES["7b"]))
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    done = call_cli(
        stack_env(tmp_path / "home"), "build", tmp_path, "--name", "m", "--runtime", "tensorrt_llm"
    )
    assert done.returncode == 1
    first = " ".join(done.stderr.split())
    assert "TensorRT-LLM 1.2 is missing on this host: install tensorrt_llm 1.2.1" in first
    assert "nvcr.io/nvidia/tensorrt-llm/release:1.2.1" in first


def test_options_of_this_runtime_mean_nothing_to_another(tmp_path: Path) -> None:
    done = call_cli(stack_env(tmp_path), "build", tmp_path, "--name", "m", "--dry-run")
    assert done.returncode == 1
    assert "--runtime tensorrt_llm" in " ".join(done.stderr.split())
