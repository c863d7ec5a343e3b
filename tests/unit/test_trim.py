"""What the layer's build takes out of botocore's data changes nothing that a function sees."""

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

WHOLE = Path(botocore.__file__).with_name("data")
ROOT = Path(__file__).parents[2]
SERVICES = ("dynamodb", "lambda", "s3", "secretsmanager", "sns", "sqs")
REGIONS = ("us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "xx-nowhere-1")


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """botocore's data of these services, and of one more, trimmed."""
    data = tmp_path_factory.mktemp("botocore") / "data"
    data.mkdir()
    for entry in WHOLE.iterdir():
        if entry.is_file():
            shutil.copy(entry, data)
        elif entry.name in (*SERVICES, "polly"):
            shutil.copytree(entry, data / entry.name)
    runpy.run_path(str(ROOT / "layers/shared/trim.py"))["trim"](data, set(SERVICES))
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
def test_a_client_asks_the_same_endpoint(trimmed: Path, service: str, region: str) -> None:
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
def test_a_client_offers_the_same_operations(trimmed: Path, service: str) -> None:
    with_all = client(service, "us-east-1").meta.service_model.operation_names
    assert client(service, "us-east-1", trimmed).meta.service_model.operation_names == with_all


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
