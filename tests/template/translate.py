"""Prints template.yaml as SAM translates it, once for each environment. Run by the tools' Python: SAM is only there."""

# pyright: basic, reportMissingImports=false
import copy
import json
import logging
import sys
from typing import Any

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

logging.disable(logging.CRITICAL)


class NoManagedPolicies:
    """The template names none."""

    def load(self) -> dict[str, str]:
        return {}


def translated(template: dict[str, Any], environment: str) -> dict[str, Any]:
    """The template after SAM's transform, as if `sam package` had uploaded the code."""
    template = copy.deepcopy(template)
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/code"
    template["Resources"]["SharedLayer"]["Properties"]["ContentUri"] = "s3://bucket/layer"
    return transform(template, {"Environment": environment}, NoManagedPolicies())


with open(sys.argv[1]) as file:
    parsed = yaml_parse(file.read())
print(json.dumps({environment: translated(parsed, environment) for environment in ("local", "staging", "production")}))
