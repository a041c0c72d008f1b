"""`enginehouse build --runtime tensorrt_llm --dry-run`: prints the build as a shell script.

Everything that is not a command is a comment. The first part starts the vendor's container; the
rest runs inside it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from enginehouse.build.plan import BuildPlan
from enginehouse.build.tensorrt_llm import (
    XGRAMMAR_FILE,
    draft_network,
    open_checkpoint,
    settings_of,
)
from enginehouse.build.tensorrt_llm_commands import (
    HOSTS_FILE,
    BuildPaths,
    Network,
    as_ranks,
    engine_commands,
    launch_command,
    rank_files,
)
from enginehouse.build.tensorrt_llm_formats import FORMATS, check_format
from enginehouse.engine.tensorrt_llm_arguments import llm_call
from enginehouse.engine.tensorrt_llm_calls import source
from enginehouse.engine.tensorrt_llm_releases import RELEASES, WHEEL_INDEX, container
from enginehouse.engine.tensorrt_llm_settings import (
    DraftTarget,
    Eagle3,
    Medusa,
    TensorRtLlmSettings,
)
from enginehouse.model_repository.config import engine_config, render
from enginehouse.model_repository.tensorrtllm_backend_config import tensorrtllm_config

from enginehouse.bundle import CARD_FILE, CHAT_TEMPLATE_FILE, ENGINE_DIR, TOKENIZER_FILE
from enginehouse.manifest import MANIFEST_NAME
from enginehouse.names import TENSORRT_LLM, check_model_name, part

_PORTS = (8001, 8000, 8002)
_WIDTH = 96
_NAMED_FILES = 3
#: Path inside the containers; the dry run is for them, not for this host.
_REPOSITORY = "/model_repository"


def dry_run(plan: BuildPlan) -> str:
    """Return the script; it needs only the checkpoint's `config.json`.

    Raises:
        CheckpointError, BuildError: as the build would.
    """
    check_model_name(plan.name)
    settings = settings_of(plan)
    checkpoint = open_checkpoint(plan.checkpoint, config_only=True)
    family = checkpoint.architecture.family
    check_format(settings, plan.weight_format, family)
    target = Network(plan.checkpoint.resolve(), family)
    sections = [_title(plan, settings), _container(plan, settings)]
    if settings.flavour == "engine":
        sections.append(_engine_commands(plan, settings, target))
    else:
        sections.append(_pytorch_commands(plan))
    sections.append(_llm(plan, settings))
    sections += [_files(plan, settings), _launch(plan, settings), _config(plan, settings)]
    return "\n\n".join(sections) + "\n"


def _title(plan: BuildPlan, settings: TensorRtLlmSettings) -> str:
    parallel, limits = settings.parallel, settings.limits
    return _comment(
        f"Dry run of model {plan.name}: nothing was built.",
        f"TensorRT-LLM {settings.version}, flavour {settings.flavour}, format "
        f"{plan.weight_format}, backend {settings.backend}.",
        f"Tensor parallel {parallel.tensor}, pipeline parallel {parallel.pipeline}, expert "
        f"parallel {parallel.expert}: {parallel.world_size} GPU(s) on {parallel.nodes} node(s).",
        f"At most {limits.max_batch_size} sequences in flight, {limits.max_num_tokens} tokens a "
        "step.",
    )


def _container(plan: BuildPlan, settings: TensorRtLlmSettings) -> str:
    release = RELEASES[settings.version]
    mounts = {str(plan.checkpoint.resolve()): "ro", str(plan.output.parent): "rw"}
    mounts |= {str(Path(path).resolve()): "ro" for path in _extra_inputs(settings)}
    volumes = [item for path, mode in mounts.items() for item in ("-v", f"{path}:{path}:{mode}")]
    limits = ["--ulimit", "memlock=-1", "--ulimit", "stack=67108864"]
    run = ["docker", "run", "--rm", "-it", "--gpus", "all", "--ipc", "host", *limits]
    return "\n".join(
        [
            _comment(
                "1. Enter the vendor's container.",
                f"Without one: pip3 install tensorrt_llm=={release.package} --extra-index-url "
                f"{WHEEL_INDEX}",
            ),
            _wrapped([*run, *volumes], [container(settings), "bash"]),
        ]
    )


def _extra_inputs(settings: TensorRtLlmSettings) -> Iterable[str]:
    if settings.lora is not None:
        yield from (adapter.path for adapter in settings.lora.adapters)
    if isinstance(settings.speculative, DraftTarget | Eagle3 | Medusa):
        yield settings.speculative.model


def _engine_commands(plan: BuildPlan, settings: TensorRtLlmSettings, target: Network) -> str:
    places = BuildPaths(plan.output.with_name(f"{plan.output.name}.scratch"), _engine_dir(plan))
    draft = draft_network(settings)
    commands = engine_commands(settings, plan.weight_format, target, draft, places)
    lines = [_comment("2. Build the engine.")]
    for number, command in enumerate(commands, start=1):
        lines += [_comment(f"2.{number} {command.purpose}: {_shortened(command.writes)}")]
        lines += [_wrapped(command.argv)]
    return "\n".join(lines)


def _pytorch_commands(plan: BuildPlan) -> str:
    algorithm = FORMATS[plan.weight_format].quant_algo
    notes = ["2. The LLM API runs the checkpoint as it is: its files become the engine."]
    if algorithm is not None:
        notes += [
            f"The checkpoint must be quantised already ({algorithm} in hf_quant_config.json):",
            "NVIDIA ModelOpt does that (examples/llm_ptq, export format hf).",
        ]
    engine = str(_engine_dir(plan))
    copy = ["cp", "-rL", f"{plan.checkpoint.resolve()}/.", engine]
    return "\n".join([_comment(*notes), _wrapped(["mkdir", "-p", engine]), _wrapped(copy)])


def _llm(plan: BuildPlan, settings: TensorRtLlmSettings) -> str:
    call = llm_call(settings, str(_engine_dir(plan)), plan.weight_format)
    if settings.backend != "python":
        return _comment("3. The C++ backend loads the engine; no Python is involved.")
    body = source(call) + "llm.shutdown()\n"
    guarded = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
    # The library starts processes that import the script again.
    script = f'if __name__ == "__main__":\n{guarded}'
    path = str(plan.output.with_name(f"{plan.output.name}.load.py"))
    return "\n".join(
        [
            _comment("3. Load it once, as the Python runtime does."),
            f"cat > {shlex.quote(path)} <<'PYTHON'\n{script}PYTHON",
            _wrapped([*as_ranks(settings), "python3", path]),
        ]
    )


def _files(plan: BuildPlan, settings: TensorRtLlmSettings) -> str:
    names = [MANIFEST_NAME, TOKENIZER_FILE, CHAT_TEMPLATE_FILE, CARD_FILE, "reports/parity.json"]
    lines = [f"  {name}" for name in names]
    parallel = settings.parallel
    if settings.flavour == "pytorch":
        lines.append(f"  {ENGINE_DIR}/*.safetensors, config.json, tokenizer files (every rank)")
    else:
        lines.append(f"  {ENGINE_DIR}/config.json")
        for rank, name in enumerate(rank_files(settings)[1:]):
            stage, shard = divmod(rank, parallel.tensor)
            lines.append(
                f"  {ENGINE_DIR}/{name}  (node {rank // parallel.gpus_per_node}, pipeline stage "
                f"{stage}, tensor shard {shard})"
            )
        if isinstance(settings.speculative, DraftTarget):
            lines += [f"  {ENGINE_DIR}/draft/{name}" for name in rank_files(settings)]
        if settings.guided_decoding == "xgrammar":
            lines.append(f"  {ENGINE_DIR}/{XGRAMMAR_FILE}")
    if settings.lora is not None:
        lines += [f"  {ENGINE_DIR}/adapters/{a.name}/" for a in settings.lora.adapters]
    return _comment(f"4. Files of the bundle {plan.output}:", *lines)


def _config(plan: BuildPlan, settings: TensorRtLlmSettings) -> str:
    directory = f"{_REPOSITORY}/{part(plan.name, TENSORRT_LLM)}"
    if settings.backend == "tensorrtllm":
        engine = f"{directory}/1/bundle/{ENGINE_DIR}"
        config = tensorrtllm_config(plan.name, 1, settings, engine, plan.settings.max_queue)
    else:
        config = engine_config(plan.name, [1])
    return "\n".join(
        [
            _comment(
                "6. Triton's config; `enginehouse register` and the controller write it, with",
                "`bundle` in the version's directory pointing at the bundle.",
            ),
            _wrapped(["mkdir", "-p", f"{directory}/1"]),
            f"cat > {directory}/config.pbtxt <<'PBTXT'\n{render(config)}PBTXT",
        ]
    )


def _launch(plan: BuildPlan, settings: TensorRtLlmSettings) -> str:
    release = RELEASES[settings.version]
    model = part(plan.name, TENSORRT_LLM)
    notes = [f"5. Serve, in {release.triton_container or container(settings)}."]
    if release.triton_container is None:
        notes.append("No Triton image of this release is known: Triton must be added to it.")
    if settings.backend == "python":
        notes.append("The Python runtime needs the package enginehouse in that image.")
    if settings.parallel.nodes > 1:
        notes.append(
            f"{HOSTS_FILE} names the {settings.parallel.nodes} nodes, one a line: NAME "
            f"slots={settings.parallel.gpus_per_node}; they share the paths."
        )
    return "\n".join(
        [_comment(*notes), _wrapped(launch_command(settings, _REPOSITORY, model, _PORTS))]
    )


def _engine_dir(plan: BuildPlan) -> Path:
    return plan.output / ENGINE_DIR


def _comment(*lines: str) -> str:
    return "\n".join(f"# {line}" for line in lines)


def _shortened(files: Sequence[str]) -> str:
    """The files' names; of many ranks only the first two and the last."""
    if len(files) <= _NAMED_FILES:
        return ", ".join(files)
    return f"{files[0]}, {files[1]} … {files[-1]}"


def _wrapped(*pieces: Sequence[str]) -> str:
    """A command over several lines; a flag stays on one line with its values."""
    lines = [""]
    for group in (group for piece in pieces for group in _groups(piece)):
        if not lines[-1] or len(lines[-1]) + len(group) < _WIDTH:
            lines[-1] = f"{lines[-1]} {group}".lstrip()
        else:
            lines.append(group)
    return " \\\n    ".join(lines)


def _groups(argv: Sequence[str]) -> list[str]:
    groups: list[str] = []
    for item in argv:
        if not groups or item.startswith("-") or item == ":":
            groups.append(shlex.quote(item))
        else:
            groups[-1] += f" {shlex.quote(item)}"
    return groups
