"""Each variable is declared in one place, and one that nothing reads is refused."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from enginehouse.errors import SettingsError
from enginehouse.settings import load_settings, variables

_ROOT = Path(__file__).parents[2]
_CWD = Path("/somewhere")
_KNOWN = {variable.name for variable in variables()}
_PRODUCT = tuple(
    folder
    for folder in (
        "api", "build", "cli", "client", "engine", "enginehouse", "gateway", "model_repository",
        "perf", "registry", "stack",
    )
    if (_ROOT / folder).is_dir()
)  # fmt: skip
#: Read by code of ours, and declared by others.
_OF_OTHERS = {
    "PATH", "LD_LIBRARY_PATH", "APT_CONFIG_DIR", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI",
    # The relay that is measured as a peer is a program of its own.
    "CHAT_TEMPLATE", "TRITON_GRPC",
}  # fmt: skip
_MENTIONED = re.compile(r"ENGINEHOUSE_[A-Z0-9_]*[A-Z0-9](?![A-Z0-9_])")
_TEXT_FILES = {".py", ".md", ".yaml", ".yml", ".toml", ".sh", ".txt", ""}
#: A prefix by which some are left out, and names that show how they are refused.
_NO_VARIABLES = {
    ("tests/core/test_settings.py", "ENGINEHOUSE_ENGINE_MAXBATCH"),
    ("perf/private_stack.py", "ENGINEHOUSE_ENDPOINT"),
    ("docs/settings.md", "ENGINEHOUSE_PORT_8080_TCP"),
    ("docs/settings.md", "ENGINEHOUSE_REPLICA"),
}
#: Reads by a name that is worked out.
_WORKED_OUT = {
    # The operator's own name for a classifier's token.
    (next(_ROOT.glob("*/content/endpoint.py")).relative_to(_ROOT).as_posix(), "config.token_env"),
    # Put back as they were found.
    ("registry/quality/tracking.py", "key"),
    ("registry/quality/evaluate.py", "key"),
    # Of the list that `variables` gives.
    ("enginehouse/settings/group_values.py", "name"),
    ("enginehouse/settings/overrides.py", "variable"),
}
#: They have wrong names on purpose.
_TESTS_OF_NAMES = {
    "tests/core/test_settings_names.py",
    "tests/core/test_settings_values.py",
    "tests/docs/test_reference.py",
}


def _files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((_ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in _TEXT_FILES and "__pycache__" not in path.parts:
                yield path


@pytest.mark.parametrize("folder", [*_PRODUCT, "docs", "tests"])
def test_every_variable_that_is_mentioned_is_declared(folder: str) -> None:
    unknown = {
        (str(path.relative_to(_ROOT)), name)
        for path in _files(folder)
        if str(path.relative_to(_ROOT)) not in _TESTS_OF_NAMES
        for name in _MENTIONED.findall(path.read_text("utf-8", errors="replace"))
        # A prefix of several stands with a star, an underline or a placeholder behind it.
        if name not in _KNOWN | {"ENGINEHOUSE_ENGINE"}
    }
    assert unknown <= _NO_VARIABLES


def test_every_read_of_an_environment_names_a_declared_variable() -> None:
    unknown = {
        (str(path.relative_to(_ROOT)), name)
        for path in _files(*_PRODUCT)
        if path.suffix == ".py"
        for name in _reads(ast.parse(path.read_text("utf-8")))
        if name not in _KNOWN | _OF_OTHERS
    }
    assert unknown == _WORKED_OUT


def _reads(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            if _is_environ(node.value):
                yield _key(node.slice)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            of_environ = node.func.attr == "get" and _is_environ(node.func.value)
            if of_environ or ast.unparse(node.func) == "os.getenv":
                yield _key(node.args[0])


def _is_environ(node: ast.expr) -> bool:
    return ast.unparse(node) in {"os.environ", "environ", "env"}


def _key(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) else ast.unparse(node)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("ENGINEHOUSE_REPLICA", "ENGINEHOUSE_REPLICAS"),
        ("ENGINEHOUSE_APIPORT", "ENGINEHOUSE_API_PORT"),
        ("ENGINEHOUSE_KEY", "ENGINEHOUSE_KEYS"),
        ("ENGINEHOUSE_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI"),
        ("ENGINEHOUSE_DATABASE", "ENGINEHOUSE_DATABASE_URL"),
        ("ENGINEHOUSE_ENGINE_MAXBATCH", "ENGINEHOUSE_ENGINE_MAX_BATCH"),
        ("ENGINEHOUSE_MAX_BATCH", "ENGINEHOUSE_ENGINE_MAX_BATCH"),
        ("ENGINEHOUSE_OTEL_ENDPOINT", "ENGINEHOUSE_OTLP_ENDPOINT"),
        ("Enginehouse_Keys", "write ENGINEHOUSE_KEYS, in capitals"),
        ("ENGINEHOUSE_ZZZZZ", "docs/settings.md"),
        ("ENGINEHOUSE_", "docs/settings.md"),
    ],
)
@pytest.mark.parametrize("value", ["", "true", "eh_secret"])
def test_a_name_that_nothing_reads_is_refused_with_the_nearest(
    wrong: str, meant: str, value: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({wrong: value}, cwd=_CWD)
    assert str(caught.value).startswith(f"{wrong}: there is no such setting; ")
    assert meant in str(caught.value)
    assert "eh_secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["ENGINEHOUSEX", "MY_ENGINEHOUSE_HOME", "MLFLOW_TRACKING_URL"])
def test_variables_of_others_are_left_alone(name: str) -> None:
    load_settings({name: "x"}, cwd=_CWD)


_LINKS = {
    "ENGINEHOUSE_SERVICE_HOST": "10.0.0.1",
    "ENGINEHOUSE_SERVICE_PORT": "8080",
    "ENGINEHOUSE_SERVICE_PORT_HTTP": "8080",
    "ENGINEHOUSE_PORT": "tcp://10.0.0.1:8080",
    "ENGINEHOUSE_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "ENGINEHOUSE_PORT_8080_TCP_ADDR": "10.0.0.1",
    "ENGINEHOUSE_PORT_8080_TCP_PORT": "8080",
    "ENGINEHOUSE_PORT_8080_TCP_PROTO": "tcp",
}


def test_what_kubernetes_sets_for_a_service_is_left_alone() -> None:
    load_settings(_LINKS, cwd=_CWD)
    other = {
        name.replace("ENGINEHOUSE", "ENGINEHOUSE_TRITON"): text for name, text in _LINKS.items()
    }
    load_settings(_LINKS | other, cwd=_CWD)
    with pytest.raises(SettingsError, match="ENGINEHOUSE_PORT: there is no such setting"):
        load_settings({"ENGINEHOUSE_PORT": "8080"}, cwd=_CWD)


def test_a_service_link_that_hides_a_setting_is_explained() -> None:
    links = {name.replace("ENGINEHOUSE", "ENGINEHOUSE_API"): text for name, text in _LINKS.items()}
    with pytest.raises(SettingsError, match="enableServiceLinks: false") as caught:
        load_settings(links, cwd=_CWD)
    assert "ENGINEHOUSE_API_PORT='tcp://10.0.0.1:8080'" in str(caught.value)
