"""The template as CloudFormation sees it: translated by SAM, with parameters, conditions and functions resolved.

Values that only CloudFormation knows have a placeholder: `Ref` of a resource is `<LogicalId>`, an attribute of it is
`<LogicalId.Attribute>`, a pseudo parameter is its short name in angle brackets.
"""

import functools
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".local" / "tools" / "bin" / "python"
FUNCTIONS = ("send-message", "make-call", "get-message", "websocket")
REST_ROUTES = {
    "POST /api/v1/send_message": "send-message",
    "GET /api/v1/get_message": "get-message",
    "GET /api/v1/attachment": "get-message",
    "POST /api/v1/make_call": "make-call",
    "GET /api/v1/calls": "make-call",
}
SOCKET_ROUTES = {
    "$connect": "websocket",
    "$disconnect": "websocket",
    "$default": "websocket",
    "message": "send-message",
    "delivered": "send-message",
    "read": "send-message",
    "redact": "send-message",
    "attach": "send-message",
    "call": "make-call",
    "signal": "make-call",
    "sync": "get-message",
}
NOTHING = object()
"""The value of `AWS::NoValue`, which is then removed."""


@functools.cache
def translations() -> dict[str, Any]:
    """The translated templates by environment, and `atonce` for production, for which SAM translates differently."""
    command = [str(TOOLS), str(Path(__file__).with_name("translate.py"))]
    region = {"AWS_DEFAULT_REGION": "eu-central-1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, **region})
    return json.loads(done.stdout)


class Resolved:
    """What a template makes with these parameters. `resources` and `outputs`: those whose conditions hold."""

    def __init__(self, template: dict[str, Any], parameters: Mapping[str, str]) -> None:
        self.template = template
        declared = template["Parameters"]
        self.parameters = {name: str(parameters.get(name, declared[name].get("Default"))) for name in declared}
        assert set(parameters) <= set(declared)
        self.resources = self._present(template["Resources"])
        self.outputs = {name: output["Value"] for name, output in self._present(template["Outputs"]).items()}

    def of_type(self, kind: str) -> dict[str, Any]:
        """The properties of all resources of a type, by logical id."""
        return {name: each.get("Properties", {}) for name, each in self.resources.items() if each["Type"] == kind}

    def properties(self, logical_id: str) -> Any:
        """The properties of one resource."""
        return self.resources[logical_id]["Properties"]

    def _present(self, section: Any) -> dict[str, Any]:
        return {
            name: self._resolved(each)
            for name, each in section.items()
            if "Condition" not in each or self._holds({"Condition": each["Condition"]})
        }

    def _holds(self, condition: Any) -> bool:
        if condition is True:
            return True
        ((function, argument),) = condition.items()
        match function:
            case "Condition":
                return self._holds(self.template["Conditions"][argument])
            case "Fn::Not":
                return not self._holds(argument[0])
            case "Fn::And":
                return all(self._holds(part) for part in argument)
            case "Fn::Or":
                return any(self._holds(part) for part in argument)
            case "Fn::Equals":
                return str(self._resolved(argument[0])) == str(self._resolved(argument[1]))
            case "Fn::Contains":
                return str(self._resolved(argument[1])) in self._resolved(argument[0])
            case _:
                raise ValueError(function)

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            each_resolved = [self._resolved(each) for each in cast(list[Any], value)]
            return [each for each in each_resolved if each is not NOTHING]
        if not isinstance(value, dict):
            return value
        mapping = cast(dict[str, Any], value)
        if len(mapping) == 1:
            ((function, argument),) = mapping.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._function(function, argument)
        resolved = {name: self._resolved(each) for name, each in mapping.items()}
        return {name: each for name, each in resolved.items() if each is not NOTHING}

    def _function(self, function: str, argument: Any) -> Any:
        match function:
            case "Ref":
                return NOTHING if argument == "AWS::NoValue" else self._named_value(argument)
            case "Fn::GetAtt":
                return f"<{argument[0]}.{argument[1]}>"
            case "Fn::If":
                return self._resolved(argument[1] if self._holds({"Condition": argument[0]}) else argument[2])
            case "Fn::Join":
                return argument[0].join(self._resolved(argument[1]))
            case "Fn::Split":
                return self._resolved(argument[1]).split(argument[0])
            case "Fn::Select":
                return self._resolved(argument[1])[int(argument[0])]
            case "Fn::FindInMap":
                name, first, second = self._resolved(argument)
                return self.template["Mappings"][name][first][second]
            case "Fn::Sub":
                if isinstance(argument, str):
                    return self._substituted(argument, {})
                return self._substituted(argument[0], self._resolved(argument[1]))
            case _:
                raise ValueError(function)

    def _substituted(self, text: str, values: dict[str, Any]) -> str:
        def one(match: re.Match[str]) -> str:
            name = match[1]
            return "${" + name[1:] + "}" if name.startswith("!") else str(values.get(name) or self._named_value(name))

        return re.sub(r"\$\{([^}]+)}", one, text)

    def _named_value(self, name: str) -> Any:
        if name in self.parameters:
            return self.parameters[name]
        if name == "AWS::StackId":
            return "arn:<Partition>:cloudformation:<Region>:<AccountId>:stack/<StackName>/<StackUuid>"
        logical_id = name.partition(".")[0]
        assert name.startswith("AWS::") or logical_id in self.template["Resources"], name
        return f"<{name.removeprefix('AWS::')}>"


class Stack(Resolved):
    """What a deploy of template.yaml makes with these parameters."""

    def __init__(self, **parameters: str) -> None:
        at_once = " atonce" if parameters.get("Traffic") == "atonce" else ""
        super().__init__(translations()[parameters.get("Environment", "staging") + at_once], parameters)

    def refused(self) -> list[str]:
        """The reasons why the template refuses these parameters."""
        malformed = [
            f"{name} is malformed"
            for name, value in self.parameters.items()
            if not re.search(self.template["Parameters"][name].get("AllowedPattern", ""), value)
        ]
        return malformed + [
            assertion["AssertDescription"]
            for rule in self.template["Rules"].values()
            if self._holds(rule.get("RuleCondition", True))
            for assertion in rule["Assertions"]
            if not self._holds(assertion["Assert"])
        ]

    def named(self, name: str) -> str:
        """The logical id of the function `navietakie-{name}-…`."""
        (found,) = (
            logical_id
            for logical_id, function in self.of_type("AWS::Lambda::Function").items()
            if function["FunctionName"] == f"navietakie-{name}-{self.parameters['Environment']}"
        )
        return found

    def variables(self, name: str) -> dict[str, str]:
        """The environment variables of a function."""
        return self.properties(self.named(name))["Environment"]["Variables"]

    def statements(self, name: str) -> list[Any]:
        """The statements of a function's role. Checks that the role has no other policies."""
        role = self.properties(self.named(name))["Role"].removesuffix(".Arn>").removeprefix("<")
        assert "ManagedPolicyArns" not in self.properties(role)
        return [
            statement
            for policy in self.properties(role)["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
        ]


def leaves(value: Any) -> list[Any]:
    """Every string and number inside a value."""
    if isinstance(value, dict):
        value = list(cast(dict[str, Any], value).values())
    if not isinstance(value, list):
        return [value]
    return [leaf for each in cast(list[Any], value) for leaf in leaves(each)]
