"""get_message's handler: pages by REST, syncs by WebSocket."""

import json
import time
from typing import Any

import pytest

from get_message import app
from get_message.app import handler
from get_message.history import PageCache
from get_message.sync import FRAMES, STEP, Sync
from navietakie.aws.tables.messages import QUERY_BYTES, messages
from navietakie.domain import instants
from navietakie.domain.conversation import Head
from navietakie.domain.frames import CONTENT_BYTES, FRAME_BYTES
from navietakie.domain.message import Message
from tests.worlds.moto import World

PATH = "/api/v1/get_message"
START = "2026-03-01T10:00:00.000000Z"


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "pages", PageCache())


def write(count: int, *, passenger_every: int = 2, text: str = "message", expires_in: int = 86_400) -> list[Message]:
    """Puts a history of `count` messages directly into the table, as send_message would have written it."""
    store, first = messages(), instants.from_text(START)
    written: list[Message] = []
    expires_at = int(time.time()) + expires_in
    before = Head()
    for seq in range(1, count + 1):
        message = Message(
            message_id=f"id-{seq}",
            booking_code="test",
            seq=seq,
            timestamp=instants.to_text(first + seq * instants.SECOND),
            sender="passenger" if seq % passenger_every == 0 else "driver",
            message_type="text",
            message=f"{text} {seq}",
        )
        after = Head(seq, message.timestamp, "the-epoch")
        store.store(message, before=before, after=after, expires_at=expires_at, now=first, token=f"t{seq}")
        written.append(message)
        before = after
    return written


def get(world: World, **query: str) -> Any:
    status, body, _ = world.rest(handler, "GET", PATH, query={"booking_code": "test", **query})
    assert status == 200, body
    return body


def seqs(body: Any) -> list[int]:
    return [message["seq"] for message in body["messages"]]


def test_an_empty_booking_has_no_messages_and_no_epoch(world: World) -> None:
    nobody = {"delivered": 0, "read": 0}
    assert get(world) == {
        "messages": [],
        "next_cursor": None,
        "head_seq": 0,
        "epoch": None,
        "receipts": {"driver": nobody, "passenger": nobody},
        "booking": {"closed_at": None, "muted": []},
    }


def test_the_newest_messages_come_first_and_the_cursor_leads_to_the_oldest(world: World) -> None:
    written = write(7)
    first = get(world, limit="3")
    assert (seqs(first), first["head_seq"], first["epoch"]) == ([7, 6, 5], 7, "the-epoch")
    assert first["messages"][0] == written[6].model_dump()
    second = get(world, limit="3", cursor=first["next_cursor"])
    third = get(world, limit="3", cursor=second["next_cursor"])
    assert (seqs(second), seqs(third), third["next_cursor"]) == ([4, 3, 2], [1], None)


def test_ascending_pages_and_bounds(world: World) -> None:
    stamps = [START, *(message.timestamp for message in write(6))]
    assert seqs(get(world, order="asc", limit="2")) == [1, 2]
    assert seqs(get(world, order="asc", after=stamps[2], before=stamps[6])) == [3, 4, 5]
    page = get(world, order="asc", after=stamps[1], limit="2")
    assert seqs(get(world, order="asc", after=stamps[1], limit="2", cursor=page["next_cursor"])) == [4, 5]
    assert seqs(get(world, after="2026-03-01T10:00:04Z")) == [6, 5]
    assert seqs(get(world, after="2026-03-01T12:00:04+02:00")) == [6, 5]


def test_a_page_that_ends_with_the_history_has_no_cursor(world: World) -> None:
    write(4)
    assert get(world, limit="4")["next_cursor"] is None
    assert get(world, limit="4", order="asc")["next_cursor"] is None


def test_filters_fill_their_page(world: World) -> None:
    write(60, passenger_every=10)
    body = get(world, sender="passenger", limit="5")
    assert seqs(body) == [60, 50, 40, 30, 20]
    assert seqs(get(world, sender="passenger", limit="5", cursor=body["next_cursor"])) == [10]
    assert len(get(world, sender="passenger,driver", limit="100")["messages"]) == 60
    assert get(world, message_type="system,call")["messages"] == []


def test_a_past_page_is_read_once_and_expires_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write(9, expires_in=30)
    cursor = get(world, limit="3")["next_cursor"]
    page = get(world, limit="3", cursor=cursor)
    queries: list[Any] = []
    table = type(messages())
    real = table.page
    monkeypatch.setattr(table, "page", lambda *a, **k: queries.append(k) or real(*a, **k))
    assert get(world, limit="3", cursor=cursor) == page
    assert queries == []
    get(world, limit="3")
    assert len(queries) == 1, "the newest page may change and is always read"
    real_time = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real_time() + 31 * 10**9)
    assert get(world, limit="3", cursor=cursor)["messages"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "ten"},
        {"limit": "1_0"},
        {"limit": " 5 "},
        {"limit": "10.0"},
        {"limit": "+5"},
        {"limit": "٥"},
        {"limit": ""},
        {"limit": "9" * 5_000},
        {"order": "up"},
        {"after": "yesterday"},
        {"after": "2026-03-01T10:00:00"},
        {"before": "2026-02-30T00:00:00Z"},
        {"sender": "nobody"},
        {"message_type": "text,image"},
        {"cursor": "x"},
        {"cursor": "é"},
        {"cursor": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"booking_code": "#head"},
    ],
)
def test_a_bad_parameter_is_refused(world: World, query: dict[str, str]) -> None:
    write(1)
    status, body, _ = world.rest(handler, "GET", PATH, query={"booking_code": "test", **query})
    assert (status, body["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["sender", "message_type"])
@pytest.mark.parametrize("listed", ["nonsense", "nonsense,more"])
def test_a_list_is_named_as_the_parameter_that_it_is(world: World, name: str, listed: str) -> None:
    _, body, _ = world.rest(handler, "GET", PATH, query={"booking_code": "test", name: listed})
    assert body["error"]["details"] == {"field": name}


def test_a_direct_invocation_may_leave_parameters_null(world: World) -> None:
    written = write(3)
    nulls = dict.fromkeys(("limit", "order", "after", "before", "message_type", "sender", "cursor"))
    answer = handler({"function_type": "get_message", "booking_code": "test", **nulls}, None)
    assert [message["seq"] for message in answer["body"]["messages"]] == [it.seq for it in reversed(written)]


@pytest.mark.parametrize("limit", [True, 0, 101, 5.0, "5 "])
def test_a_direct_limit_is_a_whole_number(world: World, limit: Any) -> None:
    answer = handler({"function_type": "get_message", "booking_code": "test", "limit": limit}, None)
    assert (answer["statusCode"], answer["body"]["error"]["details"]) == (400, {"field": "limit"})


def test_a_query_that_comes_only_as_lists_is_read(world: World) -> None:
    write(3)
    query = {"booking_code": ["test"], "limit": ["1"]}
    event = {"httpMethod": "GET", "resource": PATH, "multiValueQueryStringParameters": query}
    assert seqs(json.loads(handler(event, None)["body"])) == [3]


def test_a_query_parameter_that_is_given_twice_is_refused_and_senders_and_types_add_up(world: World) -> None:
    write(3)

    def ask(query: dict[str, list[str]]) -> Any:
        last = {name: values[-1] for name, values in query.items()}
        event = {"httpMethod": "GET", "resource": PATH, "queryStringParameters": last}
        return handler({**event, "multiValueQueryStringParameters": query}, None)

    for name, values in (("booking_code", ["test", "test"]), ("limit", ["3", "1"]), ("unheard_of", ["1", "2"])):
        answer = ask({"booking_code": ["test"], name: values})
        error = json.loads(answer["body"])["error"]
        assert (answer["statusCode"], error["code"], error["details"]) == (400, "invalid_request", {"field": name})
    sides = {"booking_code": ["test"], "sender": ["driver", "passenger"], "message_type": ["text,call", "system"]}
    assert seqs(json.loads(ask(sides)["body"])) == [3, 2, 1]


def test_a_missing_booking_code_is_named(world: World) -> None:
    status, body, _ = world.rest(handler, "GET", PATH)
    assert (status, body["error"]["details"]) == (400, {"field": "booking_code"})


def test_a_cursor_of_another_booking_is_refused_by_rest(world: World) -> None:
    write(5)
    cursor = get(world, limit="2")["next_cursor"]
    status, body, _ = world.rest(handler, "GET", PATH, query={"booking_code": "other", "cursor": cursor})
    assert (status, body["error"]["code"]) == (400, "invalid_request")


def test_direct_invocation_takes_numbers_and_lists(world: World) -> None:
    write(4)
    event = {"function_type": "get_message", "booking_code": "test", "limit": 2, "sender": ["driver"]}
    answer = handler(event, None)
    assert answer["statusCode"] == 200
    assert seqs(answer["body"]) == [3, 1]


def sync(world: World, after: str | None = None, **fields: Any) -> list[dict[str, Any]]:
    asked = {"action": "sync", "id": "s", **({} if after is None else {"after": after}), **fields}
    return world.socket(handler, "d1", asked)


def test_a_first_sync_brings_the_newest_page_and_how_things_stand(world: World) -> None:
    world.connect("d1", "driver")
    write(60)
    messages().move_receipt("test", "passenger", "read", 9)
    (only,) = sync(world)
    assert (only["type"], only["id"], only["part"], only["has_more"]) == ("sync", "s", 0, False)
    assert seqs(only) == list(range(11, 61))
    assert (only["through_seq"], only["head_seq"], only["epoch"]) == (60, 60, "the-epoch")
    assert only["call"] is None
    assert only["presence"] == {"driver": True, "passenger": False, "agent": False}
    assert only["booking"] == {"closed_at": None, "muted": []}
    assert only["receipts"]["passenger"] == {"delivered": 9, "read": 9}


def test_a_sync_of_an_empty_booking_is_one_frame(world: World) -> None:
    world.connect("d1", "driver")
    (only,) = sync(world)
    assert (only["messages"], only["through_seq"], only["head_seq"], only["epoch"]) == ([], 0, 0, None)


def test_a_client_that_was_cut_while_120_messages_came_gets_all_of_them_in_frames_of_32_kb(world: World) -> None:
    world.connect("d1", "driver")
    written = write(130, text="ü" * 900)
    frames = sync(world, written[9].timestamp)
    assert [message for each in frames for message in each["messages"]] == [it.model_dump() for it in written[10:]]
    assert len(frames) > 5
    assert all(len(body) <= FRAME_BYTES for body in world.gateway.bodies["d1"])
    assert [each["has_more"] for each in frames] == [True] * (len(frames) - 1) + [False]
    assert [each["part"] for each in frames] == list(range(len(frames)))
    assert all(each["through_seq"] == each["messages"][-1]["seq"] for each in frames)
    assert ["receipts" in each for each in frames] == [False] * (len(frames) - 1) + [True]


def test_a_client_that_has_everything_gets_only_the_standing(world: World) -> None:
    world.connect("d1", "driver")
    written = write(3)
    (only,) = sync(world, written[-1].timestamp)
    assert (only["messages"], only["through_seq"]) == ([], 3)


def test_expired_messages_are_passed_over_and_counted_as_through(world: World) -> None:
    world.connect("d1", "driver")
    write(3, expires_in=-1)
    (only,) = sync(world, START)
    assert (only["messages"], only["through_seq"]) == ([], 3)


def test_a_sync_that_runs_out_of_time_says_how_far_it_came(world: World) -> None:
    write(60, text="x" * 2_000)
    head = messages().head("test")
    sync = Sync(messages(), {"booking_code": "test", "ts": START})
    (last,) = sync.frames("test", START, {"call": None}, head, now=instants.from_text(START), deadline=0)
    assert (last["has_more"], last["call"]) == (False, None)
    assert 0 < last["through_seq"] < last["head_seq"] == 60
    assert last["through_seq"] == last["messages"][-1].seq


def caught_up(world: World) -> list[list[dict[str, Any]]]:
    """The frames of one sync after another, until nothing is missing."""
    after, answers = START, list[list[dict[str, Any]]]()
    while not answers or answers[-1][-1]["through_seq"] < answers[-1][-1]["head_seq"]:
        answers.append(sync(world, after))
        after = answers[-1][-1]["through"]
    return answers


@pytest.mark.parametrize("text", ["x" * 1_000, "漢" * 5_000], ids=len)
def test_a_sync_answers_with_eight_frames_at_most_and_the_client_goes_on_from_there(world: World, text: str) -> None:
    world.connect("d1", "driver")
    written = write(250 if text[0] == "x" else 40, text=text)
    answers = caught_up(world)
    assert len(answers) > 1
    seqs = [message["seq"] for frames in answers for frame in frames for message in frame["messages"]]
    assert seqs == [message.seq for message in written]
    for frames in answers:
        assert [frame["part"] for frame in frames] == list(range(len(frames)))
        assert [frame["has_more"] for frame in frames] == [True] * (len(frames) - 1) + [False]
        assert len(frames) <= 8
        assert "receipts" in frames[-1]
    assert all(len(body) <= 32 * 1024 for body in world.gateway.bodies["d1"])


def test_each_frame_of_a_sync_says_how_far_it_goes(world: World) -> None:
    world.connect("d1", "driver")
    written = write(40, text="x" * 4_000)
    frames = sync(world, START)
    assert len(frames) > 2
    ends = [frame["messages"][-1] for frame in frames[:-1]] + [written[-1].model_dump()]
    assert [(frame["through_seq"], frame["through"]) for frame in frames] == [(e["seq"], e["timestamp"]) for e in ends]


def test_a_sync_reads_1_mb_at_most_even_if_what_does_not_fit_any_more_is_the_longest() -> None:
    assert STEP >= 20
    assert FRAMES * FRAME_BYTES + STEP * CONTENT_BYTES <= QUERY_BYTES


def test_a_sync_stops_when_its_client_is_gone(world: World) -> None:
    world.connect("d1", "driver")
    write(60, text="x" * 2_000)
    posts: list[int] = []

    def gone_after_one() -> int:
        posts.append(1)
        return 200 if len(posts) == 1 else 410

    world.gateway.misbehave["d1"] = gone_after_one
    assert len(sync(world, START)) == 1
    assert len(posts) == 2
    assert world.connection_ids() == set()


@pytest.mark.parametrize("after", ["yesterday", 5, {}])
def test_a_sync_from_nowhere_is_refused(world: World, after: Any) -> None:
    world.connect("d1", "driver")
    (error,) = sync(world, after)
    assert (error["type"], error["id"], error["error"]["code"]) == ("error", "s", "invalid_request")
