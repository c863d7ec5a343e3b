"""Phone numbers and e-mail addresses in a text, masked: one `•` for each of their characters. Pure.

How it works. The text is first made plain, character by character: digits of every script become 0 to 9, full-width
signs become ASCII, all dashes one dash, all spaces one space. Then

1. e-mail addresses are found around each `@`;
2. what is certainly no phone number becomes a wall: dates, times, coordinates, amounts, this booking's code;
3. groups of digits with nothing but spaces, dots, dashes and brackets between them are joined to numbers, never across
   a wall; a number of 7 to 15 digits is masked. A longer one is masked too if it has gaps, as two numbers side by side
   have; 16 digits without a gap are no phone number (ITU-T E.164).

In doubt a number is masked. Every pattern below matches a bounded number of characters, and every loop goes over the
text once: the time grows with the length of the text and no faster, whatever is in it.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MASK: Final = "•"
FEWEST_DIGITS, MOST_DIGITS = 7, 15

_INVISIBLE: Final = "\u200b"
"""Stands for characters that nobody sees, and for marks on other characters. A number may be full of them."""
_BETWEEN: Final = frozenset(" \t\r\n.-_*·()[]{}" + _INVISIBLE)
"""What may stand between the digits of one number."""
_GAP: Final = 8
"""So many characters of it at the most."""
_GONE: Final = "\x00"
"""Takes the place of an e-mail address; no text holds it."""

_LOCAL_PART: Final = frozenset("._%+'&-" + _INVISIBLE)
_DOMAIN: Final = frozenset(".-" + _INVISIBLE)

_DATE = r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_CLOCK = r"(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)?"
_BASIC = r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])T\d{4}(?:\d\d)?(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)?"
_PLACE = r"[+-]?(?:1[0-7]\d|180|[1-9]?\d)\.\d{4,15}"
_GROUPED = r"[1-9]\d{0,2}(?:(?:\.\d{3}){1,4}|(?:,\d{3}){1,4}|(?: \d{3}){1,4}|(?:'\d{3}){1,4})"
_AMOUNT = rf"(?:{_GROUPED}|[1-9]\d?(?:,\d\d){{1,4}},\d{{3}}|[1-9]\d{{0,8}}|0)(?:[.,]\d{{1,2}})?(?:[.,]-)?"
_SIGN = r"[$¢£¤¥֏؋৲৳૱௹฿៛\u20a0-\u20cf\ufdfc]"
_CODE = (
    "AED|ARS|AUD|BDT|BGN|BHD|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|DZD|EGP|ETB|EUR|GBP|GEL|GHS|HKD|HUF|IDR|ILS|INR|IQD|IRR|ISK"
    "|JOD|JPY|KES|KRW|KWD|KZT|LBP|LKR|MAD|MMK|MXN|MYR|NGN|NOK|NPR|NZD|OMR|PEN|PHP|PKR|PLN|QAR|RON|RSD|RUB|SAR|SEK|SGD"
    "|THB|TND|TRY|TWD|TZS|UAH|UGX|USD|UYU|UZS|VND|XAF|XOF|ZAR"
)
_WORD = (
    r"euros?|dollars?|pounds?|rupees?|rupiah|yen|yuan|pesos?|francs?|franken|reais|lira|won|dirhams?|riyals?|naira|shillings?"
    r"|rs\.?|rp\.?|kr\.?|zł|kč|ft|tl|lei|fr\.|руб\.?|грн\.?"
)
_CURRENCY = rf"(?:{_SIGN}|(?<![A-Za-z])(?:{_CODE})(?![A-Za-z])|(?<![^\W\d_])(?i:{_WORD})(?![^\W\d_])|R\$)"
_ALONE_BEFORE = r"(?<!\d)(?<!\d[ .,'/-])(?<!\+)"
_ALONE_AFTER = r"(?!\d)(?![ .,'/-]\d)"

_WALLS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # ISO 8601: a date, two of them, a date with a time; a time of day.
        rf"(?<!\d)(?<!\d[./-]){_DATE}(?:[T ]{_CLOCK}| ?[-/] ?{_DATE})?(?!\d)(?![./-]\d)",
        rf"(?<!\d){_BASIC}(?!\d)",
        rf"(?<![\d:])(?<!\d\.){_CLOCK}(?![\d:])",
        # Degrees: two numbers, or one with its name or a degree sign, or one that looks like nothing else.
        rf"(?<!\d)(?<!\d\.){_PLACE} ?°? ?[NSEWO]?[ ,;/]{{1,4}}{_PLACE}(?!\d)(?!\.\d)",
        rf"(?i:lat|latitude|lon|long|longitude|lng)[\"']? ?[:=]? ?{_PLACE}(?!\d)(?!\.\d)",
        rf"(?<!\d)(?<!\d\.){_PLACE} ?°",
        r"(?<!\d)(?<!\d[ .-])[1-9]?\d\.\d{4,8}(?!\d)(?![ .-]\d)",
        # Amounts, with the currency on either side.
        rf"{_ALONE_BEFORE}{_AMOUNT}{_ALONE_AFTER} {{0,2}}{_CURRENCY}|{_CURRENCY} {{0,2}}-?{_AMOUNT}{_ALONE_AFTER}",
        # Postcodes with a word or sign that says so.
        r"(?:\b[A-Z]{2} \d{5}-|〒 ?\d{3}-)\d{4}(?!\d)(?![ .-]\d)",
        r"(?i:\bzip|\bcep|\bpostcode|\bplz)(?: ?[:.])? ?(?:\d{5}-\d{3,4}|\d{4}-\d{3})(?!\d)(?![ .-]\d)",
        # What programs call things: a UUID, 32 hexadecimal digits.
        r"(?<![0-9A-Za-z])(?=[\d-]{0,35}[a-fA-F])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![0-9A-Za-z])",
        r"(?<![0-9A-Za-z])(?=\d{0,31}[a-fA-F])[0-9a-fA-F]{32}(?![0-9A-Za-z])",
    )
)
_JOINING: Final = re.compile(
    r"[ ,;…-]{0,8}(?:and|then|followed by|und|dann|danach|et|puis|y|luego|e|depois|poi|ve|sonra|و|ثم|और|फिर)"
    r"(?: (?:then|dann|puis|luego|depois|poi|sonra))?[ ,;:…-]{0,8}",
    re.IGNORECASE,
)
"""Words that people put into one number."""
_JOINT: Final = 32
"""The most characters that such words take, with what is around them."""
_NUMBER_WORDS: Final = frozenset(
    {"CALL", "CELL", "FAX", "FON", "ME", "MOB", "MY", "NO", "NR", "NUM", "SMS", "TEL", "TELE", "TEXT", "TXT", "WA"}
)
"""What people write before a phone number, in capitals."""
_ORDER_WORDS: Final = frozenset({"BOOKING", "INVOICE", "ORDER", "TICKET"})
_DIGITS: Final = re.compile(r"[0-9]+")
_CAPITALS: Final = re.compile(r"[A-Z]+")
_OF_TOKENS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
_TOKEN_SIDE: Final = 24
"""How far a token of capitals and digits is looked at on either side of a number."""


@dataclass(slots=True)
class _Number:
    """Groups of digits that belong together: where it is in the text, and how many digits it has."""

    start: int
    end: int
    digits: int
    groups: int
    trunk: bool
    """It begins as numbers do that one can dial: with `+`, or with 0 and an area code."""
    sliced: bool = False
    """A slash was in it: there is one at the most."""


def masked(text: str, booking_code: str) -> str:
    """`text` with its phone numbers and e-mail addresses masked; as long as it was, in characters.

    `booking_code` is the booking's own code, which stays.
    """
    plain = text if text.isascii() else "".join(map(_plain, text))
    addresses = list(_addresses(plain))
    plain = _covered(plain, addresses, _GONE)
    numbers: list[tuple[int, int]] = []
    if sum(map(str.isdigit, plain)) >= FEWEST_DIGITS:
        numbers = list(_phone_numbers(plain, _walled(plain, booking_code)))
    return _covered(text, addresses + numbers, MASK)


def _covered(text: str, spans: list[tuple[int, int]], cover: str) -> str:
    characters = list(text)
    for start, end in spans:
        characters[start:end] = cover * (end - start)
    return "".join(characters)


def _plain(character: str) -> str:
    """One character for one."""
    if character.isascii():
        return character
    if (digit := unicodedata.digit(character, None)) is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category == "Pd" or character == "\u2212":
        return "-"
    if category in ("Zs", "Zl", "Zp"):
        return " "
    if category in ("Cf", "Mn", "Me"):
        return _INVISIBLE
    folded = unicodedata.normalize("NFKC", character)
    return folded if len(folded) == 1 else character


# --- E-mail addresses ----------------------------------------------------------------------------------------------

_AT: Final = re.compile(r" {0,2}(?:@|[(\[{] {0,2}(?i:at) {0,2}[)\]}]) {0,2}")


def _addresses(plain: str) -> Iterator[tuple[int, int]]:
    """Where e-mail addresses are. Each side of an `@` is looked at once, up to the next one."""
    last = 0
    for at in _AT.finditer(plain):
        start, end = at.start(), at.end()
        while start > last and (plain[start - 1].isalnum() or plain[start - 1] in _LOCAL_PART):
            start -= 1
        while end < len(plain) and (plain[end].isalnum() or plain[end] in _DOMAIN):
            end += 1
        while plain[end - 1] in _DOMAIN:
            end -= 1  # the dot that ends a sentence
        while plain[start] in "'&-.":
            start += 1
        last = at.end()
        name, domain = plain[start : at.start()], plain[at.end() : end]
        top = domain.rpartition(".")[2].replace(_INVISIBLE, "")
        dotted = "." in domain and len(top) >= 2
        if name and top and not top.isdigit() and (dotted or at.group() == "@"):
            yield start, end


# --- Walls ---------------------------------------------------------------------------------------------------------


def _walled(plain: str, booking_code: str) -> bytearray:
    """One byte for each character: 1 where it belongs to something that is no phone number."""
    walls = bytearray(len(plain))
    for pattern in (*_WALLS, *_code_patterns(booking_code)):
        for found in pattern.finditer(plain):
            walls[found.start() : found.end()] = b"\x01" * (found.end() - found.start())
    return walls


def _code_patterns(booking_code: str) -> Iterator[re.Pattern[str]]:
    """The booking's own code. A few digits alone are no reason to cut a phone number in two."""
    if not booking_code.isdigit() or len(booking_code) >= FEWEST_DIGITS:
        yield re.compile(rf"(?<![A-Za-z0-9]){re.escape(booking_code)}(?![A-Za-z0-9])", re.IGNORECASE)


# --- Phone numbers -------------------------------------------------------------------------------------------------


def _phone_numbers(plain: str, walls: bytearray) -> Iterator[tuple[int, int]]:
    """Where phone numbers are."""
    numbers = list(_numbers(plain, walls))
    said = _said_in_parts(plain, numbers)
    for index, number in enumerate(numbers):
        whole = number.digits >= FEWEST_DIGITS and not _is_order_number(plain, number)
        if whole or index in said:
            yield _with_edges(plain, number)


def _groups(plain: str, walls: bytearray) -> Iterator[tuple[int, int]]:
    """Runs of digits outside all walls, but for those that are too long."""
    for found in _DIGITS.finditer(plain):
        start, end = found.span()
        if not walls[start] and end - start <= MOST_DIGITS:
            yield start, end


def _numbers(plain: str, walls: bytearray) -> Iterator[_Number]:
    """Groups of digits joined to numbers."""
    number: _Number | None = None
    for start, end in _groups(plain, walls):
        gap = plain[number.end : start] if number and start - number.end <= _GAP else None
        if number and gap is not None and not any(walls[number.end : start]) and _joins(number, gap):
            number.sliced = number.sliced or "/" in gap
            number.end, number.digits, number.groups = end, number.digits + end - start, number.groups + 1
            continue
        if number:
            yield number
        plus = plain[max(0, start - 2) : start].rstrip(" (").endswith("+")
        number = _Number(start, end, end - start, 1, plus or (plain[start] == "0" and end - start >= 3))
    if number:
        yield number


def _joins(number: _Number, gap: str) -> bool:
    """Whether `gap` is no more than a pause in a number. One slash is, behind an area code: 030/123 45 67."""
    if number.trunk and not number.sliced and number.groups <= 2 and gap.strip(" ") == "/":
        return True
    return all(character in _BETWEEN for character in gap)


def _said_in_parts(plain: str, numbers: list[_Number]) -> set[int]:
    """Numbers that are the parts of one, with words between: "0170 and then 123 and 4567"."""
    found: set[int] = set()
    chain: list[int] = []

    def close() -> None:
        digits = sum(numbers[index].digits for index in chain)
        if len(chain) > 1 and FEWEST_DIGITS <= digits <= MOST_DIGITS:
            found.update(chain)

    for index, number in enumerate(numbers):
        before = numbers[index - 1] if chain else None
        near = before is not None and number.start - before.end <= _JOINT
        if before and near and number.digits > 1 and _JOINING.fullmatch(plain, before.end, number.start):
            chain.append(index)
            continue
        close()
        chain = [index] if number.trunk or (plain[number.start] == "0" and number.digits > 1) else []
    close()
    return found


def _is_order_number(plain: str, number: _Number) -> bool:
    """Whether it is part of a token of capitals and digits, as order numbers, plates and tickets are: `AB1234567`."""
    start, end = number.start, number.end
    if any(character not in _OF_TOKENS for character in plain[start:end]):
        return False
    before, after = plain[max(0, start - _TOKEN_SIDE) : start], plain[end : end + _TOKEN_SIDE]
    before, after = before[len(before.rstrip(_OF_TOKENS)) :], after[: len(after) - len(after.lstrip(_OF_TOKENS))]
    words = _CAPITALS.findall(before) + _CAPITALS.findall(after)
    if not words or _NUMBER_WORDS.intersection(words):
        return False
    if any(len(word) > 4 and word not in _ORDER_WORDS for word in words):
        return False
    dialled = plain[start] == "0" and number.digits >= 9
    return len(words) > 1 or (number.digits <= 9 and not dialled)


def _with_edges(plain: str, number: _Number) -> tuple[int, int]:
    """The number with its `+`, and with a bracket whose partner is in it."""
    start, end = number.start, number.end
    inside = plain[start:end]
    opens, closes = sum(map(inside.count, "([{")), sum(map(inside.count, ")]}"))
    for _ in range(4):
        before = plain[start - 1 : start]
        if before in ("(", "[", "{") and before and opens < closes:
            opens += 1
        elif before != "+" and not (before == " " and plain[start - 2 : start - 1] == "+"):
            break
        start -= 1
    if plain[end : end + 1] in (")", "]", "}") and opens > closes:
        end += 1
    return start, end
