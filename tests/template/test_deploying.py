"""The role that deploys, the permissions boundary of the roles that it makes, and the pipeline that uses it."""

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
"""The values of the template's attributes after a deploy."""
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
    """Every action of the deploying role."""
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


def test_the_boundary_allows_keys_only_through_the_services_that_encrypt() -> None:
    boundary = role().properties("Boundary")
    (keys,) = (each for each in boundary["PolicyDocument"]["Statement"] if "kms:Decrypt" in each["Action"])
    assert keys["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    services = {f"{service}.<Region>.<URLSuffix>" for service in ("dynamodb", "secretsmanager", "sns")}
    assert set(keys["Condition"]["StringEquals"]["kms:ViaService"]) == services


def test_the_boundary_allows_nothing_that_grants_rights() -> None:
    statements = role().properties("Boundary")["PolicyDocument"]["Statement"]
    assert [each["Resource"] for each in statements if "lambda:InvokeFunction" in each["Action"]] == [HOOK]
    harmless = {
        "lambda:InvokeFunction",
        "lambda:GetAlias",
        "lambda:GetProvisionedConcurrencyConfig",
        "lambda:UpdateAlias",
    }
    actions = [each for statement in statements for each in statement["Action"] if each not in harmless]
    assert not any(
        action.startswith(("iam:", "sts:", "lambda:", "cloudformation:")) or "*" in action for action in actions
    )


def test_every_role_is_made_within_the_boundary() -> None:
    policy = role().properties("RolesPolicy")
    powerful = {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"}
    for statement in policy["PolicyDocument"]["Statement"]:
        (resource,) = listed(statement["Resource"])
        if statement["Action"] == ["iam:CreateServiceLinkedRole"]:
            continue  # AWS makes this role, see below
        assert resource == "arn:<Partition>:iam::<AccountId>:role/navietakie-production-*"
        if powerful & set(statement["Action"]):
            assert statement["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": "<Boundary>"}}


def test_the_boundary_leaves_codedeploy_what_its_role_grants() -> None:
    (policy,) = Stack(**PRODUCTION).properties("CodeDeployRole")["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        for action in statement["Action"]:
            assert allows(
                role().properties("Boundary"), action, statement["Resource"].replace("production*", "production:live")
            )


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


ARN = "arn:<Partition>:{}:<Region>:<AccountId>:{}"
API = "arn:<Partition>:apigateway:<Region>::"
FUNCTION = ARN.format("lambda", "function:navietakie-send-message-production")
ROLE = "arn:<Partition>:iam::<AccountId>:role/navietakie-production-SendMessageRole-1"
MADE: dict[str, tuple[str, ...]] = {
    "AWS::ApiGateway::": (
        *(f"{API}/account", f"{API}/restapis", f"{API}/restapis/a1", f"{API}/restapis/a1/stages/production"),
        *(f"{API}/domainnames", f"{API}/domainnames/api.example.com/basepathmappings"),
    ),
    "AWS::ApiGatewayV2::": (
        *(f"{API}/apis", f"{API}/apis/b2", f"{API}/apis/b2/stages/production"),
        *(f"{API}/domainnames", f"{API}/domainnames/ws.example.com/apimappings"),
    ),
    "AWS::CloudWatch::Alarm": (ARN.format("cloudwatch", "alarm:navietakie-production-RestErrorsAlarm-1"),),
    "AWS::CloudWatch::Dashboard": ("arn:<Partition>:cloudwatch::<AccountId>:dashboard/navietakie-production",),
    "AWS::CodeDeploy::": (
        ARN.format("codedeploy", "application:navietakie-production-ServerlessDeploymentApplication-1"),
        ARN.format("codedeploy", "deploymentgroup:navietakie-production-ServerlessDeploymentApplication-1/send"),
    ),
    "AWS::DynamoDB::Table": (ARNS["MessagesTable.Arn"],),
    "AWS::IAM::Role": (ROLE,),
    "AWS::Lambda::EventSourceMapping": (ARN.format("lambda", "event-source-mapping:0f1e"),),
    "AWS::Lambda::LayerVersion": (
        *(ARN.format("lambda", f"layer:navietakie-shared-production{version}") for version in ("", ":1")),
    ),
    "AWS::Lambda::": (FUNCTION, f"{FUNCTION}:live"),
    "AWS::Logs::LogGroup": (f"{GROUPS}:/aws/lambda/navietakie-websocket-production:log-stream:",),
    "AWS::Logs::QueryDefinition": ("*",),
    "AWS::S3::": (ARNS["AttachmentsBucket.Arn"],),
    "AWS::SNS::": (ARNS["EventsTopic"], f"{ARN.format('sns', 'navietakie-alarms-production')}:1"),
    "AWS::SQS::": (ARNS["CallTimerQueue.Arn"],),
    "AWS::SecretsManager::Secret": (ARNS["TokenSecret.Id"],),
    "AWS::WAFv2::": (ARN.format("wafv2", "regional/webacl/navietakie/a1"),),
}
"""The ARNs of a type's resources, by the first entry with which the type begins."""
SCHEMA_OF_SERVICE = {"apigatewayv2": "apigateway"}
LEFT_OUT: dict[str, set[str]] = {
    "it deletes no data: a table goes by an administrator's hand": {"dynamodb:DeleteTable"},
    "it reads and writes no data: CloudFormation would for imports and for replicas in other regions": {
        *(f"dynamodb:{verb}" for verb in ("GetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem")),
        *("dynamodb:BatchWriteItem", "dynamodb:ImportTable", "dynamodb:DescribeImport"),
        *("dynamodb:CreateTableReplica", "dynamodb:AssociateTableReplica"),
        *("s3:DeleteObject", "s3:PutObjectAcl", "s3:GetObjectMetadata", "s3:GetObjectVersion"),
    },
    "a role stays within the boundary": {"iam:DeleteRolePermissionsBoundary"},
    "the template sets no such property of a table": {
        *("dynamodb:PutResourcePolicy", "dynamodb:DeleteResourcePolicy", "dynamodb:UpdateContributorInsights"),
        *(f"dynamodb:{verb}KinesisStreamingDestination" for verb in ("Enable", "Disable", "Update")),
        *("kinesis:DescribeStream", "kinesis:PutRecords"),
    },
    "the template sets no such property of a function": {
        *(f"lambda:{verb}" for verb in ("PutFunctionCodeSigningConfig", "DeleteFunctionCodeSigningConfig")),
        *("lambda:GetCodeSigningConfig", "lambda:PutRuntimeManagementConfig", "lambda:PutFunctionRecursionConfig"),
        *("lambda:PutFunctionScalingConfig", "lambda:PassCapacityProvider", "lambda:AssociateRuntimeAlias"),
        *("lambda:PutProvisionedConcurrencyConfig", "lambda:DeleteProvisionedConcurrencyConfig"),
        *("elasticfilesystem:DescribeMountTargets", "s3files:ListMountTargets"),
    },
    "the template sets no such property of an API or a domain: a policy, or certificates of clients": {
        *("apigateway:UpdateRestApiPolicy", "apigateway:AddCertificateToDomain"),
        "apigateway:RemoveCertificateFromDomain",
    },
    "the template sets no such property of a log group or topic": {
        *(f"logs:{verb}" for verb in ("AssociateKmsKey", "DisassociateKmsKey", "CreateLogDelivery", "CreateLogStream")),
        *(f"logs:{verb}DataProtectionPolicy" for verb in ("Put", "Delete")),
        *(
            f"logs:{verb}"
            for verb in ("PutResourcePolicy", "DeleteResourcePolicy", "PutIndexPolicy", "DeleteIndexPolicy")
        ),
        *("logs:PutLogGroupDeletionProtection", "logs:PutBearerTokenAuthentication"),
        *("logs:DescribeLogStreams", "logs:PutLogEvents", "s3:REST.PUT.OBJECT", "firehose:TagDeliveryStream"),
        "sns:PutDataProtectionPolicy",
    },
    "the template sets no such property of a bucket": {
        *("s3:PutBucketAcl", "s3:PutBucketAbac", "s3:PutBucketLogging", "s3:PutBucketNotification"),
        "s3:PutBucketVersioning",
        *("s3:PutBucketReplication", "s3:PutReplicationConfiguration", "s3:DeleteBucketReplication"),
        *("s3:PutBucketWebsite", "s3:DeleteBucketWebsite", "s3:PutAccelerateConfiguration"),
        *("s3:PutAnalyticsConfiguration", "s3:DeleteBucketAnalyticsConfiguration", "s3:PutInventoryConfiguration"),
        *("s3:PutMetricsConfiguration", "s3:DeleteBucketMetricsConfiguration", "s3:PutIntelligentTieringConfiguration"),
        *("s3:PutBucketObjectLockConfiguration", "s3:PutObjectLockConfiguration"),
        *(f"s3:{verb}BucketMetadataTableConfiguration" for verb in ("Create", "Delete")),
        *(f"s3:UpdateBucketMetadata{kind}TableConfiguration" for kind in ("Journal", "Inventory", "Annotation")),
        *(f"s3tables:{verb}" for verb in ("CreateNamespace", "CreateTable", "CreateTableBucket", "GetTable")),
        *(f"s3tables:{verb}" for verb in ("PutTableBucketPolicy", "PutTableEncryption", "PutTablePolicy")),
        *("s3tables:GetTableMetadataLocation", "s3tables:UpdateTableMetadataLocation"),
    },
    "the names of these are CloudFormation's own, and no action of S3's": {
        *("s3:DeleteBucketCors", "s3:DeleteBucketEncryption", "s3:DeleteBucketLifecycle"),
    },
    "secrets have no replicas in other regions": {
        *("secretsmanager:ReplicateSecretToRegions", "secretsmanager:RemoveRegionsFromReplication"),
    },
    "no resource has a key of ours": {
        *(f"kms:{verb}" for verb in ("CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey")),
        *("kms:ListAliases", "kms:RevokeGrant"),
    },
    "functions are deployed to no machines": {"codedeploy:RegisterOnPremisesInstance"},
    "a web ACL guards the REST API, and nothing of other services": {
        *(f"elasticloadbalancing:{verb}WebACLAssociation" for verb in ("Create", "Delete")),
        *("elasticloadbalancing:GetLoadBalancerWebACL", "elasticloadbalancing:SetWebACL", "appsync:SetWebACL"),
        *(
            f"{service}:{verb}WebACL"
            for service in ("appsync", "cognito-idp")
            for verb in ("Associate", "Disassociate")
        ),
        *("appsync:GetWebACLForResource", "cognito-idp:GetWebACLForResource", "amplify:GetWebACLForResource"),
        *("amplify:AssociateWebACL", "amplify:DisassociateWebACL"),
        *("apprunner:AssociateWebAcl", "apprunner:DisassociateWebAcl", "apprunner:DescribeWebAclForService"),
        *(f"ec2:{verb}VerifiedAccessInstanceWebAcl" for verb in ("Associate", "Disassociate", "Get")),
        "ec2:DescribeVerifiedAccessInstanceWebAclAssociations",
        *(f"bedrock-agentcore:Gateway{verb}WebACL" for verb in ("Associate", "Disassociate")),
        "bedrock-agentcore:GatewayGetWebACLForResource",
        *("wafv2:PutPermissionPolicy", "wafv2:GetPermissionPolicy"),
    },
}
"""The actions that CloudFormation's handlers may use and the role does not have, and why."""


def granted_for(kind: str, action: str) -> bool:
    """Whether the role has an action that CloudFormation needs to handle a resource of a type.

    An action of the type's own service has to be allowed on resources of the type.
    """
    service = kind.split("::")[1].lower()
    if action.partition(":")[0] != SCHEMA_OF_SERVICE.get(service, service):
        return action.lower() in {each.lower() for each in granted()}
    arns = next(arns for prefix, arns in MADE.items() if kind.startswith(prefix))
    return any(allows(role().properties(name), action, arn) for name in POLICIES for arn in (*arns, "*"))


def test_the_deploying_role_has_all_that_cloudformation_asks_for_but_what_is_left_out_for_a_reason() -> None:
    """The schemas of the resource types name the actions with which handlers create, read, update and delete."""
    domains = {
        "RestDomainName": "api.example.com",
        "RestCertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/1",
        "WebSocketDomainName": "ws.example.com",
        "WebSocketCertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/1",
        "AlarmEmail": "ops@example.com",
    }
    stacks = [Stack(**parameters) for parameters in (PROXY, {**EVERYTHING, **domains})]
    kinds = {each["Type"] for stack in stacks for each in stack.resources.values()}
    missing, unread = set[str](), set[str]()
    for kind in kinds:
        handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
        unread |= {kind} - ({kind} if "read" in handlers else set())
        used = [handlers[verb] for verb in ("create", "read", "update", "delete") if verb in handlers]
        asked = {action for handler in used for action in handler["permissions"]}
        missing |= {action for action in asked if not granted_for(kind, action)}
    assert unread == {"AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy"}
    assert missing == set[str]().union(*LEFT_OUT.values())


def test_the_deploying_role_touches_only_the_code_of_its_own_environment() -> None:
    """If the bucket were shared, staging's pipeline could change what production deploys."""
    buckets = {
        resource
        for name in POLICIES
        for statement in role().properties(name)["PolicyDocument"]["Statement"]
        for resource in listed(statement["Resource"])
        if ":s3:" in resource or "Artifacts" in resource
    }
    assert buckets == {
        *("<Artifacts.Arn>", "<Artifacts.Arn>/*"),
        "arn:<Partition>:s3:::navietakie-production-attachmentsbucket-*",
    }
    artifacts = role().properties("Artifacts")
    assert set(artifacts["PublicAccessBlockConfiguration"].values()) == {True}
    assert artifacts["VersioningConfiguration"] == {"Status": "Enabled"}
    assert role().properties("ArtifactsPolicy")["PolicyDocument"]["Statement"][0]["Effect"] == "Deny"


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
    """Lambda looks at the network with the deploying role, and CloudFormation does while it waits for interfaces."""
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
        steps = [step for step in jobs[name]["steps"] if "run" in step]
        made = [step["run"] for step in steps if step["run"].startswith("make ")]
        assert [command.split()[:3] for command in made] == [
            ["make", what, f"ENV={name}"] for what in ("deploy", "smoke")
        ]
        assert steps[0]["env"] == {"ARTIFACTS_BUCKET": "${{ vars.ARTIFACTS_BUCKET }}"}
    (protected,) = (step["run"] for step in jobs["production"]["steps"] if "termination" in step.get("run", ""))
    assert protected.endswith("--enable-termination-protection --stack-name navietakie-production")


def test_actions_of_others_are_pinned_to_a_commit() -> None:
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text()
    used = re.findall(r"uses: (.*)", text)
    assert len(used) >= 5
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


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


def test_cfn_lint_finds_nothing_in_the_role() -> None:
    lint = [str(ROOT / ".venv" / "bin" / "cfn-lint"), "--", str(ROOT / "deploy" / "role.yaml")]
    done = subprocess.run(lint, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)
