"""Clients of AWS, from botocore: what boto3 puts on top costs a cold start 60 modules, and nothing here uses it."""

import ssl
from typing import Any
from urllib.parse import urlsplit

import botocore
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.utils import get_environ_proxies

from navietakie import settings
from navietakie.aws.http_session import HttpSession
from navietakie.warm import kept


@kept
def session() -> botocore.session.Session:
    """The session of this process: it finds the function's credentials and region."""
    return botocore.session.get_session()


@kept
def trust() -> ssl.SSLContext:
    """Whom `AWS_CA_BUNDLE` names, else whom the system trusts: to read that list takes longer than a first request."""
    return ssl.create_default_context(cafile=session().get_config_variable("ca_bundle"))


def client(service: str, *, connect_timeout: float, read_timeout: float, attempts: int) -> Any:
    """A new client of an AWS service; its callers keep it for the warm invocations. Time-outs in seconds."""
    config = Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        tcp_keepalive=True,
        # What botocore would work out anew for each request, and what no service here needs.
        user_agent=f"NavieTakie Botocore/{botocore.__version__}",
        account_id_endpoint_mode="disabled",
        disable_request_compression=True,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        parameter_validation=settings.optional("ENVIRONMENT") != "production",
    )
    made: Any = session().create_client(service, config=config)
    endpoint = made.meta.endpoint_url
    if urlsplit(endpoint).scheme not in get_environ_proxies(endpoint):  # through a proxy botocore finds its way alone
        # There is no other place where it could be told how to speak HTTP.
        made._endpoint.http_session = HttpSession(
            connect_timeout=connect_timeout, read_timeout=read_timeout, trust=trust
        )
    return made


def name_of(error: BaseException) -> str:
    """What to call an error in a log: AWS's code for it (`AccessDeniedException`) where it has one, else its class."""
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    return code or type(error).__name__
