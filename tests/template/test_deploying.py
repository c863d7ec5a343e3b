"""The role that deploys, the boundary of what it may make, and the pipeline that uses it."""

import fnmatch
import json
import re
import subprocess
from typing import Any

import pytest
import yaml
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from tests.template.stack import FUNCTIONS, ROOT, Resolved, Stack, translations

BOUNDARY = "arn:aws:iam::123456789012:policy/navietakie-boundary-production"
TURN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:turn-AbCdEf"
PRODUCTION = {"Environment": "production", "PermissionsBoundaryArn": BOUNDARY, "TurnSecretArn": TURN}
PROXY = {
    **PRODUCTION,
    "BackendUrl": "http://10.0.0.1",
    "SubnetIds": "subnet-1",
    "SecurityGroupIds": "sg-1",
}
HOOK = "arn:aws:lambda:eu-central-1:123456789012:function:moderation"
EVERYTHING = {
    **PRODUCTION,
    "MessageEvents": "full",
    "MessageHookArn": HOOK,
    "WebAclArn": "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/navietakie/a1",
}
GROUPS = "arn:<Partition>:logs:<Region>:<AccountId>:log-group"
LOG_GROUPS = ("SendMessageLogs", "MakeCallLogs", "GetMessageLogs", "WebSocketLogs")
ARNS = {
    "MessagesTable.Arn": "arn:<Partition>:dynamodb:<Region>:<AccountId>:table/navietakie-messages-production",
    "ConnectionsTable.Arn": "arn:<Partition>:dynamodb:<Region>:<AccountId>:table/navietakie-connections-production",
    "CallsTable.Arn": "arn:<Partition>:dynamodb:<Region>:<AccountId>:table/navietakie-calls-production",
    "CallTimerQueue.Arn": "arn:<Partition>:sqs:<Region>:<AccountId>:navietakie-call-timers-production",
    "MessagesTable.StreamArn": "arn:<Partition>:dynamodb:<Region>:<AccountId>:"
    "table/navietakie-messages-production/stream/2026-11-20T08:00:00.000",
    "AttachmentsBucket.Arn": "arn:<Partition>:s3:::navietakie-production-attachmentsbucket-1a2b3c",
    "MessageEventsTopic": "arn:<Partition>:sns:<Region>:<AccountId>:navietakie-message-events-production",
    "MessageEventsDeadLetterQueue.Arn": "arn:<Partition>:sqs:<Region>:<AccountId>:"
    "navietakie-message-events-production-dlq",
    "EventsTopic": "arn:<Partition>:sns:<Region>:<AccountId>:navietakie-events-production",
    "TokenSecret.Id": "arn:<Partition>:secretsmanager:<Region>:<AccountId>:secret:navietakie-token-production-0-AbCdEf",
    "ProxySecret.Id": "arn:<Partition>:secretsmanager:<Region>:<AccountId>:secret:navietakie-proxy-production-0-AbCdEf",
    **{
        f"{group}.Arn": f"{GROUPS}:/aws/lambda/navietakie-{name}-production:*"
        for name, group in zip(FUNCTIONS, LOG_GROUPS, strict=True)
    },
}
"""What the template's attributes are once it is deployed."""
POLICIES = ("DeployPolicy", "DataPolicy", "OperatePolicy", "RolesPolicy")


def role(environment: str = "production") -> Resolved:
    arns = {"TurnSecretArn": TURN, "MessageHookArn": HOOK}
    parameters = {"Environment": environment, "Repository": "company/navietakie", **arns}
    return Resolved(translations()["deploy/role.yaml"], parameters)


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else value


def allows(policy: Any, action: str, resource: str) -> bool:
    """Whether a statement of the policy allows the action on the resource."""
    return any(
        statement["Effect"] == "Allow"
        and any(fnmatch.fnmatchcase(action, each) for each in listed(statement["Action"]))
        and any(fnmatch.fnmatchcase(resource, each) for each in listed(statement["Resource"]))
        for statement in policy["PolicyDocument"]["Statement"]
    )


def granted() -> set[str]:
    """Every action of the deploying role's."""
    return {
        action
        for name in POLICIES
        for statement in role().properties(name)["PolicyDocument"]["Statement"]
        for action in statement["Action"]
    }


@pytest.mark.parametrize("parameters", [PRODUCTION, PROXY, EVERYTHING])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_boundary_leaves_every_function_what_its_role_grants(name: str, parameters: dict[str, str]) -> None:
    boundary = role().properties("Boundary")
    for statement in Stack(**parameters).statements(name):
        if statement["Effect"] == "Allow":
            resource = re.sub(r"<(\w+(?:\.\w+)?)>", lambda match: ARNS.get(match[1], match[0]), statement["Resource"])
            assert all(allows(boundary, action, resource) for action in statement["Action"]), statement


def test_the_boundary_leaves_their_keys_to_the_services_that_encrypt_and_to_them_alone() -> None:
    boundary = role().properties("Boundary")
    (keys,) = (each for each in boundary["PolicyDocument"]["Statement"] if "kms:Decrypt" in each["Action"])
    assert keys["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    services = {f"{service}.<Region>.<URLSuffix>" for service in ("dynamodb", "secretsmanager", "sns")}
    assert set(keys["Condition"]["StringEquals"]["kms:ViaService"]) == services


def test_the_boundary_allows_nothing_that_makes_power() -> None:
    statements = role().properties("Boundary")["PolicyDocument"]["Statement"]
    assert [each["Resource"] for each in statements if "lambda:InvokeFunction" in each["Action"]] == [HOOK]
    actions = [each for statement in statements for each in statement["Action"] if each != "lambda:InvokeFunction"]
    assert not any(
        action.startswith(("iam:", "sts:", "lambda:", "cloudformation:")) or "*" in action for action in actions
    )


def test_roles_are_made_within_the_boundary_or_are_codedeploys() -> None:
    policy = role().properties("RolesPolicy")
    powerful = {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"}
    for statement in policy["PolicyDocument"]["Statement"]:
        (resource,) = listed(statement["Resource"])
        if statement["Action"] == ["iam:CreateServiceLinkedRole"]:
            continue  # a role of AWS's making, see below
        assert resource.startswith("arn:<Partition>:iam::<AccountId>:role/navietakie-production-")
        if not powerful & set(statement["Action"]):
            continue
        if statement.get("Condition") == {"StringEquals": {"iam:PermissionsBoundary": "<Boundary>"}}:
            continue
        assert resource.endswith("-CodeDeployServiceRole-*")
        only = {
            "ArnEquals": {"iam:PolicyARN": "arn:<Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambda"}
        }
        assert statement["Action"] == ["iam:CreateRole"] or statement["Condition"] == only


def test_the_deploying_role_cannot_read_or_delete_data_nor_change_itself() -> None:
    for name in POLICIES:
        policy = role().properties(name)
        table = ARNS["MessagesTable.Arn"]
        for verb in ("GetItem", "Query", "Scan", "PutItem", "DeleteItem", "DeleteTable"):
            assert not allows(policy, f"dynamodb:{verb}", table)
        for resource in ("role/navietakie-deploy-production", "policy/navietakie-boundary-production"):
            for action in ("iam:PutRolePolicy", "iam:CreatePolicyVersion", "iam:DeleteRolePermissionsBoundary"):
                assert not allows(policy, action, f"arn:<Partition>:iam::<AccountId>:{resource}")


def test_stagings_role_cannot_touch_production() -> None:
    arn = "arn:<Partition>:{}:<Region>:<AccountId>:{}"
    for action, resource in (
        ("lambda:UpdateFunctionCode", arn.format("lambda", "function:navietakie-send-message-production")),
        ("dynamodb:UpdateTable", ARNS["MessagesTable.Arn"]),
        ("cloudformation:ExecuteChangeSet", arn.format("cloudformation", "stack/navietakie-production/1")),
        ("sqs:SetQueueAttributes", ARNS["CallTimerQueue.Arn"]),
        ("secretsmanager:GetSecretValue", ARNS["TokenSecret.Id"]),
    ):
        assert not any(allows(role("staging").properties(name), action, resource) for name in POLICIES)
        assert any(allows(role().properties(name), action, resource) for name in POLICIES)


def test_the_deploying_role_knows_every_service_of_the_template() -> None:
    services = {
        "ApiGatewayV2": "apigateway",
        "DynamoDB": "dynamodb",
        "SecretsManager": "secretsmanager",
        "WAFv2": "wafv2",
    }
    needed = set[str]()
    for parameters in (PRODUCTION, PROXY, EVERYTHING):
        kinds = {each["Type"].split("::")[1] for each in Stack(**parameters).resources.values()}
        needed |= {services.get(kind, kind.lower()) for kind in kinds}
    assert needed <= {action.partition(":")[0] for action in granted()}


@pytest.mark.parametrize("parameters", [PRODUCTION, PROXY])
def test_the_deploying_role_may_read_all_that_cloudformation_reads_of_a_resource(parameters: dict[str, str]) -> None:
    """By the resource types' own schemas. Lambda's variables have no key of ours, so nothing is to be decrypted."""
    kinds = {each["Type"] for each in Stack(**parameters).resources.values()}
    schemas = [PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema for kind in kinds]
    reads = [schema["handlers"]["read"]["permissions"] for schema in schemas if "read" in schema["handlers"]]
    assert len(kinds) - len(reads) <= 2, "policies of a queue and of a topic"
    asked = {action.lower() for permissions in reads for action in permissions}
    assert asked - {action.lower() for action in granted()} == {"kms:decrypt"}


def test_the_deploying_role_may_take_away_every_tag_that_it_may_give() -> None:
    tagging = {action for action in granted() if ":Tag" in action}
    assert {"codedeploy:TagResource", "iam:TagRole", "secretsmanager:TagResource", "sqs:TagQueue"} <= tagging
    assert {action.replace(":Tag", ":Untag") for action in tagging} - granted() == set()


def test_the_deploying_role_may_change_what_it_made() -> None:
    topic = "arn:<Partition>:sns:<Region>:<AccountId>:navietakie-alarms-production"
    assert allows(role().properties("DataPolicy"), "sns:SetSubscriptionAttributes", f"{topic}:1")
    made = "arn:<Partition>:iam::<AccountId>:role/navietakie-production-MakeCallRole-1"
    for action in ("UpdateAssumeRolePolicy", "UpdateRole", "UpdateRoleDescription"):
        assert allows(role().properties("RolesPolicy"), f"iam:{action}", made)


def test_the_first_own_domain_of_an_account_may_make_api_gateways_own_role() -> None:
    (statement,) = (
        each
        for each in role().properties("RolesPolicy")["PolicyDocument"]["Statement"]
        if "iam:CreateServiceLinkedRole" in each["Action"]
    )
    assert statement["Resource"].endswith(":role/aws-service-role/ops.apigateway.amazonaws.com/*")
    assert statement["Condition"] == {"StringEquals": {"iam:AWSServiceName": "ops.apigateway.amazonaws.com"}}


def test_the_deploying_role_may_look_at_the_network_that_a_function_goes_into() -> None:
    """Lambda looks as whoever deploys; CloudFormation does when it waits for a deleted function's interfaces."""
    for what in ("NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs"):
        assert allows(role().properties("OperatePolicy"), f"ec2:Describe{what}", "*")


def test_only_the_repositorys_environment_of_that_name_gets_the_role() -> None:
    (statement,) = role().properties("DeployRole")["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"]["StringEquals"] == {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": "repo:company/navietakie:environment:production",
    }


def test_the_pipeline_deploys_what_was_tested_and_holds_no_key() -> None:
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text()
    assert "secrets." not in text
    jobs = yaml.safe_load(text)["jobs"]
    assert (jobs["staging"]["needs"], jobs["production"]["needs"]) == ("test", "staging")
    assert "permissions" not in jobs["test"]
    for name in ("staging", "production"):
        assert jobs[name]["environment"] == name
        assert jobs[name]["permissions"] == {"contents": "read", "id-token": "write"}
        commands = [step["run"] for step in jobs[name]["steps"] if "run" in step]
        assert [command.split()[:3] for command in commands] == [
            ["make", what, f"ENV={name}"] for what in ("deploy", "smoke")
        ]


def test_a_deployment_waits_for_its_predecessor_and_for_no_other_environments_reviewer() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yml").read_text())
    assert "concurrency" not in workflow
    groups = {name: job["concurrency"]["group"] for name, job in workflow["jobs"].items()}
    assert groups == {"test": "test-${{ github.ref }}", "staging": "deploy-staging", "production": "deploy-production"}
    for name in ("staging", "production"):
        assert workflow["jobs"][name]["concurrency"]["cancel-in-progress"] is False


def test_policies_fit_into_what_iam_takes() -> None:
    for policy in role().of_type("AWS::IAM::ManagedPolicy").values():
        text = json.dumps(policy["PolicyDocument"], separators=(",", ":"))
        for placeholder, value in (("<Partition>", "aws"), ("<Region>", "ap-southeast-1"), ("<AccountId>", "1" * 12)):
            text = text.replace(placeholder, value)
        assert len(text) <= 6_144


def test_cfn_lint_has_nothing_to_say_of_the_role() -> None:
    lint = [str(ROOT / ".venv" / "bin" / "cfn-lint"), "--", str(ROOT / "deploy" / "role.yaml")]
    done = subprocess.run(lint, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)
