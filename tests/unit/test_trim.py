"""The layer's build removes parts of botocore's data. That changes nothing for a function."""

import runpy
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest
from botocore.config import Config
from botocore.loaders import Loader
from botocore.model import Shape

WHOLE = Path(botocore.__file__).with_name("data")
ROOT = Path(__file__).parents[2]
TRIM = runpy.run_path(str(ROOT / "layers/shared/trim.py"))
OPERATIONS: dict[str, set[str]] = TRIM["OPERATIONS"]
SERVICES = tuple(OPERATIONS)
REGIONS = ("us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "xx-nowhere-1")


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """botocore's data of these services and of one more, trimmed."""
    data = tmp_path_factory.mktemp("botocore") / "data"
    data.mkdir()
    for entry in WHOLE.iterdir():
        if entry.is_file():
            shutil.copy(entry, data)
        elif entry.name in (*SERVICES, "polly"):
            shutil.copytree(entry, data / entry.name)
    TRIM["trim"](data)
    return data


@cache
def session(data: Path) -> botocore.session.Session:
    made = botocore.session.Session()
    made.register_component("data_loader", Loader([str(data)], include_default_search_paths=False))
    made.set_credentials("test", "test")
    return made


def client(service: str, region: str, data: Path = WHOLE) -> Any:
    return session(data).create_client(service, region_name=region)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("region", REGIONS)
def test_a_trimmed_client_asks_the_same_endpoint(trimmed: Path, service: str, region: str) -> None:
    assert client(service, region, trimmed).meta.endpoint_url == client(service, region).meta.endpoint_url


@pytest.mark.parametrize("variable", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
@pytest.mark.parametrize("service", SERVICES)
def test_a_client_asks_the_same_endpoint_of_a_kind(
    trimmed: Path, service: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.cache_clear()  # sessions read the environment once
    monkeypatch.setenv(variable, "true")
    with_all, without = (client(service, "us-east-1", data).meta.endpoint_url for data in (WHOLE, trimmed))
    session.cache_clear()
    assert without == with_all


@pytest.mark.parametrize("service", SERVICES)
def test_a_client_offers_the_operations_that_are_used_and_no_others(trimmed: Path, service: str) -> None:
    assert set(client(service, "us-east-1", trimmed).meta.service_model.operation_names) == OPERATIONS[service]


def without_texts(shape: Shape, seen: frozenset[str] = frozenset()) -> Any:
    """Everything that botocore reads of a shape and its parts."""
    if shape.name in seen:
        return shape.name
    seen |= {shape.name}
    parts = {name: without_texts(it, seen) for name, it in getattr(shape, "members", {}).items()}
    inner = [without_texts(getattr(shape, name), seen) for name in ("member", "key", "value") if hasattr(shape, name)]
    return shape.name, shape.type_name, shape.serialization, shape.metadata, parts, inner


@pytest.mark.parametrize(
    ("service", "operation"), [(name, each) for name in SERVICES for each in sorted(OPERATIONS[name])]
)
def test_an_operation_asks_and_understands_as_before(trimmed: Path, service: str, operation: str) -> None:
    def read(data: Path) -> Any:
        model = client(service, "us-east-1", data).meta.service_model.operation_model(operation)
        shapes = (model.input_shape, model.output_shape, *model.error_shapes)
        return model.http, model.auth_type, model.http_checksum, [it and without_texts(it) for it in shapes]

    assert read(trimmed) == read(WHOLE)


def test_an_operation_that_a_service_does_not_have_ends_the_build() -> None:
    with pytest.raises(KeyError):
        TRIM["reduced"]({"operations": {}, "shapes": {}}, {"GetItems"})


def test_other_services_are_gone(trimmed: Path) -> None:
    assert {entry.name for entry in trimmed.iterdir() if entry.is_dir()} == set(SERVICES)
    with pytest.raises(botocore.exceptions.UnknownServiceError):
        client("polly", "us-east-1", trimmed)


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_an_address_in_s3_names_the_bucket_as_before(trimmed: Path, style: str) -> None:
    how = Config(signature_version="s3v4", s3={"addressing_style": style})

    def addresses(data: Path) -> list[str]:
        s3: Any = session(data).create_client("s3", region_name="eu-central-1", config=how)
        read = s3.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "kept/a"})
        return [read.partition("?")[0], s3.generate_presigned_post("photos", "upload/a")["url"]]

    assert addresses(trimmed) == addresses(WHOLE)
    assert all("photos" in address for address in addresses(trimmed))
