"""Which connections are closed if one person opens too many."""

from dataclasses import replace
from typing import Any

from navietakie.aws.tables.connections import Connection
from navietakie.domain import instants
from websocket.crowding import surplus

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")


def connection(number: int, sender: Any = "driver", **fields: Any) -> Connection:
    made = Connection(f"c{number}", "test", sender, instants.to_text(NOW + number), 2**40)
    return replace(made, **{"sender_id": "driver-7", "token_exp": 2**40, **fields})


def ids(connections: list[Connection]) -> list[str]:
    return [each.connection_id for each in connections]


def test_within_the_limit_all_connections_stay() -> None:
    for others in range(10):
        assert surplus(connection(10), [connection(number) for number in range(others)], 10) == []


def test_the_oldest_go_first() -> None:
    present = [connection(number) for number in (5, 3, 9, 1)]
    assert ids(surplus(connection(10), present, 3)) == ["c1", "c3"]


def test_a_connection_whose_device_has_a_newer_one_goes_before_an_older_connection() -> None:
    present = [connection(1), connection(2, device_id="phone"), connection(3, device_id="watch")]
    assert ids(surplus(connection(4, device_id="phone"), present, 3)) == ["c2"]
    assert ids(surplus(connection(4, device_id="tablet"), present, 3)) == ["c1"]
    twice = [connection(1), connection(2, device_id="phone"), connection(3, device_id="phone")]
    assert ids(surplus(connection(4), twice, 3)) == ["c2"]


def test_a_device_may_have_two_while_there_is_room() -> None:
    assert surplus(connection(2, device_id="phone"), [connection(1, device_id="phone")], 10) == []


def test_other_people_and_other_roles_are_left_alone() -> None:
    present = [connection(1, sender_id="somebody-else"), connection(2, "passenger")]
    assert surplus(connection(3), present, 1) == []


def test_without_tokens_a_side_is_one_person_whatever_it_calls_itself() -> None:
    present = [connection(1, sender_id="a", token_exp=None), connection(2, sender_id="b", token_exp=None)]
    assert ids(surplus(connection(3, sender_id="c", token_exp=None), present, 2)) == ["c1"]


def test_it_does_not_matter_if_the_index_already_shows_the_new_connection() -> None:
    new = connection(3)
    assert ids(surplus(new, [connection(1), connection(2), new], 2)) == ["c1"]
