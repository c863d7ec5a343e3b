"""What a client is told when a request fails, and what the log is told."""

import traceback

from navietakie.aws import clients
from navietakie.domain.errors import Refusal
from navietakie.observability import count, logger


def refusal_of(error: Exception) -> Refusal:
    """What a client is told of an error. One that is not the client's fault is logged and counted.

    Counted, because Lambda and API Gateway see nothing wrong with a frame whose answer is an `error` frame. A Refusal's
    words are ours and are logged: after a `$connect` the log is the only place that names a missing setting. Of any
    other exception it says where but not what: the text may quote a message.
    """
    if isinstance(error, Refusal):
        if error.status >= 500:
            cause = clients.name_of(error.__cause__ or error)
            logger.error("%s: %s", error.code, error.message, extra={"error_type": cause})
            count("Failures")
        return error
    trace = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]
    logger.error("unexpected error", extra={"error_type": clients.name_of(error), "trace": trace})
    count("Failures")
    return Refusal("internal", "Something went wrong here; it is not your request's fault")
