"""What `sam deploy` and `make deploy` pass to the template."""

import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from tests.template.stack import ROOT, Stack

CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())


def parameters(environment: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "deploy" / f"{environment}.yaml").read_text())


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_an_environment_deploys_with_tokens_what_the_template_accepts(environment: str) -> None:
    given = parameters(environment)
    assert (given["Environment"], given["AuthMode"]) == (environment, "jwt")
    assert Stack(**given).refused() == []
    assert "Release" not in given, "`make deploy` computes it"


@pytest.mark.parametrize(
    ("section", "environment"), [("default", "staging"), ("staging", "staging"), ("production", "production")]
)
def test_a_bare_sam_deploy_is_staging_and_each_section_its_own_environment(section: str, environment: str) -> None:
    deploy = CONFIG[section]["deploy"]["parameters"]
    assert deploy["parameter_overrides"] == [f"file://deploy/{environment}.yaml"]
    assert CONFIG[section]["global"]["parameters"]["stack_name"] == f"navietakie-{environment}"
    assert deploy["capabilities"] == "CAPABILITY_IAM"


def test_a_deploy_to_production_that_says_nothing_of_traffic_is_gradual_whatever_the_last_one_was() -> None:
    """CloudFormation keeps the last value of a parameter that is left out."""
    assert parameters("production")["Traffic"] == "gradual"


def test_a_deploy_may_be_told_to_go_over_at_once() -> None:
    """The last value counts, so this one has to come after the environment's file."""
    command = ["make", "--dry-run", "deploy", "ENV=production", "ARGS=Traffic=atonce"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"--parameter-overrides file://\S+ Release=\S+ Traffic=atonce$", said, re.MULTILINE)


def test_every_try_is_a_release_of_its_own() -> None:
    """After a rollback Lambda still has the version, and publishes no second one that is equal."""
    said = subprocess.run(["make", "--dry-run", "deploy"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"release=\$\(git rev-parse --short HEAD\)-\$\(date -u \+\S*%S\S*\);", said)
    longest = Stack().template["Parameters"]["Release"]["MaxLength"]
    assert longest >= 40 + len("-20261122T083000Z")


@pytest.mark.parametrize(
    ("bucket", "options"), [("", "staging --p"), ("b", "staging --no-resolve-s3 --s3-bucket b --p")]
)
def test_code_goes_through_the_environments_own_bucket_where_there_is_one(bucket: str, options: str) -> None:
    command = ["make", "--dry-run", "deploy", f"ARTIFACTS_BUCKET={bucket}"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    deploy = " ".join(said.partition("sam deploy")[2].replace("\\\n", " ").split())
    assert deploy.replace("$environment", "staging").startswith(f"--config-env {options}")


def test_the_sam_that_make_brings_is_no_older_than_the_oldest_that_the_documents_name() -> None:
    named = {
        re.search(r"(?s)(1\.\d+) or\s+newer", (ROOT / page).read_text())[1]  # pyright: ignore[reportOptionalSubscript]
        for page in ("README.md", "docs/operations.md")
    }
    (oldest,) = (tuple(map(int, version.split("."))) for version in named)
    ours = re.search(r"^aws-sam-cli==([\d.]+)", (ROOT / "requirements" / "tools.txt").read_text(), re.MULTILINE)
    assert ours is not None
    assert tuple(map(int, ours[1].split("."))) >= oldest
