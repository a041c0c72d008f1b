"""A stand-in for the vendor's command-line tools: notes its arguments, converts nothing.

It leaves the files that such a run leaves, empty of weights, so that the builder's own work
around it can be tested. `STAND_IN_LOG` names the file that its arguments are added to.
"""

import json
import os
import sys
from pathlib import Path


def _value(flag: str, default: str) -> str:
    return sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else default


def main() -> None:
    """Write `config.json` and a file for each rank into the output directory."""
    with Path(os.environ["STAND_IN_LOG"]).open("a", encoding="utf-8") as log:
        log.write(json.dumps(sys.argv) + "\n")
    if "--fail" in os.environ.get("STAND_IN_OPTIONS", ""):
        sys.exit("the stand-in was told to fail")
    output = Path(_value("--output_dir", "."))
    output.mkdir(parents=True, exist_ok=True)
    built = Path(_value("--checkpoint_dir", ""))
    if "--checkpoint_dir" in sys.argv:
        config = json.loads((built / "config.json").read_text(encoding="utf-8"))
        config, suffix = {"version": "1.2.0", "pretrained_config": config}, "engine"
        mapping = config["pretrained_config"]["mapping"]
    else:
        mapping = {
            "tp_size": int(_value("--tp_size", "1")),
            "pp_size": int(_value("--pp_size", "1")),
        }
        config, suffix = {"mapping": mapping}, "safetensors"
    (output / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for rank in range(mapping["tp_size"] * mapping["pp_size"]):
        (output / f"rank{rank}.{suffix}").write_bytes(b"")


main()
