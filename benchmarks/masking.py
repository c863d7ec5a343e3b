"""How well does masking tell phone numbers and e-mail addresses from other numbers, and what does it take?

The texts are made from a fixed seed: sentences as people write them on a ride, with numbers in the forms of many
countries put in, or things that only look like one. A contact counts as found if all of it is masked. Everything else
that is masked counts as wrong.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.report import Bars, Goal, Report, progress
from send_message.masking import MASK, masked

EACH = 400
BOOKING = "RIDE-48213377"
SENTENCES = (
    "{}",
    "call me: {}",
    "My number is {}, I am at the north exit",
    "{} is what the receipt says",
    "Please take {} with you 🙏",
    "ok ({})",
    "Ich stehe am Eingang, {}.",
    "Je suis là, {} !",
    "2 people, 3 bags, {}",
    "I will be there in 5 min\n{}",
    "मैं गेट पर हूँ {}",
    "أنا عند الباب {}",
)
DIGITS = {"Arabic": "٠١٢٣٤٥٦٧٨٩", "Devanagari": "०१२३४५६७८९", "full-width": "０１２３４５６７８９"}
CONTACTS = {
    "German": ("0170 1234567", "0170/1234567", "+49 (0)30 123456", "030-12 34 56 78", "0049 170 1234567"),
    "North American": ("(555) 223-4567", "555-223-4567", "+1 555 223 4567", "5552234567", "223-4567"),
    "British": ("07700 900123", "+44 7700 900123", "(020) 7946 0123"),
    "French": ("06 12 34 56 78", "06.12.34.56.78", "+33 6 12 34 56 78"),
    "Indian": ("98765 43210", "+91-98765-43210", "9876543210"),
    "Brazilian": ("(11) 91234-5678", "+55 11 91234-5678", "91234-5678"),
    "Japanese": ("090-1234-5678", "+81 90 1234 5678"),
    "Turkish": ("0532 123 45 67", "+90 532 123 45 67"),
    "digit by digit": ("0 1 7 0 1 2 3 4 5 6 7", "0-1-7-0-1-2-3-4-5-6-7"),
    "e-mail": ("tom.smith12@example.com", "t@example.co.uk", "tom12 (at) example.org"),
}
OTHERS = {
    "prices": ("12,50 €", "EUR 1,234.50", "1.234.567,89 EUR", "₹ 12,34,567", "1500000 IDR", "$1234567"),
    "times": ("10:15", "22:30:15", "10:15–10:45", "7:05 pm"),
    "ISO dates": ("2026-03-01", "2026-03-01T10:15:30.123456Z", "2026-03-01 10:15"),
    "other dates": ("01.03.2026", "01/03/2026", "3 March 2026"),
    "plates": ("B-AB 1234", "AB12 CDE", "KA-01-HH-1234", "8ABC123"),
    "postcodes": ("10115 Berlin", "SW1A 1AA", "560 001", "CA 90210-1234", "〒100-0001"),
    "coordinates": ("48.137154, 11.576124", "-33.856784,151.215297", "48.1371° N, 11.5761° E", "48.137154"),
    "this booking's code": (BOOKING,),
    "order numbers": ("ORD-1234567", "AB1234567", "A1B2C3D4E5", "1Z999AA10123456784"),
    "bare numbers": ("1234567", "12345 123", "gate 12, row 34, seat 5", "192.168.10.200"),
}


@dataclass(frozen=True)
class Case:
    """A text, and the contact in it, if any."""

    kind: str
    text: str
    contact: str


def varied(form: str, chance: random.Random) -> str:
    """The form with other digits from 2 to 9, except the first ones, which say what it is."""
    return "".join(chance.choice("23456789") if character in "23456789" else character for character in form)


def cases() -> Iterator[Case]:
    """All texts, from a fixed seed."""
    chance = random.Random(7)
    for kind, forms in CONTACTS.items():
        for _ in range(EACH):
            contact = varied(chance.choice(forms), chance)
            yield Case(kind, chance.choice(SENTENCES).format(contact), contact)
    for script, digits in DIGITS.items():
        for _ in range(EACH):
            form = varied(chance.choice(CONTACTS["German"] + CONTACTS["Indian"]), chance)
            contact = form.translate(str.maketrans("0123456789", digits))
            yield Case(f"{script} digits", chance.choice(SENTENCES).format(contact), contact)
    for kind, forms in OTHERS.items():
        for _ in range(EACH):
            form = chance.choice(forms)
            keeps = kind in ("this booking's code", "ISO dates", "times", "coordinates", "other dates")
            yield Case(kind, chance.choice(SENTENCES).format(form if keeps else varied(form, chance)), "")


def microseconds(text: str, run: Callable[[str, str], str] = masked) -> float:
    """The CPU time that `text` takes in microseconds; the median of many runs."""
    taken: list[float] = []
    for _ in range(50):
        started = time.process_time_ns()
        for _ in range(20):
            run(text, BOOKING)
        taken.append((time.process_time_ns() - started) / 20_000)
    return statistics.median(taken)


def main() -> None:
    found: dict[str, list[bool]] = {}
    right = wrong = missed = 0
    for case in progress(list(cases()), "masking"):
        stored = masked(case.text, BOOKING)
        start = case.text.find(case.contact) if case.contact else 0
        span = range(start, start + len(case.contact))
        hidden = [index for index, character in enumerate(stored) if character == MASK]
        whole = all(index in hidden for index in span)
        beside = [index for index in hidden if index not in span]
        right += bool(case.contact) and whole
        missed += bool(case.contact) and not whole
        wrong += bool(beside)
        found.setdefault(case.kind, []).append(whole and not beside)
    precision, recall = right / (right + wrong), right / (right + missed)
    report = Report(
        "masking", "How well does masking tell contacts from other numbers?", ["kind", "texts", "as it should be"]
    )
    for kind, each in found.items():
        report.rows.append([kind, len(each), f"{100 * sum(each) / len(each):.1f} %"])
    report.goals = [
        Goal("masked contacts, of all contacts (recall)", "≥", 0.99, recall),
        Goal("masked contacts, of all that was masked (precision)", "≥", 0.9, precision),
    ]
    report.bars = [Bars("Share", "", [("recall", recall), ("precision", precision)])]
    plain = "I am at the corner, next to the bakery"
    plain, number = "I am at the corner, next to the bakery", "0170 1234567 "
    taken = [f"{microseconds(text):,.0f} µs" for text in (plain, f"{plain} {number}", number * 384)]
    report.notes = [
        f"CPU: {taken[0]} for a text without numbers, {taken[1]} with one, {taken[2]} for 5,000 characters of them.",
        "A date that is not ISO 8601 and a bare number of seven digits are in doubt, so they are masked.",
    ]
    report.publish()


if __name__ == "__main__":
    main()
