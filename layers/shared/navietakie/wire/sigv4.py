"""AWS Signature Version 4 for API Gateway's @connections (AWS IAM User Guide, "Create a signed AWS API request").

Pure: credentials and instant are arguments. What requests of one moment have in common is computed once.
"""

import hashlib
import hmac
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote

SERVICE: Final = "execute-api"


class SigningKeys(NamedTuple):
    """AWS credentials; `token` where they are temporary."""

    access_key: str
    secret_key: str
    token: str | None = None


class Signer:
    """Signs requests to one host at one instant (`20260131T080000Z`); AWS takes them for five minutes."""

    def __init__(self, host: str, region: str, keys: SigningKeys, instant: str) -> None:
        day = instant[:8]
        scope = f"{day}/{region}/{SERVICE}/aws4_request"
        token = ("x-amz-security-token", keys.token)
        headers = [("host", host), ("x-amz-date", instant), *([token] if keys.token else [])]
        names = ";".join(name for name, _ in headers)
        self._key = _key(keys.secret_key, day, region)
        self._canonical_headers = "".join(f"{name}:{value}\n" for name, value in headers) + f"\n{names}"
        self._to_sign = f"AWS4-HMAC-SHA256\n{instant}\n{scope}\n"
        self._sent = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self._sent += f"authorization: AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={names}, "

    def headers(self, method: str, path: str, body_sha256: str) -> str:
        """The header lines that authorize a request: `name: value` with line ends.

        `path` is the path as it is sent, percent-encoded and without dot segments; there is no query.
        """
        # Every service but S3 signs the path encoded once more than it is sent.
        canonical = f"{method}\n{quote(path)}\n\n{self._canonical_headers}\n{body_sha256}"
        to_sign = self._to_sign + hashlib.sha256(canonical.encode()).hexdigest()
        return f"{self._sent}Signature={hmac.digest(self._key, to_sign.encode(), 'sha256').hex()}\r\n"


@lru_cache(maxsize=1)
def _key(secret_key: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
