"""An installed wheel has its migrations, and upgrades with them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_LEFT_OUT = shutil.ignore_patterns(".*", "tests", "docs", "*.egg-info", "__pycache__")
# The project is installed in place; what is found in place must not be what is tried.
_CODE = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "ditable" not in repr(finder)]
sys.path.insert(0, sys.argv[1])
from enginehouse.gateway.access import records
from enginehouse.gateway.database import database, schema
assert database.__file__.startswith(sys.argv[1]), database.__file__
database.Database("sqlite:///" + sys.argv[2]).close()
print(schema.schemas()["access"].migrations)
"""


def test_a_wheel_has_every_migration_and_runs_them(tmp_path: Path) -> None:
    tree, wheels, installed = tmp_path / "tree", tmp_path / "wheels", tmp_path / "a %s folder"
    shutil.copytree(_ROOT, tree, ignore=_LEFT_OUT)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-w", wheels, tree], check=True)
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as archive:
        names = set(archive.namelist())
        archive.extractall(installed)
    scripts = {
        f"enginehouse/{path.relative_to(_ROOT)}"
        for folder in ("*/migrations/*.py", "database/alembic/*.*")
        for path in (_ROOT / "gateway").glob(folder)
    }
    assert scripts
    assert scripts <= names
    argv = [sys.executable, "-c", _CODE, str(installed), str(tmp_path / "endpoint.db")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
