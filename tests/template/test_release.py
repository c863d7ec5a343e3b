"""What `make deploy` tells `sam deploy` beyond samconfig.toml."""

from deploy.release import parameters_of, release
from tests.template.stack import ROOT, Stack

CONFIG = (ROOT / "samconfig.toml").read_text()


def test_another_parameter_or_another_commit_is_another_release() -> None:
    parameters = ["Environment=staging", "MessageRate=5"]
    names = {
        release("abc1234", parameters),
        release("abc1234", ["Environment=staging", "MessageRate=6"]),
        release("def5678", parameters),
    }
    assert len(names) == 3
    assert release("abc1234", parameters[::-1]) in names
    assert all(len(name) <= Stack().template["Parameters"]["Release"]["MaxLength"] for name in names)


def test_samconfig_deploys_what_the_template_accepts() -> None:
    for environment in ("default", "staging", "production"):
        parameters = dict(each.split("=", 1) for each in parameters_of(environment, CONFIG))
        assert Stack(**parameters).refused() == []
        assert parameters["Environment"] == ("staging" if environment == "default" else environment)
        assert parameters["AuthMode"] == "jwt"
