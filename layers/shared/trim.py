"""trim.py FOLDER SERVICE...: botocore's data in FOLDER, less what each cold start would parse for nothing.

Of 400 services those named stay, without the documentation in their models; of the endpoints of all services,
theirs. That is 1.8 MB of JSON less per first client. Without their endpoint rules botocore looks endpoints up once
per client, in that table, instead of working them out at every request: a twentieth of its CPU.
"""

import gzip
import json
import shutil
import sys
from pathlib import Path
from typing import Any, cast

NEED_RULES = {"s3"}
"""By its rules alone S3's bucket gets into the address of a request."""


def without_documentation(value: Any) -> Any:
    """`value` without texts named `documentation`, at any depth."""
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value).items()
        kept = [(name, it) for name, it in fields if not (name == "documentation" and isinstance(it, str))]
        return {name: without_documentation(it) for name, it in kept}
    return [without_documentation(it) for it in cast(list[Any], value)] if isinstance(value, list) else value


def write(path: Path, value: Any) -> None:
    """`value` as JSON without a spare byte."""
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), "utf-8")


def trim(data: Path, services: set[str]) -> None:
    """Leaves of botocore's `data` what clients of `services` read."""
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in services:
            shutil.rmtree(folder)
    for model in data.glob("*/*/service-2.json.gz"):
        trimmed = without_documentation(json.loads(gzip.decompress(model.read_bytes())))
        for parameter in trimmed.get("clientContextParams", {}).values():
            parameter["documentation"] = ""  # botocore reads it where there are rules
        write(model.with_suffix(""), trimmed)
        model.unlink()
    for rules in data.glob("*/*/endpoint-rule-set-1.json*"):
        if rules.parents[1].name not in NEED_RULES:
            rules.unlink()
    endpoints = json.loads((data / "endpoints.json").read_bytes())
    for partition in endpoints["partitions"]:
        partition["services"] = {name: it for name, it in partition["services"].items() if name in services}
    write(data / "endpoints.json", endpoints)


if __name__ == "__main__":
    trim(Path(sys.argv[1]), set(sys.argv[2:]))
