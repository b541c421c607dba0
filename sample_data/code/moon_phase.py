"""The phase of the Moon on a given day, right to within a day.

>>> from datetime import date
>>> phase_name(date(2024, 4, 8))  # a total solar eclipse over North America
'new moon'
>>> phase_name(date(2022, 11, 8))  # a total lunar eclipse
'full moon'
"""

from datetime import date, datetime, timezone
from math import cos, pi

# The mean time from one new moon to the next, in days. A single lunation can
# differ from it by some seven hours, because the orbits are not circles.
SYNODIC_MONTH = 29.530589

# The first new moon of the year 2000.
EPOCH = datetime(2000, 1, 6, 18, 14, tzinfo=timezone.utc)

NAMES = (
    "new moon",
    "waxing crescent",
    "first quarter",
    "waxing gibbous",
    "full moon",
    "waning gibbous",
    "last quarter",
    "waning crescent",
)


def moon_age(day: date) -> float:
    """Return the days since the last new moon, at noon UTC."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc)
    return (noon - EPOCH).total_seconds() / 86400 % SYNODIC_MONTH


def illuminated(day: date) -> float:
    """Return how much of the Moon's disc is lit, from 0 to 1."""
    return (1 - cos(2 * pi * moon_age(day) / SYNODIC_MONTH)) / 2


def phase_name(day: date) -> str:
    """Return the name of the nearest of the eight phases."""
    return NAMES[round(8 * moon_age(day) / SYNODIC_MONTH) % 8]
