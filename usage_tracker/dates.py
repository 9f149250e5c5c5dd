"""Days, weeks and months of the calendar."""

from datetime import date, timedelta

ONE_DAY = timedelta(days=1)


def first_day(unit: str, day: date) -> date:
    """Of the day, week or month that the day is in. Weeks start on Monday."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day


def day_after(unit: str, first: date) -> date:
    """The one after the day, week or month that starts then."""
    return next_month(first) if unit == "month" else first + timedelta(days=7 if unit == "week" else 1)


def next_month(day: date) -> date:
    """The first day of the month after."""
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


def months_later(day: date, months: int) -> date:
    """The same day that many months later, or the last one of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    first = date(year, month + 1, 1)
    return min(first + timedelta(days=day.day - 1), next_month(first) - ONE_DAY)
