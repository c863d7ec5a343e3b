"""A message hook to start from: your Lambda function that sees each message of a person before it is stored.

It needs no layer, and no permissions besides those for its log:

    zip hook.zip message_hook.py
    aws lambda create-function --function-name navietakie-hook --runtime python3.13 --handler message_hook.handler \
      --zip-file fileb://hook.zip --memory-size 256 --timeout 3 --role arn:aws:iam::ACCOUNT:role/ROLE

Then deploy NavieTakie with MessageHookArn=arn:aws:lambda:REGION:ACCOUNT:function:navietakie-hook. What it
prints is in its log: print ids, never texts.
"""

import re
from typing import Any

INSULTS = re.compile(r"\b(idiot|moron)s?\b", re.IGNORECASE)
LINK = re.compile(r"\bhttps?://\S+", re.IGNORECASE)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Decides about the message in `event`: allow, replace or deny.

    `event` has `booking_code`, `sender`, `sender_id`, `client_message_id`, `message`, `message_type` and `metadata`.
    """
    text = event["message"]
    if INSULTS.search(text):
        return {"action": "deny", "reason": "Please stay friendly."}
    if LINK.search(text):
        return {"action": "replace", "message": LINK.sub("[link removed]", text)}
    return {"action": "allow"}
