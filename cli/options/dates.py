"""Parse dates as people type them, to the first moment of the period in local time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from nmm.index.errors import UsageError

HINT = (
    "Write 2023, 2023-05, 2023-05-01, '2023-05-01 18:30', 'May 2023', yesterday, 'last month' "
    "or '2 weeks ago'."
)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ISO = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d?)(?:-(?P<day>\d\d?)"
    r"(?:[T ](?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d+)?)?"
    r" ?(?P<zone>Z|[+-]\d\d:?\d\d)?)?)?)?",
    re.IGNORECASE,
)
_BASIC = re.compile(r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)")
_NAMED = re.compile(
    r"(?:(?P<day>\d\d?)\.? )?(?P<name>[a-z]{3,9})\.? (?:(?P<late_day>\d\d?),? )?(?P<year>\d{4})"
)
_AGO = re.compile(r"(?P<count>\d{1,6}|an?) ?(?P<unit>[a-z]+)(?: ago)?")
_STARTS = re.compile(r"(?P<which>this|last) (?P<what>[a-z]+)")
_MONTHS_OF = {"month": 1, "year": 12}
_UNITS = {
    "min": "minute", "m": "month", "h": "hour", "hr": "hour", "d": "day", "w": "week", "wk": "week",
    "mo": "month", "y": "year", "yr": "year",
}  # fmt: skip


def parse_date(text: str, now: datetime | None = None) -> str:
    """Return the first moment of the period that a text names, ``YYYY-MM-DDTHH:MM:SS`` local time.

    The text is a prefix of an ISO 8601 date and time, a date with an English month name, or
    relative to now. Days and longer units begin at midnight: "2 weeks ago" is the beginning of
    that day, "last month" the beginning of its first day.

    Args:
        text: The typed text.
        now: The current local time.

    Raises:
        UsageError: It is not a date.
    """
    wanted = " ".join(text.casefold().split())
    now = (now or datetime.now()).replace(microsecond=0)
    try:
        for pattern, meaning in _MEANINGS:
            if matched := pattern.fullmatch(wanted):
                return meaning(matched, now).isoformat()
    except (ValueError, OverflowError, OSError) as error:
        why = str(error)
    else:
        why = ""
    raise UsageError(f"{text!r} is not a date that nmm understands.", why=why, hint=HINT)


def _absolute(matched: re.Match[str], now: datetime) -> datetime:
    del now
    parts = {name: part for name, part in matched.groupdict().items() if part}
    zone = parts.pop("zone", None)
    numbers = {"month": 1, "day": 1} | {name: int(part) for name, part in parts.items()}
    moment = datetime(**numbers)  # type: ignore[arg-type]
    if zone is None:
        return moment
    offset = zone.upper().replace("Z", "+0000").replace(":", "")
    there = datetime.strptime(f"{moment:%Y-%m-%dT%H:%M:%S}{offset}", "%Y-%m-%dT%H:%M:%S%z")
    return there.astimezone().replace(tzinfo=None)


def _named(matched: re.Match[str], now: datetime) -> datetime:
    del now
    if (name := matched["name"][:3]) not in MONTHS:
        raise ValueError(f"{matched['name']} is not a month")
    day = int(matched["day"] or matched["late_day"] or 1)
    return datetime(int(matched["year"]), MONTHS.index(name) + 1, day)


def _word(matched: re.Match[str], now: datetime) -> datetime:
    word = matched[0]
    today = _midnight(now)
    if word in DAYS:
        return today - timedelta((today.weekday() - DAYS.index(word)) % 7)
    return {
        "now": now,
        "today": today,
        "yesterday": today - timedelta(1),
        "tomorrow": today + timedelta(1),
    }[word]


def _starts(matched: re.Match[str], now: datetime) -> datetime:
    """Return the beginning of this or the last week, month or year, or of such a day."""
    today, back = _midnight(now), matched["which"] == "last"
    what = matched["what"]
    if what == "week":
        return today - timedelta(today.weekday() + 7 * back)
    if what in _MONTHS_OF:
        first = today.replace(day=1, month=1 if what == "year" else today.month)
        return _months_before(first, _MONTHS_OF[what] * back)
    if what in DAYS:
        days = (today.weekday() - DAYS.index(what)) % 7
        return today - timedelta(days + 7 * (back and not days))
    raise ValueError(f"{what} is neither week, month, year nor a day of the week")


def _ago(matched: re.Match[str], now: datetime) -> datetime:
    count = 1 if matched["count"].startswith("a") else int(matched["count"])
    unit = _UNITS.get(matched["unit"], matched["unit"].removesuffix("s"))
    if unit in {"second", "minute", "hour"}:
        return now - timedelta(**{f"{unit}s": count})
    if unit in {"day", "week"}:
        return _midnight(now) - timedelta(**{f"{unit}s": count})
    if unit in _MONTHS_OF:
        return _months_before(_midnight(now), _MONTHS_OF[unit] * count)
    raise ValueError(f"{matched['unit']} is not a unit of time")


def _months_before(day: datetime, months: int) -> datetime:
    """Return the same day of an earlier month, or its last day if it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    following = datetime(year + (month == 11), (month + 1) % 12 + 1, 1)
    return day.replace(year=year, month=month + 1, day=min(day.day, (following - timedelta(1)).day))


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0)


_MEANINGS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], datetime], datetime]], ...] = (
    (_ISO, _absolute),
    (_BASIC, _absolute),
    (re.compile("|".join(("now", "today", "yesterday", "tomorrow", *DAYS))), _word),
    (_STARTS, _starts),
    (_NAMED, _named),
    (_AGO, _ago),
)
