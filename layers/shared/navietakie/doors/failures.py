"""What the client and the log get when a request fails."""

import traceback

from navietakie.aws import clients
from navietakie.domain.errors import Refusal
from navietakie.observability import count, logger


def refusal_of(error: Exception) -> Refusal:
    """The Refusal that a client gets for an error. If the error is not the client's fault, it is logged and counted.

    It is counted because to Lambda and API Gateway a frame whose answer is an `error` frame is a success. The text of a
    Refusal is ours and is logged: after a `$connect` only the log names a missing setting. Of any other exception the
    log has the type and place, not the text, which may quote a message.
    """
    if isinstance(error, Refusal):
        if error.status >= 500:
            cause = clients.error_name(error.__cause__ or error)
            logger.error("%s: %s", error.code, error.message, extra={"error_type": cause})
            count("Failures")
        return error
    trace = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]
    logger.error("unexpected error", extra={"error_type": clients.error_name(error), "trace": trace})
    count("Failures")
    return Refusal("internal", "Something went wrong here; it is not your request's fault")
