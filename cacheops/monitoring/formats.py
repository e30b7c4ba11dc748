"""Numbers as text: shares, durations, sizes."""

NONE = "–"


def share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def duration(seconds: float | None) -> str:
    """Return a duration in the unit that suits it: 85 µs, 1.2 ms, 3.4 s."""
    if seconds is None:
        return NONE
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def lifetime(seconds: float) -> str:
    """Return a duration in the unit that suits it, up to days: 4 min, 21.5 h."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}".replace(".0 ", " ")
    return duration(seconds)


def human_bytes(count: float) -> str:
    """Return bytes as Redis writes them: 1.50M."""
    for unit in ("B", "K", "M", "G"):
        if abs(count) < 1024 or unit == "G":
            return f"{count:.0f}B" if unit == "B" else f"{count:.2f}{unit}"
        count /= 1024
    return ""
