"""Clients of AWS, made by boto3, with their requests carried by our own exchange.

Two things make boto3 cheaper in a cold start. Its TLS context is not `ssl.create_default_context()`,
which parses the whole list of certificate authorities (40 ms of CPU): the layer holds them as a hashed folder, of which
OpenSSL reads the one certificate that a handshake needs. And the requests do not go through urllib3.
"""

import ssl
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import boto3
import boto3.session
import botocore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import get_environ_proxies

from navietakie import settings
from navietakie.aws.http_session import HttpSession
from navietakie.warm import cached

AUTHORITIES: Final = Path(__file__).parents[2] / "authorities"
"""The folder of hashed certificates beside the package, which the layer's build makes of botocore's own list."""

AWS_ERRORS: Final = (ClientError, BotoCoreError)
"""What is raised where AWS refused a request or did not answer it; `error_name` says which error it was."""


@cached
def session() -> boto3.session.Session:
    """The session of this process: it finds the function's credentials and region."""
    return boto3.session.Session()


@cached
def trust() -> ssl.SSLContext:
    """Trusts the authorities in `AWS_CA_BUNDLE`, else those in the layer's folder, else those of the system."""
    if bundle := settings.optional("AWS_CA_BUNDLE"):
        return ssl.create_default_context(cafile=bundle)
    if not AUTHORITIES.is_dir():
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN  # as create_default_context has it
    context.load_verify_locations(capath=AUTHORITIES)
    return context


def client(
    service: str,
    *,
    connect_timeout: float,
    read_timeout: float,
    attempts: int,
    in_all: bool = False,
    endpoint: str | None = None,
    **how: Any,
) -> Any:
    """A new client of an AWS service; its callers keep it for the warm invocations. Time-outs in seconds.

    With `in_all`, `read_timeout` is for connecting and the answer together. `endpoint` is given where it is another
    than AWS's own or `AWS_ENDPOINT_URL`; `how` are more settings of botocore's Config.
    """
    config = Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        tcp_keepalive=True,
        # What botocore would work out anew for each request, and what no service here needs.
        user_agent=f"NavieTakie Boto3/{boto3.__version__} Botocore/{botocore.__version__}",
        account_id_endpoint_mode="disabled",
        disable_request_compression=True,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        parameter_validation=settings.optional("ENVIRONMENT") not in ("staging", "production"),
        **how,
    )
    untyped = cast(Any, session())  # its stubs know services by literal names alone
    made = untyped.client(service, config=config, endpoint_url=endpoint)
    url: str = made.meta.endpoint_url
    if urlsplit(url).scheme not in get_environ_proxies(url):  # botocore's own session knows proxies
        # botocore has no public way to set a session.
        made._endpoint.http_session = HttpSession(
            connect_timeout=connect_timeout, read_timeout=read_timeout, trust=trust, in_all=in_all
        )
    return made


def error_name(error: BaseException) -> str:
    """What to call an error in a log: AWS's code for it (`AccessDeniedException`) where it has one, else its class."""
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    return code or type(error).__name__
