"""Prints template.yaml as SAM translates it, for each case that SAM distinguishes, and deploy/role.yaml as it is.

The Python of the tools runs it, because only that one has SAM.
"""

# pyright: basic, reportMissingImports=false
import copy
import json
import logging
from typing import Any

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

logging.disable(logging.CRITICAL)


class NoManagedPolicies:
    """No managed policies: the template names none."""

    def load(self) -> dict[str, str]:
        return {}


def translated(template: dict[str, Any], **parameters: str) -> dict[str, Any]:
    """The template after SAM's transform, as if `sam package` had uploaded the code."""
    template = copy.deepcopy(template)
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/code"
    template["Resources"]["SharedLayer"]["Properties"]["ContentUri"] = "s3://bucket/layer"
    return transform(template, parameters, NoManagedPolicies())


def parsed(path: str) -> dict[str, Any]:
    """A template with the long forms of its intrinsic functions."""
    with open(path) as file:
        return yaml_parse(file.read())


template = parsed("template.yaml")
templates = {name: translated(template, Environment=name) for name in ("local", "staging", "production")}
templates["production atonce"] = translated(template, Environment="production", Traffic="atonce")
print(json.dumps({**templates, "deploy/role.yaml": parsed("deploy/role.yaml")}))
