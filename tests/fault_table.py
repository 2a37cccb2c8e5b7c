"""What the tests did to files and runs, and what was lost by it: counted over the whole session, printed at its end."""

from typing import NamedTuple


class Row(NamedTuple):
    """One kind of fault: how often it was tried, and in how many of these cases something was lost or wrong."""

    tries: int
    losses: int


_rows: dict[str, Row] = {}


def record(kind: str, tries: int, losses: int) -> None:
    """Add to the counts of this kind of fault, such as "a file cut off"."""
    before = _rows.get(kind, Row(0, 0))
    _rows[kind] = Row(before.tries + tries, before.losses + losses)


def lines_of(rows: dict[str, Row]) -> list[str]:
    """The table, in the order in which the kinds came up, with a row for all of them; [] if there are none."""
    if not rows:
        return []
    total = Row(sum(row.tries for row in rows.values()), sum(row.losses for row in rows.values()))
    width = max(map(len, [*rows, "kind of fault"]))
    lines = [f"{'kind of fault':<{width}}  {'tried':>7}  {'losses':>7}"]
    for kind, row in {**rows, "all": total}.items():
        lines.append(f"{kind:<{width}}  {row.tries:>7,}  {row.losses if row.losses else 'none':>7}")
    return lines


def recorded() -> list[str]:
    """The table of this session."""
    return lines_of(_rows)
