"""What counts as a phone number or an e-mail address in a text, case by case."""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from send_message import masking
from send_message.masking import MASK, masked

BOOKING = "RIDE-2026-4711007"

# The text between ‹ and › is masked, the rest stays.
MASKED = {
    "German": "Ruf mich an: ‹0170 1234567›",
    "German, with a slash": "Büro ‹030/123 45 67›, bis gleich",
    "German, international": "‹+49 (0)170 123 45 67›",
    "German, two zeros": "unter ‹0049 170 1234567›!",
    "US": "call me at ‹(555) 123-4567› please",
    "US, dotted": "‹555.123.4567› is my cell",
    "US, international": "‹+1 555-123-4567›",
    "US, local": "it is ‹555-1234›",
    "US, ten digits": "text ‹5551234567›",
    "British": "My mobile is ‹07700 900123›.",
    "British, international": "‹+44 7700 900 123›",
    "British, London": "‹(020) 7946 0123›",
    "French": "Appelle-moi au ‹06 12 34 56 78›",
    "French, dotted": "‹06.12.34.56.78›",
    "French, international": "‹+33 6 12 34 56 78›",
    "Indian": "mera number ‹98765 43210› hai",
    "Indian, international": "‹+91-98765-43210›",
    "Brazilian": "Meu número é ‹(11) 91234-5678›",
    "Brazilian, international": "‹+55 11 91234 5678›",
    "Japanese": "電話 ‹090-1234-5678› です",
    "Japanese, international": "‹+81 90 1234 5678›",
    "Turkish": "Numaram ‹0532 123 45 67›",
    "Turkish, with brackets": "‹+90 (532) 123 45 67›",
    "Nigerian": "WhatsApp ‹0803 123 4567›",
    "Russian": "‹8 (912) 345-67-89›",
    "Chinese": "打我手机‹138 1234 5678›",
    "Singapore, eight digits": "‹9123 4567›",
    "seven digits": "‹1234567›",
    "fifteen digits": "‹123456789012345›",
    "Arabic digits": "رقمي ‹٠٥٠١٢٣٤٥٦٧›",
    "Arabic digits, with gaps": "اتصل ‹٠٥٠ ١٢٣ ٤٥٦٧› الآن",
    "Persian digits": "شماره من ‹۰۹۱۲۳۴۵۶۷۸۹›",
    "Devanagari digits": "मेरा नंबर ‹९८७६५४३२१०› है",
    "Bengali digits": "আমার নম্বর ‹০১৭১২৩৪৫৬৭৮›",
    "Thai digits": "โทร ‹๐๘๑-๒๓๔-๕๖๗๘›",
    "full-width digits": "電話は‹０９０−１２３４−５６７８›",
    "full-width brackets and plus": "‹＋８１（９０）１２３４５６７８›",
    "digits in circles": "‹①②③④⑤⑥⑦›",
    "mathematical digits": "‹𝟎𝟏𝟕𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕›",
    "keycap emoji": "‹0️⃣1️⃣7️⃣0️⃣1️⃣2️⃣3›️⃣",
    "mixed scripts": "‹٠١٧0 १२३4567›",
    "zero-width spaces within": "‹0170\u200b123\u200b4567›",
    "no-break spaces": "‹0170\u00a0123\u00a04567›",
    "figure dashes": "‹0170‒123‒4567›",
    "spelled digit by digit": "‹0 1 7 0 1 2 3 4 5 6 7›",
    "dashed digit by digit": "‹0-1-7-0-1-2-3-4-5-6-7›",
    "dots and dashes": "‹0.1.7.0--1234567›",
    "underscores and stars": "‹0170_123_4567› or ‹0170*123*4567›",
    "on two lines": "‹0170\n1234567›",
    "two numbers side by side": "‹0170 1234567 0171 7654321›",
    "two numbers with words between": "Call ‹0170 1234567› or later ‹0171 7654321›.",
    "two international numbers": "‹+49 170 1234567› ‹+49 171 7654321›",
    "one number with words between": "it is ‹0170› and then ‹123› and ‹4567›",
    "one number with German words between": "‹0170›, dann ‹123›, dann ‹4567›",
    "one number with a Spanish word between": "‹+34 612› y luego ‹345 678›",
    "a word stuck to it": "tel‹01701234567›",
    "a word stuck to it, dashed": "call-‹555-123-4567›",
    "capitals that announce one": "TEL-‹5551234›",
    "a link to a chat": "https://wa.me/‹491701234567›",
    "a tel: link": "tel:‹+491701234567›",
    "a whole number in brackets": "(‹0170 1234567›)",
    "in quotes": "“‹0170 1234567›”",
    "behind a date": "2026-03-01 ‹5551234›",
    "behind a time": "10:15 ‹0170 1234567›",
    "behind an amount": "5 € ‹5551234›",
    "behind this booking's code": "RIDE-2026-4711007 ‹0170 1234567›",
    "another booking's code": "booking ‹2026-4711008›",
    "no amount: a trunk zero": "€ ‹0170 1234567›",
    "no amount: ten digits": "‹5551234567› $",
    "no amount: groups of other lengths": "€ ‹170 12 34 56›",
    "no date: no such month": "‹2026-13-45›",
    "no date: more digits": "‹2026-03-0112›",
    "no coordinate: a lone number with three digits": "‹123.4567›",
    "no coordinate: beyond the Earth": "‹555.1234›",
    "a date that is not ISO": "am ‹01.03.2026›",
    "sixteen digits with gaps": "‹1234 5678 9012 3456›",
    "an IP address": "‹192.168.100.200›",
    "eight spaces within": "‹0170        123456›",
    "a line separator within": "‹0170\u2028123456›",
    "a plus with a space": "‹+ 49 170 1234567›",
    "four plus signs, and one too many": "+‹++++0170 1234567›",
    "a slash behind two groups": "‹+49 30/123 4567›",
    "brackets in brackets": "(‹(030) 123 4567›)",
    "brackets around its end": "‹0170 (1234567)›!",
    "parts of two digits": "‹0170› then ‹12› then ‹34›",
    "two digits first": "‹06› then ‹12› then ‹345›",
    "two parts, seven digits": "‹0170› and then ‹123›",
    "three parts, fifteen digits": "‹01234› and ‹56789› and ‹12345›",
    "parts, the first with a plus and a space": "‹+ 34› y ‹612 345›",
    "parts, and a small number behind them": "‹0170› and ‹1234› at gate 12",
    "32 characters between the parts": f"‹0170›{' ' * 8}followed by then{' ' * 8}‹123›",
    "behind an amount in a sentence": "about 5 € ‹5551234›",
    "no order number: a space within": "AB-‹555 1234›",
    "no order number: a long word": "PHONE-‹5551234›",
    "no order number: ten digits": "AB-‹1234567890›",
    "no order number: nine digits, as one dials them": "AB-‹012345678›",
    "no order number: the second word stands alone": "X AB-‹1234567890› Y",
    "no order number: letters too far before": f"A{'-' * 24}‹1234567›",
    "no order number: letters too far behind": f"‹1234567›{'-' * 24}A",
    "an address": "write to ‹tom@example.com›",
    "an address, end of a sentence": "Mail: ‹tom.smith+ride@mail.example.co.uk›.",
    "an address in angle brackets": "<‹o'neil@example.com›>",
    "an address in full width": "‹ｔｏｍ＠ｅｘａｍｐｌｅ．ｃｏｍ›",
    "an address of other letters": "‹jürgen@müller.de› и ‹иван@пример.рф›",
    "an address without its end": "I am ‹tom.smith@gmail›",
    "an address in quotes": "'‹tom@example.com›'",
    "an address behind dots": "...‹tom@example.com›",
    "an address with (at), two letters at its end": "‹tom (at) example.de›",
    "an address with spaces": "‹tom @ example.com›",
    "an address with (at)": "‹tom (at) example.com› or ‹tom[AT]example.com›",
    "an address of digits": "‹5551234567@txt.example.net›",
    "two addresses": "‹a@example.com›,‹b@example.com›",
    "a mailto: link": "mailto:‹tom@example.com›?subject=hi",
}
STAYS = {
    "nothing": "I am at the corner, next to the bakery 🥐",
    "an empty text": "",
    "six digits": "code 123456",
    "an emergency number": "call 112 or 911",
    "sixteen digits": "1234567890123456",
    "two groups with nine spaces between": "0170         123456",
    "two groups, and a small number": "Bengaluru 560 001, 5 km",
    "three digits, a slash": "room 123/4567",
    "two digits, a slash": "on 06/12345",
    "two slashes": "030/12/4567",
    "a slash behind three groups": "030 1 2/345",
    "no parts: other words between": "gate 0170, row 123456",
    "no parts: one digit": "rooms 0170 and 1 and 456",
    "no parts: a zero alone": "0 and 123 and 456",
    "no parts: no zero": "12 and 345 and 67",
    "no parts: six digits": "0170 and 12, and 3 bags",
    "no parts: sixteen digits": "012345 and 67890 and 12345",
    "no parts: a plus too far before": "+  34 and 612345",
    "no parts: 33 characters between": f"0170{' ' * 8}followed by luego{' ' * 8}123",
    "a price": "It is 12,50 € with tip",
    "a large price": "EUR 1,234,567.00",
    "a large price, German": "1.234.567,89 EUR",
    "a large price, French": "1 234 567 €",
    "a large price, Swiss": "CHF 1'234'567.-",
    "a large price, Indian": "₹ 12,34,567",
    "a large price in one piece": "1500000 IDR",
    "dollars": "$1234567.89",
    "dollars in words": "1500000 dollars",
    "full-width yen": "￥１２３４５６７",
    "rupees": "Rs. 1500000",
    "two prices": "5 € or 1234567 €",
    "a time": "at 10:15 or 22:30:15",
    "a time with fractions": "22:30:15.123456",
    "two times": "10:15–10:45, 11:00-11:30",
    "an American time": "7:05 pm, 3 people, 2 bags",
    "a date": "2026-03-01",
    "a date and a time": "2026-03-01 10:15",
    "a timestamp": "2026-03-01T10:15:30.123456Z",
    "a timestamp with an offset": "2026-03-01T10:15:30+01:00",
    "a basic timestamp": "20260301T101530Z",
    "two dates": "2026-03-01/2026-03-05 and 2026-04-01 - 2026-04-05",
    "a German plate": "B-AB 1234",
    "a British plate": "AB12 CDE",
    "an Indian plate": "KA-01-HH-1234",
    "a French plate": "AB-123-CD",
    "a Californian plate": "8ABC123",
    "a German postcode": "10115 Berlin",
    "a British postcode": "SW1A 1AA",
    "an Indian postcode": "Bengaluru 560 001",
    "an American postcode": "Beverly Hills, CA 90210-1234",
    "a Brazilian postcode": "CEP 01310-100",
    "a Japanese postcode": "〒100-0001",
    "coordinates": "48.137154, 11.576124",
    "coordinates with a sign": "-33.856784,151.215297",
    "coordinates with a space": "52.520008 13.404954",
    "coordinates with directions": "48.1371° N, 11.5761° E",
    "coordinates, four decimals": "48.1371,11.5761",
    "coordinates with names": '{"lat": 48.1371540, "lng": 111.5761240}',
    "coordinates in a link": "https://maps.example/?q=48.1371540,11.5761240",
    "coordinates in a map's address": "https://maps.example/@48.1371540,11.5761240,17z",
    "one coordinate": "lat 48.1371540",
    "half a coordinate": "48.137154",
    "this booking's code": "Booking RIDE-2026-4711007, please",
    "this booking's code, in small letters": "ride-2026-4711007?",
    "an order number with letters": "order A1B2C3D4E5",
    "an order number, letters first": "ORD-1234567",
    "an order number, letters stuck": "AB1234567",
    "an order number, letters last": "12345678Z",
    "an order number, letters at both ends": "AB-20260301-1234567-X",
    "an order number, one letter": "A1234567",
    "an order number, four letters": "CODE-1234567",
    "an order number, eight digits, a zero first": "AB-01234567",
    "an order number, nine digits": "AB-123456789",
    "an order number, letters just near enough before": f"A{'-' * 23}1234567",
    "an order number, letters just near enough behind": f"1234567{'-' * 23}A",
    "a parcel's number": "1Z999AA10123456784",
    "a UUID": "550e8400-e29b-41d4-a716-446655440000",
    "a message's id": "bec3fa377be1474d933647e1c9586654",
    "an account": "DE89370400440532013000",
    "a flight": "LH 1234, gate 12, row 23",
    "a house": "Hauptstraße 12, 3rd floor, flat 45",
    "an address of a house": "1600 Pennsylvania Ave, Washington 20500",
    "small numbers with words": "2 adults, 3 children, 4 bags, 5 minutes, 10 km, 20 euros",
    "small numbers with and": "5 and 10 then 15",
    "an @ before a letter": "us @ gate.B, row 12",
    "an @ that is none": "3 apples @ 2.50, @tom, see you @ noon",
    "digits with commas": "1, 2, 3, 4, 5, 6, 7, 8",
    "a score": "3:2, 21:19, 15:21",
    "a hashtag": "#ride2026",
}


def expected(marked: str) -> tuple[str, str]:
    """The text of a case, and the text that is stored."""
    text = re.sub("[‹›]", "", marked)
    return text, re.sub("‹([^›]*)›", lambda found: MASK * len(found[1]), marked)


def test_the_table_has_enough_rows() -> None:
    assert len(MASKED) + len(STAYS) >= 80


@pytest.mark.parametrize("marked", MASKED.values(), ids=MASKED.keys())
def test_a_contact_is_masked(marked: str) -> None:
    text, stored = expected(marked)
    assert "‹" in marked
    assert masked(text, BOOKING) == stored


@pytest.mark.parametrize("text", STAYS.values(), ids=STAYS.keys())
def test_a_text_without_contacts_stays_as_it_is(text: str) -> None:
    assert masked(text, BOOKING) == text


@pytest.mark.parametrize(
    "word",
    ["CALL", "CELL", "FAX", "FON", "ME", "MOB", "MY", "NO", "NR", "NUM", "SMS", "TEL", "TELE", "TEXT", "TXT", "WA"],
)
def test_a_word_in_capitals_announces_a_number(word: str) -> None:
    assert masked(f"{word}-5551234", BOOKING) == f"{word}-{MASK * 7}"


@pytest.mark.parametrize("word", ["BOOKING", "INVOICE", "ORDER", "TICKET"])
def test_a_long_word_in_capitals_makes_an_order_number_if_it_says_so(word: str) -> None:
    assert masked(f"{word}-5551234", BOOKING) == f"{word}-5551234"


def test_a_code_of_digits_stays_and_cuts_no_phone_number() -> None:
    assert masked("booking 12345678!", "12345678") == "booking 12345678!"
    assert masked("booking 1234567!", "1234567") == "booking 1234567!"
    assert masked("0170 1234567", "0170") == MASK * 12
    assert masked("0170 123456", "123456") == MASK * 11
    assert masked("912345678", "12345678") == MASK * 9


alphabet = st.sampled_from(
    [*"0123456789 .-()+@/:,€$ab", "٣", "४", "７", "\u200b", "é", "🥐", "TEL", "EUR", "and", "lat"]
)


@given(st.lists(alphabet, max_size=80).map("".join))
def test_a_text_keeps_its_length_and_changes_by_masks_alone(text: str) -> None:
    stored = masked(text, BOOKING)
    assert len(stored) == len(text)
    assert all(new in (old, MASK) for old, new in zip(text, stored, strict=True))


@given(st.text(max_size=200))
def test_any_text_can_be_masked(text: str) -> None:
    assert len(masked(text, BOOKING)) == len(text)


@given(
    st.from_regex(r"0[1-9][0-9]{1,3}[ ./-]?[0-9]{3}[ .-]?[0-9]{3,4}", fullmatch=True),
    st.text("abc ,!?", max_size=20),
)
def test_a_number_is_masked_wherever_it_stands(number: str, around: str) -> None:
    assert masked(f"{around} {number} {around}", BOOKING) == f"{around} {MASK * len(number)} {around}"


# --- How long it takes: counted, not timed ---------------------------------------------------------------------------


HOSTILE = [
    "1",
    "1 ",
    "a@",
    "a",
    "@",
    " ",
    "(",
    "1.",
    "0170 and ",
    "2026-03-01",
    "1:",
    "48.1371,",
    "€1",
    "1 000",
    "A1",
    "-",
    "٣\u200b",
]


def steps(text: str) -> int:
    """How many lines of the module run for `text`."""
    count = 0

    def on_line(code: CodeType, line: int) -> Any:
        nonlocal count
        if code.co_filename != masking.__file__:
            return sys.monitoring.DISABLE
        count += 1
        return None

    tool = sys.monitoring.PROFILER_ID
    sys.monitoring.use_tool_id(tool, "steps")
    try:
        sys.monitoring.register_callback(tool, sys.monitoring.events.LINE, on_line)
        sys.monitoring.set_events(tool, sys.monitoring.events.LINE)
        masked(text, BOOKING)
    finally:
        sys.monitoring.set_events(tool, 0)
        sys.monitoring.free_tool_id(tool)
    return count


@pytest.mark.parametrize("piece", HOSTILE, ids=repr)
def test_masking_takes_time_in_proportion_to_the_length(piece: str) -> None:
    one, two = steps(piece * 600), steps(piece * 1_200)
    assert two <= 2.2 * one + 50


def compiled(monkeypatch: pytest.MonkeyPatch) -> list[re.Pattern[str]]:
    """Every pattern that the module compiles, when it is loaded and when it masks a text."""
    made: list[re.Pattern[str]] = []
    real = re.compile

    def note(*what: Any) -> re.Pattern[str]:
        made.append(real(*what))
        return made[-1]

    monkeypatch.setattr(re, "compile", note)
    vars(load(masking.__file__))["masked"]("call 0170 1234567", BOOKING)
    monkeypatch.undo()
    return made


def load(file: str) -> ModuleType:
    """The module in `file` once more, beside the one that everybody has imported."""
    spec = importlib.util.spec_from_file_location("masking_once_more", file) or pytest.fail(file)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader and spec.loader.exec_module(module)
    del sys.modules[spec.name]
    return module


def test_every_pattern_matches_a_bounded_number_of_characters_or_runs_of_one_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from re import _parser  # only this module knows how long a match may get

    patterns = compiled(monkeypatch)
    assert len(patterns) > 12
    for pattern in patterns:
        parsed = _parser.parse(pattern.pattern, pattern.flags)
        is_run = re.fullmatch(r"\[[^\]]+\]\+", pattern.pattern)
        assert is_run or parsed.getwidth()[1] <= 100, pattern.pattern


def test_all_patterns_are_made_once() -> None:
    tree = ast.parse(Path(masking.__file__).read_text())
    inside = [
        node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
    ]
    made = [node for node in inside if isinstance(node, ast.Attribute) and node.attr == "compile"]
    assert len(made) == 1, "the booking's own code alone is a pattern of its own"
