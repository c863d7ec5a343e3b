"""trim.py FOLDER: botocore's data in FOLDER, less what each cold start would parse for nothing.

Of 400 services those of OPERATIONS stay, each in its newest version; in their models the operations named there and the
shapes that these reach; of the endpoints of all services theirs. Documentation, waiters and paginators go. Without
their endpoint rules botocore looks endpoints up once per client, in that table, instead of working them out at every
request: a twentieth of its CPU.
"""

import gzip
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, Final, cast

OPERATIONS: Final[Mapping[str, Set[str]]] = {
    "dynamodb": {
        "BatchGetItem",
        "DeleteItem",
        "GetItem",
        "PutItem",
        "Query",
        "TransactWriteItems",
        "UpdateItem",
    },
    "lambda": {"Invoke"},
    "s3": {"CopyObject", "CreateBucket", "DeleteObject", "GetObject", "HeadObject"},
    "secretsmanager": {"GetSecretValue"},
    "sns": {"Publish"},
    "sqs": {"SendMessage"},
}
"""What the functions ask for, as tests/policies holds it against what they really do. CreateBucket is never asked for:
botocore signs a form after its model."""

NEED_RULES: Final = {"s3"}
"""S3's rules put the bucket into the address of a request."""


def without_documentation(value: Any) -> Any:
    """`value` without texts named `documentation`, at any depth."""
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value).items()
        kept = [(name, it) for name, it in fields if not (name == "documentation" and isinstance(it, str))]
        return {name: without_documentation(it) for name, it in kept}
    return [without_documentation(it) for it in cast(list[Any], value)] if isinstance(value, list) else value


def shapes_in(value: Any) -> Iterator[str]:
    """The names of the shapes that a part of a model refers to."""
    if isinstance(value, dict):
        for name, it in cast(dict[str, Any], value).items():
            if name == "shape" and isinstance(it, str):
                yield it
            else:
                yield from shapes_in(it)
    elif isinstance(value, list):
        for it in cast(list[Any], value):
            yield from shapes_in(it)


def reduced(model: dict[str, Any], operations: Set[str]) -> dict[str, Any]:
    """`model` with these operations alone, and the shapes that they reach. Raises KeyError for one that it has not."""
    kept = {name: model["operations"][name] for name in sorted(operations)}
    shapes: dict[str, Any] = {}
    reached = list(shapes_in(kept))
    while reached:
        name = reached.pop()
        if name not in shapes:
            shapes[name] = model["shapes"][name]
            reached += shapes_in(shapes[name])
    return {**model, "operations": kept, "shapes": shapes}


def write(path: Path, value: Any) -> None:
    """`value` as JSON without a spare byte."""
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), "utf-8")


def trim(data: Path) -> None:
    """Leaves of botocore's `data` what clients of OPERATIONS read."""
    for folder in [each for each in data.iterdir() if each.is_dir()]:
        versions = sorted(folder.iterdir())
        for unread in [folder] if folder.name not in OPERATIONS else versions[:-1]:
            shutil.rmtree(unread)
    for model in data.glob("*/*/service-2.json.gz"):
        whole = without_documentation(json.loads(gzip.decompress(model.read_bytes())))
        trimmed = reduced(whole, OPERATIONS[model.parents[1].name])
        for parameter in trimmed.get("clientContextParams", {}).values():
            parameter["documentation"] = ""  # botocore reads it where there are rules
        write(model.with_suffix(""), trimmed)
        model.unlink()
    for rules in data.glob("*/*/endpoint-rule-set-1.json*"):
        if rules.parents[1].name not in NEED_RULES:
            rules.unlink()
    for unread in (*data.glob("*/*/waiters-2.json*"), *data.glob("*/*/paginators-1*.json*")):
        unread.unlink()
    endpoints = json.loads((data / "endpoints.json").read_bytes())
    for partition in endpoints["partitions"]:
        partition["services"] = {name: it for name, it in partition["services"].items() if name in OPERATIONS}
    write(data / "endpoints.json", endpoints)


if __name__ == "__main__":
    trim(Path(sys.argv[1]))
