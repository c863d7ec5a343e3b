"""How many connections one person may have in a booking, and which give way to a newer one."""

from collections.abc import Iterable
from typing import Final

from navietakie.aws.tables.connections import Connection
from navietakie.broadcast import all_but
from navietakie.domain.errors import Refusal

REPLACED: Final = Refusal("connection_replaced", "Newer connections have taken this one's place")


def surplus(joining: Connection, present: Iterable[Connection], limit: int) -> list[Connection]:
    """Those of `present` that have to go so that `joining`'s bearer has no more than `limit`.

    First those whose device has a newer connection, then the oldest. A bearer is a role and the `sub` of its token.
    Without tokens it is the role alone, because a client can give any name.
    """
    own = [
        each
        for each in filter(all_but(joining.connection_id), present)
        if each.sender == joining.sender and (joining.token_exp is None or each.sender_id == joining.sender_id)
    ]
    by_age = sorted(own, key=lambda each: (each.connected_at, each.connection_id))
    newest = {each.device_id: each.connection_id for each in (*by_age, joining) if each.device_id}
    superseded = [each for each in by_age if each.device_id and newest[each.device_id] != each.connection_id]
    others = [each for each in by_age if each not in superseded]
    return [*superseded, *others][: max(0, len(own) + 1 - limit)]
