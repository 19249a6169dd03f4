"""Makes up transactions that are shaped like a real retailer's: where there is no file, and for tests.

Seeded and reproducible: pure functions over ``random.Random(seed)``. Its rates and distributions come from a
real month (42,481 lines of December 2010), its products, codes and customer numbers from nowhere. What it
makes are rows of CSV under :data:`HEADER`, invoice by invoice; they take the same way as those of a file.
Retail transactions are the one shape that it has. Not here: encoding, sending, landing.
"""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

HEADER = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")

Fields = tuple[str, ...]
Invoice = list[Fields]

# Trade by hour of day (UTC), in per mille of a day's lines. None at night, and none on Saturdays.
_HOURS = {7: 1, 8: 5, 9: 64, 10: 80, 11: 122, 12: 119, 13: 128, 14: 177, 15: 145, 16: 83, 17: 48, 18: 18}
_HOURS |= {19: 8, 20: 2}
_SATURDAY = 5

# Deciles of the lines of an invoice and, at twentieths, of a line's quantity and price.
_LINES: Sequence[float] = (1, 1, 1, 2, 5, 8, 13, 17, 25, 43, 260)
_QUANTITIES: Sequence[float] = (1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 4, 4, 6, 7, 10, 12, 17, 24, 60)
_PRICES: Sequence[float] = (
    *(0.19, 0.43, 0.85, 0.85, 1.25, 1.28, 1.65, 1.66, 2.1, 2.51),
    *(2.55, 2.95, 3.36, 3.75, 4.21, 4.65, 5.45, 6.75, 8.47, 11.02, 19.95),
)

_CANCELLED = 0.16  # of invoices
_ANONYMOUS = 0.13  # of invoices: no customer
_ADJUSTMENT = 0.08  # of invoices: one line, price 0, often without a description
_TWIN = 0.004  # of lines: the one before it once more

_COUNTRIES = {"United Kingdom": 9446, "Germany": 133, "France": 103, "EIRE": 95, "Norway": 35, "Portugal": 28}
_COUNTRIES |= {"Belgium": 22, "Cyprus": 20, "Spain": 18, "Netherlands": 18, "Italy": 16, "Poland": 14}
_COUNTRIES |= {"Japan": 12, "Switzerland": 10, "Finland": 10, "Sweden": 10, "Denmark": 6, "Australia": 4}

_LOOKS = ("RED", "IVORY", "SLATE BLUE", "SAGE GREEN", "STRIPED", "SPOTTED", "FOLK ART", "VINTAGE STYLE")
_STUFFS = ("ENAMEL", "COTTON", "WILLOW", "GLASS", "TIN", "CERAMIC", "FELT", "PAPER", "OAK", "LINEN")
_THINGS = (
    *("JUG", "CAKE STAND", "LANTERN", "TEA TOWEL", "STORAGE BOX", "DOORMAT", "GARLAND", "PHOTO FRAME"),
    *("MUG", "WALL HOOK", "PLANTER", "CUSHION", "NAPKINS", "BISCUIT BARREL", "CLOCK", "BUNTING"),
)

_LIVE_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Article:
    code: str
    description: str
    price: str


class Generator:
    """Makes invoices.

    Args:
        seed: The same seed makes the same invoices, given the same times.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 -- data, not secrets
        self._articles = _catalogue(self._rng)
        self._favourites = list(accumulate(1 / (rank + 200) for rank in range(len(self._articles))))
        self._customers = self._rng.sample(range(12346, 18288), 1200)

    def invoice(self, number: int, when: datetime, most: int | None = None) -> Invoice:
        """One invoice.

        Args:
            number: Its number.
            when: Its time, aware; written to the second, in UTC.
            most: The most lines that it may have; None for any number.
        """
        rng = self._rng
        kind = rng.random()
        stamp = f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        country = rng.choices(tuple(_COUNTRIES), tuple(_COUNTRIES.values()))[0]
        if kind < _ADJUSTMENT:
            return [self._adjustment(str(number), stamp)]
        cancelled = kind < _ADJUSTMENT + _CANCELLED
        anonymous = not cancelled and kind < _ADJUSTMENT + _CANCELLED + _ANONYMOUS
        customer = "" if anonymous else f"{rng.choice(self._customers)}.0"
        count = round(_between(_LINES, rng.random()))
        if cancelled:
            count = 1 + count // 12
        elif anonymous:
            count = 3 * count
        lines: Invoice = []
        for _ in range(count if most is None else min(count, most)):
            if lines and rng.random() < _TWIN:
                lines.append(lines[-1])
                continue
            article = rng.choices(self._articles, cum_weights=self._favourites)[0]
            quantity = round(_between(_QUANTITIES, rng.random())) * (-1 if cancelled else 1)
            name = f"C{number}" if cancelled else str(number)
            lines.append(
                (
                    name,
                    article.code,
                    article.description,
                    str(quantity),
                    stamp,
                    article.price,
                    customer,
                    country,
                )
            )
        return lines

    def _adjustment(self, number: str, stamp: str) -> Fields:
        """Stock that was found or written off."""
        rng = self._rng
        article = rng.choice(self._articles)
        description = rng.choice(("", "", article.description, "damaged", "?"))
        quantity = rng.choice((-1, 1)) * rng.randrange(1, 60)
        return (number, article.code, description, str(quantity), stamp, "0.0", "", "United Kingdom")

    def past(self, records: int, days: int, last_day: date) -> Iterator[Invoice]:
        """A history: invoices in the order of time, to the minute, with the gaps that trade has.

        Args:
            records: How many lines, exactly.
            days: Over how many calendar days; Saturdays among them stay without trade.
            last_day: The last of them.
        """
        rng = self._rng
        slots = _trading_hours(days, last_day)
        moods = {slot.date(): rng.uniform(0.7, 1.3) for slot in slots}
        weights = list(accumulate(_HOURS[slot.hour] * moods[slot.date()] for slot in slots))
        number, made = 600_000, 0
        for slot, weight in zip(slots, weights, strict=True):
            due = round(records * weight / weights[-1]) - made
            made += due
            invoices: list[Invoice] = []
            minutes: list[datetime] = []
            while due:
                minutes.append(slot + timedelta(minutes=rng.randrange(60)))
                invoices.append(self.invoice(number + len(invoices), slot, due))
                due -= len(invoices[-1])
            for invoice, minute in zip(invoices, sorted(minutes), strict=True):
                yield [(*line[:4], f"{minute:%Y-%m-%d %H:%M:%S}", *line[5:]) for line in invoice]
            number += len(invoices)

    def live(self, now: Callable[[], datetime]) -> Iterator[Invoice]:
        """Invoices without end, each at the time (aware) at which it is asked for.

        Their numbers begin at the milliseconds since 2020, so that another run makes other invoices.
        """
        number = (now() - _LIVE_EPOCH) // timedelta(milliseconds=1)
        while True:
            yield self.invoice(number, now())
            number += 1


def write_csv(path: Path, invoices: Iterator[Invoice]) -> int:
    """Write invoices as a CSV file with the header; how many lines it has.

    Raises:
        OSError: The file cannot be written.
    """
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for invoice in invoices:
            writer.writerows(invoice)
            count += len(invoice)
    return count


def _trading_hours(days: int, last_day: date) -> list[datetime]:
    dates = [last_day - timedelta(days=back) for back in reversed(range(days))]
    trading = [day for day in dates if day.weekday() != _SATURDAY] or [last_day - timedelta(days=1)]
    return [datetime.combine(day, time(hour), UTC) for day in trading for hour in _HOURS]


def _between(knots: Sequence[float], at: float) -> float:
    """The value at a share (0 to 1) of a distribution that is given by equally spaced quantiles."""
    position = at * (len(knots) - 1)
    index = int(position)
    return knots[index] + (position - index) * (knots[index + 1] - knots[index])


def _catalogue(rng: random.Random) -> list[_Article]:
    """Articles with the traits that break naive readers: commas, quotes, trailing blanks, lettered codes."""
    names = [" ".join(words) for words in product(_LOOKS, _STUFFS, _THINGS)]
    rng.shuffle(names)
    codes = rng.sample(range(10_000, 90_000), len(names))
    articles = []
    for name, code in zip(names, codes, strict=True):
        trait = rng.random()
        description = name
        if trait < 0.01:
            description = f"{name}, SET OF {rng.randrange(2, 7)}"
        elif trait < 0.014:
            description = f'{name} "HOME SWEET HOME"'
        elif trait < 0.21:
            description = f"{name} "
        letter = rng.choice("ABCDEFG") if rng.random() < 0.12 else ""
        price = max(0.01, round(_between(_PRICES, rng.random()), 2))
        articles.append(_Article(f"{code}{letter}", description, str(price)))
    return articles
