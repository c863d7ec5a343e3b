"""API Gateway's @connections API, signed with the function's own credentials."""

from navietakie import settings
from navietakie.aws import clients
from navietakie.domain.errors import Refusal
from navietakie.warm import cached
from navietakie.wire.connections_api import ConnectionsApi
from navietakie.wire.sigv4 import SigningKeys


@cached
def connections_api(endpoint: str) -> ConnectionsApi:
    """The @connections API at `endpoint`, one per process, signed with the function's own credentials."""
    credentials = clients.session().get_credentials()
    region = settings.optional("AWS_REGION") or settings.optional("AWS_DEFAULT_REGION", "us-east-1")

    def keys() -> SigningKeys:
        try:
            frozen = credentials.get_frozen_credentials() if credentials else None
        except (*clients.AWS_ERRORS, RuntimeError) as error:
            raise Refusal("internal", "The function's AWS credentials could not be refreshed") from error
        if frozen is None or not frozen.access_key or not frozen.secret_key:
            raise Refusal("internal", "The function has no AWS credentials")
        return SigningKeys(frozen.access_key, frozen.secret_key, frozen.token)

    return ConnectionsApi(endpoint, region, keys, clients.trust)
