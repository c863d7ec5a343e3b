"""The translated and resolved template: names, routes, roles, rules, logs and alarms."""

import ast
import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from navietakie.aws.tables import dynamo
from navietakie.doors import serve
from navietakie.wire import connections_api
from tests.template.stack import FUNCTIONS, REST_ROUTES, ROOT, SOCKET_ROUTES, Stack, leaves
from websocket import proxy

LOCAL = {
    "Environment": "local",
    "AuthMode": "none",
    "AllowedOrigins": "*",
    "WebSocketEndpoint": "http://127.0.0.1:4566/_aws/execute-api",
}
ORIGINS = "https://app.example.com,http://localhost:5173,capacitor://localhost"
STAGING = {"Environment": "staging", "AllowedOrigins": ORIGINS}
PRODUCTION = {"Environment": "production", "AllowedOrigins": ORIGINS, "AlarmEmail": "ops@example.com"}
PROXY = {**STAGING, "BackendUrl": "https://backend.example.com"}
IN_VPC = {**PROXY, "SubnetIds": "subnet-1,subnet-2", "SecurityGroupIds": "sg-1"}
TURN = {**STAGING, "TurnSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:turn-AbCdEf"}
CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
HOOK = {**STAGING, "MessageHookArn": "arn:aws:lambda:eu-central-1:123456789012:function:moderation:live"}
EVENTED = {**PRODUCTION, "MessageEvents": "full"}
STACKS = (LOCAL, STAGING, PRODUCTION, PROXY, IN_VPC, TURN, HOOK, EVENTED)


def permissions(stack: Stack) -> dict[tuple[str, str], str]:
    """Who may call a function: (function, source) → principal."""
    return {
        (each["FunctionName"], each["SourceArn"]): each["Principal"]
        for each in stack.of_type("AWS::Lambda::Permission").values()
    }


def called(uri: str) -> str:
    """The alias that an integration calls."""
    (alias,) = re.findall(r"functions/(<\w+>)/invocations$", uri)
    return alias


def alias(stack: Stack, name: str) -> str:
    return f"<{stack.named(name)}Aliaslive>"


# --- names and keys --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [LOCAL, STAGING, PRODUCTION])
def test_resources_have_the_names_of_the_contract(parameters: dict[str, str]) -> None:
    stack, environment = Stack(**parameters), parameters["Environment"]
    named = {
        "Lambda::Function": ("FunctionName", FUNCTIONS),
        "DynamoDB::Table": ("TableName", ("messages", "connections", "calls")),
        "ApiGateway::RestApi": ("Name", ("api",)),
        "ApiGatewayV2::Api": ("Name", ("websocket",)),
        "SNS::Topic": ("TopicName", ("events",) if environment == "local" else ("events", "alarms")),
    }
    for kind, (attribute, names) in named.items():
        found = {each[attribute] for each in stack.of_type(f"AWS::{kind}").values()}
        assert found == {f"navietakie-{name}-{environment}" for name in names}
    assert {each["QueueName"] for each in stack.of_type("AWS::SQS::Queue").values()} == {
        f"navietakie-call-timers-{environment}",
        f"navietakie-call-timers-{environment}-dlq",
    }


def test_no_update_can_replace_a_table() -> None:
    """CloudFormation replaces a table whose name or keys change. Its data would be lost."""
    tables = Stack(**PRODUCTION).of_type("AWS::DynamoDB::Table")
    frozen = {
        name: [table[key] for key in ("TableName", "KeySchema", "AttributeDefinitions")]
        for name, table in tables.items()
    }
    in_booking = [
        [{"AttributeName": "booking_code", "KeyType": "HASH"}, {"AttributeName": "timestamp", "KeyType": "RANGE"}],
        [{"AttributeName": "booking_code", "AttributeType": "S"}, {"AttributeName": "timestamp", "AttributeType": "S"}],
    ]
    assert frozen == {
        "MessagesTable": ["navietakie-messages-production", *in_booking],
        "CallsTable": ["navietakie-calls-production", *in_booking],
        "ConnectionsTable": [
            "navietakie-connections-production",
            [{"AttributeName": "connection_id", "KeyType": "HASH"}],
            [
                {"AttributeName": "connection_id", "AttributeType": "S"},
                {"AttributeName": "booking_code", "AttributeType": "S"},
            ],
        ],
    }
    assert tables["ConnectionsTable"]["GlobalSecondaryIndexes"] == [
        {
            "IndexName": "booking_code-index",
            "KeySchema": [{"AttributeName": "booking_code", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ]
    assert all("LocalSecondaryIndexes" not in table for table in tables.values())


@pytest.mark.parametrize(("parameters", "protected"), [(LOCAL, False), (STAGING, False), (PRODUCTION, True)])
def test_tables_have_a_ttl_encryption_on_demand_billing_and_protection_in_production(
    parameters: dict[str, str], protected: bool
) -> None:
    stack = Stack(**parameters)
    for name, table in stack.of_type("AWS::DynamoDB::Table").items():
        assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
        assert table["SSESpecification"] == {"SSEEnabled": True}
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": protected}
        assert table["DeletionProtectionEnabled"] is protected
        assert stack.resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert stack.resources[name]["UpdateReplacePolicy"] == "Retain"


# --- routes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [LOCAL, PRODUCTION, PROXY])
def test_rest_routes_and_their_preflights_go_to_the_function_of_the_contract(parameters: dict[str, str]) -> None:
    stack = Stack(**parameters)
    routes = {
        f"{method.upper()} {path}": called(operation["x-amazon-apigateway-integration"]["uri"])
        for path, methods in stack.properties("RestApi")["Body"]["paths"].items()
        for method, operation in methods.items()
    }
    expected = {route: alias(stack, name) for route, name in REST_ROUTES.items()}
    preflights = {f"OPTIONS {route.split()[1]}": to for route, to in expected.items()}
    assert routes == expected | preflights
    for route, to in routes.items():
        source = f"arn:aws:execute-api:<Region>:<AccountId>:<RestApi>/*/{route.replace(' ', '', 1)}"
        assert permissions(stack)[to, source] == "apigateway.amazonaws.com"


@pytest.mark.parametrize("parameters", [LOCAL, PRODUCTION, PROXY])
def test_websocket_routes_go_to_the_function_of_the_contract_and_to_websocket_in_proxy_mode(
    parameters: dict[str, str],
) -> None:
    stack = Stack(**parameters)
    routes = {
        route["RouteKey"]: called(
            stack.properties(route["Target"].removeprefix("integrations/").strip("<>"))["IntegrationUri"]
        )
        for route in stack.of_type("AWS::ApiGatewayV2::Route").values()
    }
    proxied = "BackendUrl" in parameters
    assert routes == {route: alias(stack, "websocket" if proxied else name) for route, name in SOCKET_ROUTES.items()}
    for route, to in routes.items():
        stage = f"<WebSocketApi.ApiId>/{parameters['Environment']}"
        source = f"arn:<Partition>:execute-api:<Region>:<AccountId>:{stage}/{route}"
        assert permissions(stack)[to, source] == "apigateway.amazonaws.com"
    api = stack.properties("WebSocketApi")
    assert (api["ProtocolType"], api["RouteSelectionExpression"]) == ("WEBSOCKET", "$request.body.action")


def test_nobody_but_the_two_apis_may_call_a_function() -> None:
    stack = Stack(**PRODUCTION)
    assert len(permissions(stack)) == 2 * len(REST_ROUTES) + len(SOCKET_ROUTES)


def test_both_stages_are_named_after_the_environment_and_throttled() -> None:
    stack = Stack(**STAGING, ApiThrottleRate="7", ApiThrottleBurst="9")
    (rest,), (websocket,) = (
        stack.of_type(kind).values() for kind in ("AWS::ApiGateway::Stage", "AWS::ApiGatewayV2::Stage")
    )
    assert rest["StageName"] == websocket["StageName"] == "staging"
    (methods,) = rest["MethodSettings"]
    assert (methods["HttpMethod"], methods["ResourcePath"]) == ("*", "/*")
    for settings in (methods, websocket["DefaultRouteSettings"]):
        assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == ("7", "9")
    assert rest["TracingEnabled"] is True


def test_api_gateways_own_errors_look_like_ours() -> None:
    stack = Stack(**STAGING)
    responses = stack.properties("RestApi")["Body"]["x-amazon-apigateway-gateway-responses"]
    said: dict[str, tuple[str, str]] = {}
    for kind, response in responses.items():
        template = response["responseTemplates"]["application/json"]
        assert re.findall(r"\$[\w.]+", template) == ["$context.requestId"], "API Gateway's words may hold a token"
        error = json.loads(template)["error"]
        assert set(error) == {"code", "message", "details", "request_id"}
        assert error["request_id"] == "$context.requestId"
        headers = {
            name.removeprefix("gatewayresponse.header."): it for name, it in response["responseParameters"].items()
        }
        assert headers["Access-Control-Allow-Origin"] == "'https://app.example.com'"
        assert headers["x-request-id"] == "context.requestId"
        assert headers["Strict-Transport-Security"] == "'max-age=63072000'"
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("'no-store'", "'nosniff'")
        assert headers["X-Content-Type-Options"] == "'nosniff'"
        assert headers["Strict-Transport-Security"].startswith("'max-age=")
        said[kind] = (response["statusCode"], error["code"])
        assert ("Retry-After" in headers) == (error["code"] in ("rate_limited", "unavailable"))
    assert said == {
        "DEFAULT_4XX": ("400", "invalid_request"),
        "DEFAULT_5XX": ("500", "internal"),
        "INTEGRATION_FAILURE": ("503", "unavailable"),
        "INTEGRATION_TIMEOUT": ("504", "unavailable"),
        "MISSING_AUTHENTICATION_TOKEN": ("404", "not_found"),
        "INVALID_SIGNATURE": ("404", "not_found"),
        "EXPIRED_TOKEN": ("404", "not_found"),
        "RESOURCE_NOT_FOUND": ("404", "not_found"),
        "ACCESS_DENIED": ("403", "forbidden"),
        "REQUEST_TOO_LARGE": ("413", "too_large"),
        "WAF_FILTERED": ("403", "forbidden"),
        "THROTTLED": ("429", "rate_limited"),
    }


def test_without_allowed_origins_api_gateways_errors_name_none() -> None:
    body = Stack(Environment="staging").properties("RestApi")["Body"]
    for response in body["x-amazon-apigateway-gateway-responses"].values():
        assert "gatewayresponse.header.Access-Control-Allow-Origin" not in response["responseParameters"]


def test_access_logs_hold_no_query_string_and_no_header() -> None:
    stack = Stack(**PRODUCTION)
    (rest,) = stack.of_type("AWS::ApiGateway::Stage").values()
    (websocket,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    for logged in (rest["AccessLogSetting"], websocket["AccessLogSettings"]):
        line = json.loads(logged["Format"])
        assert "\n" not in logged["Format"]
        assert set(line.values()) <= {
            *("$context.requestId", "$context.requestTime", "$context.identity.sourceIp", "$context.status"),
            *("$context.httpMethod", "$context.resourcePath", "$context.responseLength", "$context.responseLatency"),
            *("$context.connectionId", "$context.eventType", "$context.routeKey", "$context.integrationLatency"),
            *("$context.error.responseType", "$context.xrayTraceId", "$context.integrationErrorMessage"),
        }
    off = Stack(**STAGING, AccessLogs="false")
    assert "AccessLogSetting" not in next(iter(off.of_type("AWS::ApiGateway::Stage").values()))
    assert not off.of_type("AWS::ApiGateway::Account")


def test_access_logs_wait_for_the_accounts_role_where_the_stack_makes_it() -> None:
    stack, without = Stack(**STAGING), Stack(**STAGING, ApiGatewayLogRole="false")
    (rest,) = stack.of_type("AWS::ApiGateway::Stage").values()
    (websocket,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    for logged in (rest["AccessLogSetting"], websocket["AccessLogSettings"]):
        group = logged["DestinationArn"].removeprefix("<").removesuffix(".Arn>")
        assert stack.resources[group]["Metadata"] == {"After": "<ApiGatewayAccount>"}
        assert without.resources[group]["Metadata"] == {}
    assert stack.resources["ApiGatewayAccount"]["DeletionPolicy"] == "Retain"
    assert not without.of_type("AWS::ApiGateway::Account")


@pytest.mark.parametrize("parameters", [*STACKS, {**STAGING, "ApiGatewayLogRole": "false"}])
def test_every_tag_is_one_that_every_service_takes(parameters: dict[str, str]) -> None:
    """Letters, digits, spaces and `_.:/=+-@`, which CloudWatch Logs and most other services accept."""
    stack = Stack(**parameters)
    tags = [each["Properties"]["Tags"] for each in stack.resources.values() if "Tags" in each.get("Properties", {})]
    said = {leaf.strip("<>") for leaf in leaves(tags)}
    assert "SAM" in said
    assert [each for each in said if not re.fullmatch(r"[\w .:/=+\-@]*", each)] == []


# --- roles -----------------------------------------------------------------------------------------------------------

CONNECTIONS = "arn:<Partition>:execute-api:<Region>:<AccountId>:<WebSocketApi>/staging/{}/@connections/*"
POST, CLOSE = (CONNECTIONS.format(verb) for verb in ("POST", "DELETE"))
FETCHING = {
    "<CallTimerQueue.Arn>": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
    "<MessagesTable.StreamArn>": {
        *("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"),
    },
}
"""The actions with which Lambda fetches events for a function, by the function's role."""
LOGS = {
    "send-message": "<SendMessageLogs.Arn>",
    "make-call": "<MakeCallLogs.Arn>",
    "get-message": "<GetMessageLogs.Arn>",
    "websocket": "<WebSocketLogs.Arn>",
}


def grants(stack: Stack, name: str) -> dict[str, set[str]]:
    """What a function's role allows, without log and traces, which are the same in every role."""
    allowed: defaultdict[str, set[str]] = defaultdict(set)
    for statement in stack.statements(name):
        if statement["Effect"] == "Allow":
            assert isinstance(statement["Resource"], str), "one resource a statement"
            assert len({action.partition(":")[0] for action in statement["Action"]}) == 1
            allowed[statement["Resource"]] |= set(statement["Action"])
    assert allowed.pop(LOGS[name]) == {"logs:CreateLogStream", "logs:PutLogEvents"}
    rest = allowed.pop("*")
    assert {"xray:PutTraceSegments", "xray:PutTelemetryRecords"} <= rest
    if interfaces := rest - {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}:
        allowed["*"] = interfaces
    return dict(allowed)


def plain() -> dict[str, dict[str, set[str]]]:
    """What the roles allow if nothing is switched on. `tests/policies` compares it with what the functions ask for."""
    stack = Stack(**STAGING)
    return {name: grants(stack, name) for name in FUNCTIONS}


def added(stack: Stack) -> dict[str, dict[str, set[str]]]:
    """What the roles of `stack` allow in addition to `plain`. Checks that they allow nothing less."""
    found: dict[str, dict[str, set[str]]] = {}
    for name, before in plain().items():
        now = grants(stack, name)
        assert all(actions <= now.get(resource, set()) for resource, actions in before.items())
        more = {resource: actions - before.get(resource, set()) for resource, actions in now.items()}
        found |= {name: kept} if (kept := {resource: actions for resource, actions in more.items() if actions}) else {}
    return found


def test_every_function_may_post_to_and_close_connections_only_at_its_own_stage() -> None:
    for name, allowed in plain().items():
        assert {resource for resource in allowed if ":execute-api:" in resource} == {POST, CLOSE}, name


def test_only_make_call_may_fetch_timers() -> None:
    allowed = plain()
    assert allowed["make-call"]["<CallTimerQueue.Arn>"] >= FETCHING["<CallTimerQueue.Arn>"]
    others = {action for name in FUNCTIONS if name != "make-call" for each in allowed[name].values() for action in each}
    assert not others & FETCHING["<CallTimerQueue.Arn>"]


def test_in_proxy_mode_websocket_sees_no_table_and_the_others_are_as_before() -> None:
    stack, before = Stack(**PROXY), plain()
    assert set(grants(stack, "websocket")) == {"<TokenSecret.Id>", "<ProxySecret.Id>", POST}
    for name in FUNCTIONS[:3]:
        assert grants(stack, name) == before[name]
    assert not any("Table" in value for value in stack.variables("websocket").values())


def test_in_a_vpc_lambda_may_make_network_interfaces_and_the_functions_code_may_not() -> None:
    stack = Stack(**IN_VPC)
    assert stack.properties(stack.named("websocket"))["VpcConfig"] == {
        "SubnetIds": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }
    interfaces = grants(stack, "websocket").pop("*")
    assert {action.partition(":")[0] for action in interfaces} == {"ec2"}
    (denied,) = (statement for statement in stack.statements("websocket") if statement["Effect"] == "Deny")
    assert {"ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"} == set(denied["Action"])
    itself = "arn:<Partition>:lambda:<Region>:<AccountId>:function:navietakie-websocket-staging"
    assert denied["Condition"] == {"ArnEquals": {"lambda:SourceFunctionArn": itself}}
    assert all("VpcConfig" not in stack.properties(stack.named(name)) for name in FUNCTIONS[:3])


def test_only_make_call_reads_the_secret_shared_with_coturn() -> None:
    secret = {TURN["TurnSecretArn"]: {"secretsmanager:GetSecretValue"}}
    assert added(Stack(**TURN)) == {"make-call": secret}


def test_only_send_message_may_invoke_the_hook_and_nothing_else() -> None:
    assert added(Stack(**HOOK)) == {"send-message": {HOOK["MessageHookArn"]: {"lambda:InvokeFunction"}}}


def test_only_send_message_reads_the_stream_and_publishes_to_the_topic_of_message_events() -> None:
    events = {
        "<MessagesTable.StreamArn>": FETCHING["<MessagesTable.StreamArn>"],
        "<MessageEventsTopic>": {"sns:Publish"},
        "<MessageEventsDeadLetterQueue.Arn>": {"sqs:SendMessage"},
    }
    evented = {**EVENTED, "Environment": "staging"}
    read = {"<MessagesTable.Arn>": {"dynamodb:BatchGetItem"}}
    assert added(Stack(**evented)) == {"send-message": events | read}
    assert added(Stack(**{**evented, "MessageEvents": "ids"})) == {"send-message": events}, "ids alone need no item"


@pytest.mark.parametrize("parameters", STACKS)
def test_no_role_allows_a_wildcard_where_a_name_is_possible(parameters: dict[str, str]) -> None:
    """Ids of connections are not known beforehand. X-Ray and EC2's Describe actions know no resources."""
    stack = Stack(**parameters)
    for name in FUNCTIONS:
        for statement in stack.statements(name):
            assert not any("*" in action for action in statement["Action"])
            if "*" in statement["Resource"]:
                services = {action.partition(":")[0] for action in statement["Action"]}
                ends = ("/@connections/*", "/upload/*", "/kept/*")
                assert statement["Resource"].endswith(ends) or services <= {"xray", "ec2"}


@pytest.mark.parametrize("parameters", STACKS)
def test_only_lambda_may_assume_a_role_and_each_function_has_its_own(parameters: dict[str, str]) -> None:
    stack = Stack(**parameters)
    roles = [stack.properties(stack.named(name))["Role"] for name in FUNCTIONS]
    assert len(set(roles)) == len(FUNCTIONS)
    for role in roles:
        document = stack.properties(role.removesuffix(".Arn>").removeprefix("<"))["AssumeRolePolicyDocument"]
        (statement,) = document["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_a_permissions_boundary_bounds_every_role_of_ours() -> None:
    boundary = "arn:aws:iam::123456789012:policy/navietakie-boundary"
    roles = Stack(**PRODUCTION, PermissionsBoundaryArn=boundary).of_type("AWS::IAM::Role")
    assert {role.get("PermissionsBoundary") for role in roles.values()} == {boundary}
    assert "CodeDeployRole" in roles, "SAM's own knows no boundary"
    assert all("PermissionsBoundary" not in role for role in Stack(**PRODUCTION).of_type("AWS::IAM::Role").values())


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", STACKS)
def test_sound_parameters_are_accepted(parameters: dict[str, str]) -> None:
    assert Stack(**parameters).refused() == []


@pytest.mark.parametrize(
    ("parameters", "about"),
    [
        ({**STAGING, "AuthMode": "none"}, "AuthMode=none"),
        ({**PRODUCTION, "AuthMode": "none"}, "AuthMode=none"),
        ({**STAGING, "AllowedOrigins": "*"}, "AllowedOrigins=*"),
        ({**PRODUCTION, "AllowedOrigins": f"{ORIGINS},*"}, "AllowedOrigins is malformed"),
        ({**PRODUCTION, "AllowedOrigins": "https://*.example.com"}, "AllowedOrigins is malformed"),
        ({**PRODUCTION, "TurnSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:*"}, "TurnSecretArn"),
        ({**LOCAL, "WebSocketEndpoint": ""}, "Environment=local"),
        ({**STAGING, "RestDomainName": "api.example.com"}, "RestDomainName"),
        ({**STAGING, "WebSocketCertificateArn": CERTIFICATE}, "WebSocketDomainName"),
        ({**PROXY, "SubnetIds": "subnet-1"}, "SubnetIds"),
        ({**STAGING, "IceTransportPolicy": "relay"}, "IceTransportPolicy=relay"),
        ({**STAGING, "IceServers": "[{urls: turn:turn.example.com}]"}, "IceServers is malformed"),
        ({**STAGING, "IceServers": '{"urls": "turn:turn.example.com"}'}, "IceServers is malformed"),
        ({**STAGING, "MessageHookArn": "moderation"}, "MessageHookArn is malformed"),
        ({**STAGING, "WebAclArn": "arn:aws:wafv2:us-east-1:123456789012:global/webacl/a/1"}, "WebAclArn is malformed"),
    ],
)  # fmt: skip
def test_unsound_parameters_are_refused(parameters: dict[str, str], about: str) -> None:
    (reason,) = Stack(**parameters).refused()
    assert about in reason


@pytest.mark.parametrize(
    "servers",
    [
        "[]",
        '[{"urls": ["stun:stun.example.com"]}]',
        '[ {"urls": "turn:a"},\n  {"urls": "turns:b"} ]',
        '[{ "urls": "turn:a"}]\n',
    ],
)
def test_ice_servers_are_any_json_list_of_objects(servers: str) -> None:
    policy = "all" if servers == "[]" else "relay"
    assert Stack(**STAGING, IceServers=servers, IceTransportPolicy=policy).refused() == []


def test_the_defaults_open_nothing_to_the_world() -> None:
    stack = Stack()
    assert stack.refused() == []
    assert stack.parameters["Environment"] == "staging"
    for name in FUNCTIONS:
        assert stack.variables(name)["AUTH_MODE"] == "jwt"
        assert stack.variables(name)["ALLOWED_ORIGINS"] == ""


# --- functions -------------------------------------------------------------------------------------------------------


def imported(file: Path) -> Iterable[Path]:
    """Our own files that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        else:
            continue
        for name in names:
            for folder in ("functions", "layers/shared"):
                path = ROOT / folder / f"{name.replace('.', '/')}.py"
                if path.exists():
                    yield path


def reached(start: Path) -> set[Path]:
    """A file and all our own files that it imports, directly or not."""
    found, waiting = {start}, [start]
    while waiting:
        new = set(imported(waiting.pop())) - found
        found |= new
        waiting += new
    return found


def constants(node: ast.AST) -> set[str]:
    """The names of variables that are read inside a piece of code."""
    return {
        argument.value
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name | ast.Attribute)
        and (call.func.id if isinstance(call.func, ast.Name) else call.func.attr) in ("required", "optional", "number")
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value.isupper()
    }


def read_by(name: str) -> set[str]:
    """The variables that a function's code can read: by name, or through functions of `settings`."""
    settings = ROOT / "layers/shared/navietakie/settings.py"
    functions = {each.name: each for each in ast.parse(settings.read_text()).body if isinstance(each, ast.FunctionDef)}
    variables: set[str] = set()
    for file in reached(ROOT / "functions" / name.replace("-", "_") / "app.py") - {settings}:
        tree = ast.parse(file.read_text())
        variables |= constants(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "settings":
                variables |= constants(functions[node.attr])
    return variables


GIVEN_BY_LAMBDA = {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_LAMBDA_INITIALIZATION_TYPE"}
OTHER_NAMES = {"API_GATEWAY_ENDPOINT"}
GIVEN_LOCALLY = {"ATTACHMENTS_ENDPOINT"}
OF_AWS_SDKS = {"AWS_CA_BUNDLE"}
READ_BY_POWERTOOLS = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"}
NOT_READ_YET: dict[str, set[str]] = {
    "send-message": {"ATTACHMENTS_BUCKET", "MAX_ATTACHMENT_BYTES"},
    "make-call": {"CALL_RATE", "CALL_BURST"},
    "get-message": {"ATTACHMENTS_BUCKET"},
    "websocket": {"CONNECTIONS_PER_SIDE"},
}
"""Variables that the template sets for code that does not exist yet. Remove one from here as soon as code reads it."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_variable_that_is_set_is_read(name: str) -> None:
    set_anywhere = set[str]().union(*(Stack(**parameters).variables(name) for parameters in STACKS))
    assert set_anywhere - READ_BY_POWERTOOLS - read_by(name) == NOT_READ_YET[name] - read_by(name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_variable_that_is_read_is_set(name: str) -> None:
    set_anywhere = set[str]().union(*(Stack(**parameters).variables(name) for parameters in STACKS))
    assert read_by(name) - GIVEN_BY_LAMBDA - OTHER_NAMES - GIVEN_LOCALLY - OF_AWS_SDKS - set_anywhere == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_handler_exists_and_runs_on_the_python_it_is_built_for(name: str) -> None:
    stack = Stack(**STAGING)
    function = stack.properties(stack.named(name))
    assert function["Handler"] == f"{name.replace('-', '_')}.app.handler"
    assert function["Runtime"] == f"python{(ROOT / '.python-version').read_text().strip()}"
    tree = ast.parse((ROOT / "functions" / name.replace("-", "_") / "app.py").read_text())
    assert any(isinstance(node, ast.FunctionDef) and node.name == "handler" for node in tree.body)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_size_time_architecture_and_concurrency_are_parameters(name: str) -> None:
    stack = Stack(**STAGING)
    function = stack.properties(stack.named(name))
    assert (function["MemorySize"], function["Timeout"], function["Architectures"]) == ("512", "30", ["arm64"])
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert "ReservedConcurrentExecutions" not in function
    other = Stack(**STAGING, MemorySize="1024", Timeout="25", Architecture="x86_64", ReservedConcurrency="50")
    function = other.properties(other.named(name))
    assert (function["MemorySize"], function["Timeout"], function["Architectures"]) == ("1024", "25", ["x86_64"])
    assert function["ReservedConcurrentExecutions"] == "50"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_snapshots_are_taken_of_published_versions_and_only_when_asked_for(name: str) -> None:
    stack, without = Stack(**STAGING, SnapStart="on"), Stack(**STAGING)
    assert stack.properties(stack.named(name))["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert "SnapStart" not in without.properties(without.named(name))


def test_the_shortest_timeout_leaves_time_to_say_that_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    how: Any = dynamo.client.__wrapped__().meta.config
    away = how.retries["total_max_attempts"] * (how.connect_timeout + how.read_timeout)
    shortest = Stack(**STAGING).template["Parameters"]["Timeout"]["MinValue"]
    assert away + connections_api.BUDGET_SECONDS + serve.SPARE_SECONDS < shortest


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_a_new_release_publishes_a_new_version(name: str) -> None:
    """A version keeps its variables. Lambda publishes one only of a changed function, so the release changes it."""
    stack = Stack(**STAGING, Release="r-42")
    logical_id = stack.named(name)
    assert "r-42" in stack.properties(logical_id)["Description"]
    (version,) = (
        each for each in stack.of_type("AWS::Lambda::Version").values() if each["FunctionName"] == f"<{logical_id}>"
    )
    assert version["Description"] == "r-42"


def test_the_version_before_is_there_to_go_back_to() -> None:
    """CloudFormation replaces the version if only the release has changed, and deletes what it replaces."""
    resources = Stack(**PRODUCTION).resources
    versions = [each for each in resources.values() if each["Type"] == "AWS::Lambda::Version"]
    assert len(versions) == len(FUNCTIONS)
    for version in versions:
        assert (version["DeletionPolicy"], version["UpdateReplacePolicy"]) == ("Retain", "Retain")
    functions = [each for each in resources.values() if each["Type"] == "AWS::Lambda::Function"]
    assert not any("DeletionPolicy" in each for each in functions), "their names would stay taken"


def test_posts_go_to_the_stage_itself_on_aws_and_to_the_embedded_aws_locally() -> None:
    for name in FUNCTIONS:
        on_aws = Stack(**STAGING).variables(name)["WEBSOCKET_ENDPOINT"]
        assert on_aws == "https://<WebSocketApi>.execute-api.<Region>.<URLSuffix>/staging"
        locally = Stack(**LOCAL).variables(name)["WEBSOCKET_ENDPOINT"]
        assert locally == "http://127.0.0.1:4566/_aws/execute-api/<WebSocketApi>/local"


def test_secrets_are_made_by_the_stack_long_enough_and_named_by_arn() -> None:
    stack = Stack(**PROXY)
    secrets = stack.of_type("AWS::SecretsManager::Secret")
    assert set(secrets) == {"TokenSecret", "ProxySecret"}
    assert {secret["Name"] for secret in secrets.values()} == {
        "navietakie-token-staging-<StackUuid>",
        "navietakie-proxy-staging-<StackUuid>",
    }
    for secret in secrets.values():
        assert secret["GenerateSecretString"] == {"PasswordLength": 64, "ExcludePunctuation": True}
    assert stack.variables("websocket")["PROXY_SECRET_ARN"] == "<ProxySecret.Id>"
    assert {stack.variables(name)["TOKEN_SECRET_ARN"] for name in FUNCTIONS} == {"<TokenSecret.Id>"}
    assert set(Stack(**STAGING).of_type("AWS::SecretsManager::Secret")) == {"TokenSecret"}


# --- queue, topic, logs ----------------------------------------------------------------------------------------------


def test_a_timer_that_fails_comes_again_alone_and_ends_in_the_dead_letter_queue() -> None:
    stack = Stack(**STAGING)
    queue, dead = stack.properties("CallTimerQueue"), stack.properties("CallTimerDeadLetterQueue")
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": "<CallTimerDeadLetterQueue.Arn>", "maxReceiveCount": 5}
    assert queue["VisibilityTimeout"] >= 6 * stack.template["Parameters"]["Timeout"]["MaxValue"]
    assert dead["MessageRetentionPeriod"] == 14 * 86_400
    source = "arn:<Partition>:sqs:<Region>:<AccountId>:navietakie-call-timers-staging"
    assert dead["RedriveAllowPolicy"] == {"redrivePermission": "byQueue", "sourceQueueArns": [source]}
    assert queue["SqsManagedSseEnabled"] is dead["SqsManagedSseEnabled"] is True
    (mapping,) = stack.of_type("AWS::Lambda::EventSourceMapping").values()
    assert mapping["EventSourceArn"] == "<CallTimerQueue.Arn>"
    assert mapping["FunctionName"] == alias(stack, "make-call")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] == 1, "one that hangs would keep the others of its batch until they are visible again"
    assert "MaximumBatchingWindowInSeconds" not in mapping, "a timer is to the second"


def test_timers_never_ask_for_more_concurrency_than_is_reserved() -> None:
    """Otherwise Lambda would throttle timers, and one that was throttled five times ends in the dead-letter queue."""
    (mapping,) = Stack(**STAGING).of_type("AWS::Lambda::EventSourceMapping").values()
    at_once = mapping["ScalingConfig"]["MaximumConcurrency"]
    for reserved in range(at_once + 2):
        refused = Stack(**STAGING, ReservedConcurrency=str(reserved)).refused()
        assert bool(refused) == (0 < reserved < at_once), refused


def test_queues_and_topic_are_encrypted_and_refuse_plain_http() -> None:
    stack = Stack(**EVENTED)
    assert stack.properties("EventsTopic")["KmsMasterKeyId"] == "alias/aws/sns"
    denied: list[str] = []
    for kind, covered in (("AWS::SQS::QueuePolicy", "Queues"), ("AWS::SNS::TopicPolicy", "Topics")):
        for policy in stack.of_type(kind).values():
            (statement,) = policy["PolicyDocument"]["Statement"]
            assert statement["Effect"] == "Deny"
            assert statement["Principal"] == "*"
            assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            (one,) = policy[covered]
            assert statement["Resource"] in (one, f"{one.removesuffix('>')}.Arn>"), "SQS takes no other queue's"
            denied.append(statement["Resource"])
    assert sorted(denied) == [
        *("<CallTimerDeadLetterQueue.Arn>", "<CallTimerQueue.Arn>", "<EventsTopic>"),
        *("<MessageEventsDeadLetterQueue.Arn>", "<MessageEventsTopic>"),
    ]
    assert all(queue["SqsManagedSseEnabled"] is True for queue in stack.of_type("AWS::SQS::Queue").values())


def test_message_events_come_in_order_and_none_is_dropped_silently() -> None:
    stack = Stack(**EVENTED)
    assert stack.properties("MessagesTable")["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    mapping = stack.properties("MessageEventsSource")
    assert mapping["EventSourceArn"] == "<MessagesTable.StreamArn>"
    assert mapping["FunctionName"] == alias(stack, "send-message")
    assert mapping["StartingPosition"] == "TRIM_HORIZON", "LATEST would miss what is stored while it is made"
    assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": "<MessageEventsDeadLetterQueue.Arn>"}}
    assert mapping["MaximumRecordAgeInSeconds"] < 24 * 3_600, "what the stream itself has dropped is told to nobody"
    assert "MaximumRetryAttempts" not in mapping
    (chosen,) = mapping["FilterCriteria"]["Filters"]
    assert json.loads(chosen["Pattern"])["dynamodb"]["Keys"]["timestamp"]["S"] == [{"prefix": "2"}], (
        "no head, no marker"
    )
    assert stack.variables("send-message")["MESSAGE_EVENTS"] == "full"
    assert stack.variables("send-message")["MESSAGE_EVENTS_TOPIC_ARN"] == "<MessageEventsTopic>"
    assert stack.properties("MessageEventsTopic")["TopicName"] == "navietakie-message-events-production"
    assert stack.properties("MessageEventsTopic")["KmsMasterKeyId"] == "alias/aws/sns"


@pytest.mark.parametrize("parameters", [LOCAL, STAGING, PRODUCTION])
def test_nobody_pays_for_message_events_unless_asked(parameters: dict[str, str]) -> None:
    stack = Stack(**parameters)
    assert not [name for name in stack.resources if "MessageEvent" in name]
    assert "StreamSpecification" not in stack.properties("MessagesTable")


# --- attachments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [STAGING, PRODUCTION])
def test_attachments_are_private_encrypted_protected_and_expire(parameters: dict[str, str]) -> None:
    stack = Stack(**parameters, RetentionDays="30")
    bucket = stack.properties("AttachmentsBucket")
    assert "BucketName" not in bucket, "names of buckets are the whole world's"
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    assert "VersioningConfiguration" not in bucket, "a version would outlive its redaction"
    assert stack.resources["AttachmentsBucket"]["DeletionPolicy"] == "RetainExceptOnCreate"
    expires = {rule["Prefix"]: rule["ExpirationInDays"] for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert expires == {"upload/": 1, "kept/": "30"}
    (cors,) = bucket["CorsConfiguration"]["CorsRules"]
    assert cors["AllowedOrigins"] == ORIGINS.split(",")
    assert "PUT" not in cors["AllowedMethods"]
    (statement,) = stack.properties("AttachmentsBucketPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Resource"] == ["<AttachmentsBucket.Arn>", "<AttachmentsBucket.Arn>/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_without_origins_no_web_page_may_upload() -> None:
    assert "CorsConfiguration" not in Stack().properties("AttachmentsBucket")


def test_without_attachments_there_is_no_bucket_and_no_function_knows_one() -> None:
    stack = Stack(**STAGING, Attachments="off")
    assert not stack.of_type("AWS::S3::Bucket")
    assert not stack.of_type("AWS::S3::BucketPolicy")
    assert "AttachmentsBucket" not in stack.outputs
    assert not any("ATTACHMENTS_BUCKET" in stack.variables(name) for name in FUNCTIONS)
    assert Stack(**STAGING).variables("send-message")["ATTACHMENTS_BUCKET"] == "<AttachmentsBucket>"


def test_a_web_acl_guards_the_rest_stage_where_there_is_one() -> None:
    acl = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/navietakie/a1"
    stack = Stack(**STAGING, WebAclArn=acl)
    assert stack.refused() == []
    guarded = "arn:<Partition>:apigateway:<Region>::/restapis/<RestApi>/stages/<RestApiStage>"
    assert stack.properties("RestWebAcl") == {"WebACLArn": acl, "ResourceArn": guarded}
    assert "RestWebAcl" not in Stack(**STAGING).resources


def test_every_function_logs_into_its_own_group_which_expires() -> None:
    stack = Stack(**STAGING, LogRetentionDays="30")
    for name in FUNCTIONS:
        group = stack.properties(stack.named(name))["LoggingConfig"]["LogGroup"].strip("<>")
        assert stack.properties(group)["LogGroupName"] == f"/aws/lambda/navietakie-{name}-staging"
    assert {each["RetentionInDays"] for each in stack.of_type("AWS::Logs::LogGroup").values()} == {"30"}
    assert {each["RetentionInDays"] for each in Stack().of_type("AWS::Logs::LogGroup").values()} == {"14"}


# --- operations ------------------------------------------------------------------------------------------------------


def watched_together(alarm: Any) -> set[tuple[str, ...]]:
    """The metrics of an alarm on several metrics: their names and dimensions."""
    metrics = [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]
    return {(each["MetricName"], *(dimension["Value"] for dimension in each["Dimensions"])) for each in metrics}


def test_alarms_watch_every_function_both_apis_the_timers_and_the_tables() -> None:
    stack = Stack(**EVENTED)
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    watched = {
        (each["Namespace"], each["MetricName"], str(each["Dimensions"][0]["Value"]))
        for each in alarms.values()
        if "MetricName" in each
    }
    functions = {
        ("AWS/Lambda", metric, f"<{stack.named(name)}>")
        for name in FUNCTIONS
        for metric in ("Errors", "Throttles", "Duration")
    }
    failures = {("NavieTakie", "Failures", f"<{stack.named(name)}>") for name in FUNCTIONS}
    assert watched == functions | failures | {
        ("AWS/ApiGateway", "5XXError", "navietakie-api-production"),
        ("AWS/ApiGateway", "Latency", "navietakie-api-production"),
        ("AWS/ApiGateway", "ExecutionError", "<WebSocketApi>"),
        ("AWS/ApiGateway", "IntegrationLatency", "<WebSocketApi>"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", "<CallTimerQueue.QueueName>"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "<CallTimerDeadLetterQueue.QueueName>"),
        ("AWS/Lambda", "IteratorAge", f"<{stack.named('send-message')}>"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "<MessageEventsDeadLetterQueue.QueueName>"),
    }
    assert watched_together(alarms["CallSetupsAlarm"]) == {
        (metric, f"<{stack.named('make-call')}>") for metric in ("CallReports", "CallSetupsFailed")
    }
    assert watched_together(alarms["ThrottledTablesAlarm"]) == {
        (f"{kind}ThrottleEvents", *watched_table)
        for kind in ("Read", "Write")
        for watched_table in (
            *((f"<{table}>",) for table in stack.of_type("AWS::DynamoDB::Table")),
            ("<ConnectionsTable>", "booking_code-index"),
        )
    }
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == ["<AlarmTopic>"]
        assert alarm["AlarmDescription"]
        assert alarm["TreatMissingData"] == "notBreaching"
        if alarm.get("MetricName") in ("Duration", "Latency", "IntegrationLatency"):
            assert alarm["ExtendedStatistic"] == "p95"


def test_the_alarms_watch_the_metrics_that_functions_count() -> None:
    """Compares namespace and dimensions, too: with others it would be another metric, which no alarm watches."""
    name = "navietakie-websocket-staging"
    stack = Stack(**PROXY)
    assert stack.variables("websocket")["POWERTOOLS_SERVICE_NAME"] == name
    code = """from navietakie.observability import count, count_by, flush
for _ in range(2):
    count("Failures")
    flush()
count_by("BackendFailures", "reason", "5xx")"""
    environment = {"PYTHONPATH": str(ROOT / "layers" / "shared"), "POWERTOOLS_SERVICE_NAME": name}
    command = [ROOT / ".venv" / "bin" / "python", "-c", code]
    lines = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    *failures, backend = [json.loads(line) for line in lines]
    alarm = stack.properties("WebSocketFunctionFailuresAlarm")
    ours = {"service": f"<{stack.named('websocket')}>"}
    assert dimensions(alarm) == ours
    for line in failures:
        (counted,) = line["_aws"]["CloudWatchMetrics"]
        assert (counted["Namespace"], counted["Dimensions"]) == (alarm["Namespace"], [["service"]])
        assert line["service"] == name
    (counted,) = backend["_aws"]["CloudWatchMetrics"]
    watched = [
        each["MetricStat"]["Metric"] for each in stack.properties("BackendAlarm")["Metrics"] if "MetricStat" in each
    ]
    for metric in watched:
        assert metric["Namespace"] == counted["Namespace"]
        assert dimensions(metric) == ours | {"reason": dimensions(metric)["reason"]}
        assert [sorted(dimensions(metric))] == counted["Dimensions"]


def dimensions(metric: Any) -> dict[str, str]:
    """The dimensions of a metric, by name."""
    return {each["Name"]: each["Value"] for each in metric["Dimensions"]}


def test_a_burst_of_refused_tokens_is_watched_in_every_function() -> None:
    stack = Stack(**PRODUCTION)
    alarm = stack.properties("TokensAlarm")
    assert watched_together(alarm) == {("TokensRefused", f"<{stack.named(name)}>") for name in FUNCTIONS}
    assert alarm["AlarmActions"] == ["<AlarmTopic>"]


def test_frames_that_reach_nobody_are_watched_in_every_function_that_broadcasts() -> None:
    stack = Stack(**PRODUCTION)
    folders = {name: ROOT / "functions" / name.replace("-", "_") for name in FUNCTIONS}
    broadcasts = [
        name
        for name, folder in folders.items()
        if any(".to_booking(" in file.read_text() for file in folder.glob("*.py"))
    ]
    assert watched_together(stack.properties("DeliveriesAlarm")) == {
        (metric, f"<{stack.named(name)}>") for metric in ("Deliveries", "DeliveriesFailed") for name in broadcasts
    }


def test_in_proxy_mode_the_backends_failures_are_watched_for_every_reason() -> None:
    stack = Stack(**PROXY)
    alarm = stack.properties("BackendAlarm")
    failures = [arg for arg in get_args(get_type_hints(proxy.BackendAnswer)["failure"]) if arg is not type(None)]
    reasons = {*(reason for literal in failures for reason in get_args(literal)), "3xx", "5xx"}
    websocket = f"<{stack.named('websocket')}>"
    assert watched_together(alarm) == {("BackendFailures", reason, websocket) for reason in reasons}
    assert alarm["AlarmActions"] == ["<AlarmTopic>"]
    assert "BackendAlarm" not in Stack(**PRODUCTION).resources


def test_alarms_go_to_the_address_in_the_parameter() -> None:
    (subscription,) = Stack(**PRODUCTION).of_type("AWS::SNS::Subscription").values()
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")
    assert subscription["TopicArn"] == "<AlarmTopic>"
    assert not Stack(**STAGING).of_type("AWS::SNS::Subscription")


def counted() -> set[str]:
    """The names of the metrics that the code counts or measures."""
    files = [file for folder in ("functions", "layers/shared") for file in (ROOT / folder).rglob("*.py")]
    named_by = {"count": 0, "count_by": 0, "measure": -1}
    return {
        constant.value
        for file in files
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in named_by
        for constant in ast.walk(call.args[named_by[call.func.id]])
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }


def test_the_dashboard_shows_every_metric_that_the_code_counts() -> None:
    body = Stack(**PRODUCTION).properties("Dashboard")["DashboardBody"]
    assert json.loads(body)["widgets"]
    assert {"MessagesStored", "Deliveries", "CallsEnded", "CallSetupTime"} <= counted()
    assert {name for name in counted() if not re.search(rf'"{name}\\?"', body)} == set()


def test_the_operations_page_explains_every_alarm_metric_and_saved_query() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    stack = Stack(**EVENTED, BackendUrl="https://backend.example.com")
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    plain = len(Stack(**PRODUCTION).of_type("AWS::CloudWatch::Alarm"))
    assert f"| {plain} per stack, 1 more in proxy mode, 2 more with message events |" in page
    assert len(alarms) == plain + 3
    for alarm in alarms:
        kind = re.sub(r"^(SendMessage|MakeCall|GetMessage|WebSocketFunction)", "…", alarm)
        assert f"`{kind}`" in page
    assert {name for name in counted() if f"`{name}`" not in page} == set()
    for query in stack.of_type("AWS::Logs::QueryDefinition").values():
        assert f"`{query['Name'].removeprefix('navietakie-production/')}`" in page
        assert not re.search(r"\de\d", query["QueryString"]), "Logs Insights knows no 1e6"


def test_the_operations_page_looks_for_lines_that_are_logged() -> None:
    page = " ".join((ROOT / "docs" / "operations.md").read_text().split())
    lines = set(re.findall(r"`([^`]+)` in `what went wrong`|the error behind `([^`]+)`", page))
    code = [file.read_text() for folder in ("functions", "layers/shared") for file in (ROOT / folder).rglob("*.py")]
    assert len(lines) >= 2
    assert [line for line in map("".join, lines) if not any(f'"{line}"' in text for text in code)] == []


@pytest.mark.parametrize("parameters", [LOCAL, STAGING, {**PRODUCTION, "Traffic": "atonce"}])
def test_outside_production_or_when_told_to_a_deploy_switches_over_at_once(parameters: dict[str, str]) -> None:
    stack = Stack(**parameters)
    assert stack.refused() == []
    assert not [each for each in stack.resources.values() if "CodeDeploy" in json.dumps(each)]
    aliases = [each for each in stack.resources.values() if each["Type"] == "AWS::Lambda::Alias"]
    assert len(aliases) == len(FUNCTIONS)
    assert not any("UpdatePolicy" in each for each in aliases)


def test_in_production_a_deploy_goes_gradually_and_back_when_an_alarm_fires() -> None:
    stack = Stack(**PRODUCTION)
    groups = stack.of_type("AWS::CodeDeploy::DeploymentGroup")
    for name in FUNCTIONS:
        logical_id = stack.named(name)
        group = groups[f"{logical_id}DeploymentGroup"]
        assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
        assert group["ServiceRoleArn"] == "<CodeDeployRole.Arn>"
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        alarms = [stack.properties(alarm["Name"].strip("<>")) for alarm in group["AlarmConfiguration"]["Alarms"]]
        watched = {(alarm["MetricName"], str(each["Value"])) for alarm in alarms for each in alarm["Dimensions"]}
        assert {("Errors", f"<{logical_id}>"), ("Failures", f"<{logical_id}>")} <= watched
        update = stack.resources[f"{logical_id}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert update["DeploymentGroupName"] == f"<{logical_id}DeploymentGroup>"


def test_codedeploy_may_move_this_environments_aliases_and_no_others() -> None:
    stack = Stack(**PRODUCTION)
    (policy,) = stack.properties("CodeDeployRole")["Policies"]
    aliases, alarms = policy["PolicyDocument"]["Statement"]
    assert aliases["Action"] == ["lambda:GetAlias", "lambda:GetProvisionedConcurrencyConfig", "lambda:UpdateAlias"]
    assert aliases["Resource"].endswith(":function:navietakie-*-production*")
    assert (alarms["Action"], alarms["Resource"]) == (["cloudwatch:DescribeAlarms"], "*")
    assert "CodeDeployRole" not in Stack(**STAGING).resources


def test_both_apis_take_ipv6_and_rest_nothing_older_than_tls_1_2() -> None:
    stack = Stack(**PRODUCTION, RestCertificateArn=CERTIFICATE, WebSocketCertificateArn=CERTIFICATE)
    rest = stack.properties("RestApi")
    assert rest["SecurityPolicy"].startswith("SecurityPolicy_TLS13_1_2_")
    assert rest["EndpointAccessMode"] == "STRICT"
    (named,) = stack.properties("WebSocketDomain")["DomainNameConfigurations"]
    configured = (rest["EndpointConfiguration"], stack.properties("RestDomain")["EndpointConfiguration"], named)
    assert {each["IpAddressType"] for each in (*configured, stack.properties("WebSocketApi"))} == {"dualstack"}
    assert stack.properties("RestDomain")["SecurityPolicy"] == named["SecurityPolicy"] == "TLS_1_2"


def test_locally_the_template_leaves_out_what_the_embedded_aws_refuses() -> None:
    kinds = {each["Type"] for each in Stack(**LOCAL).resources.values()}
    assert not kinds & {
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::CodeDeploy::Application",
        "AWS::Logs::QueryDefinition",
        "AWS::ApiGatewayV2::RouteResponse",
    }
    assert "AWS::Logs::QueryDefinition" in {each["Type"] for each in Stack(**STAGING).resources.values()}


def test_own_domains_lead_to_both_apis() -> None:
    stack = Stack(
        **PRODUCTION,
        RestDomainName="api.example.com",
        RestCertificateArn=CERTIFICATE,
        WebSocketDomainName="ws.example.com",
        WebSocketCertificateArn=CERTIFICATE,
    )
    assert stack.refused() == []
    rest, websocket = stack.properties("RestDomainMapping"), stack.properties("WebSocketDomainMapping")
    assert (rest["DomainName"], rest["RestApiId"], rest["Stage"]) == ("<RestDomain>", "<RestApi>", "<RestApiStage>")
    assert (websocket["DomainName"], websocket["ApiId"]) == ("<WebSocketDomain>", "<WebSocketApi>")
    assert stack.outputs["RestApiUrl"] == "https://api.example.com"
    assert stack.outputs["WebSocketUrl"] == "wss://ws.example.com"
    assert not Stack(**PRODUCTION).of_type("AWS::ApiGateway::DomainName")


def test_the_outputs_have_everything_that_tools_need() -> None:
    everywhere = {
        *("RestApiUrl", "WebSocketUrl", "ConnectionsUrl", "RestApiId", "WebSocketApiId", "Environment", "AuthMode"),
        *("MessagesTable", "ConnectionsTable", "CallsTable", "CallTimerQueueUrl", "CallTimerDeadLetterQueueUrl"),
        *("EventsTopicArn", "TokenSecretArn", "AttachmentsBucket"),
    }
    assert set(Stack(**LOCAL).outputs) == everywhere
    assert set(Stack(**PROXY).outputs) == everywhere | {"AlarmTopicArn", "ProxySecretArn"}
    told = {"MessageEventsTopicArn", "MessageEventsDeadLetterQueueUrl"}
    assert set(Stack(**EVENTED).outputs) == everywhere | {"AlarmTopicArn"} | told


def test_cfn_lint_finds_nothing() -> None:
    lint = [str(ROOT / ".venv" / "bin" / "cfn-lint"), "--include-checks", "W", "--", str(ROOT / "template.yaml")]
    done = subprocess.run(lint, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)
