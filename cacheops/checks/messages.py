"""What the checks can find, and how they say it."""

from collections.abc import Callable, Iterator

from django.core.checks import CheckMessage, Error, Warning

from cacheops.exceptions import InvalidOption

# What each check finds, by its id after "cacheops.". A setting that is wrong by itself has the id of its kind
# (cacheops.conf.kinds). Ids that were given up are not used again.
CHECKS = {
    "E001": "A name in `CACHEOPS` is no model's of its app.",
    "E002": "A profile in `CACHEOPS` has an option that is unknown, or can't work.",
    "E003": "`CACHEOPS_DEFAULTS` has an option that is unknown, or can't work.",
    "E004": "A TTL strategy can't be kept.",
    "E005": "A region is no alias in `CACHES`.",
    "E006": "A region's alias in `CACHES` is none on which entries can be kept.",
    "E007": "`CACHEOPS_LOCAL_REGION` is none of the regions.",
    "E008": "A word is none of those that the setting knows.",
    "E009": "The default database's engine does not call the cache.",
    "E010": "A database that is cached is another one by a second name: writes by that name would not invalidate it.",
    "E011": "A number of write-behind's can't work.",
    "E012": "A setting that is to be `True` or `False` is neither: text is always true.",
    "E013": "A duration is no number of seconds, or out of range.",
    "E014": "A count is no whole number, or out of range.",
    "E015": "A share or a factor is no number, or out of range.",
    "E016": "`CACHEOPS_PREFIX` can't begin keys, or is a function that needs arguments.",
    "E017": "A token is no text, or holds white space, which no header can.",
    "E018": 'The regions are no list of different names, or none: `("default")` is text, `("default",)` is a tuple.',
    "E019": "A network can't be read, or the networks are no list.",
    "E020": "A dictionary is none, or has keys or values that it can't have.",
    "E021": "A dictionary by region names what is no region.",
    "E022": "A mark would end before the servers have had the time to confirm it.",
    "E023": "PyPI's django-cacheops is installed beside this engine: both are the package `cacheops`.",
    "E024": "A database that is cached is in no region of `CACHEOPS_REGIONS`.",
    "E025": "Relays are installed on a database, and can't work (`check --database default`).",
    "E026": "A follower is none: it, its primary, or their regions contradict each other.",
    "E027": "Sentinels don't know the service that `LOCATION` names, or refuse to tell (`check --database default`).",
    "W001": "A region is a cluster, and nothing says how many replicas its shards have.",
    "W004": "Write-behind does not buffer, as its server may evict what it buffers.",
    "W005": "A setting whose name begins with `CACHEOPS` is unknown: misspelt, perhaps.",
    "W006": "Fewer replicas confirm what is written than `CACHEOPS_WAIT_REPLICAS` says (`check --database default`).",
    "W007": "A name in `CACHEOPS` begins with an app that is not installed: it stands for nothing.",
    "W008": "Relays are installed on a database, and don't see a cached table (`check --database default`).",
    "W009": "Sentinel may replace a living primary, and not all replicas are waited for (`check --database default`).",
    "W010": "Relays don't see all changes of the schema, for want of event triggers (`check --database default`).",
    "W011": "A database is followed, and no relay can tell what is written to it (`check --database default`).",
}

TAG = "cacheops"  # of all checks: `manage.py check --tag cacheops`
OPTIONS_HINT = "docs/how-to/use-cacheops.md has the options of a profile."


def message(check: str, text: str, hint: str) -> CheckMessage:
    assert check in CHECKS, check  # which makes the reference page
    level = Error if check.startswith("E") else Warning
    return level(text, hint=hint, id=f"cacheops.{check}")


def found(*rules: Callable[[], Iterator[CheckMessage]]) -> list[CheckMessage]:
    """Return what rules find. One that reads a setting which is wrong by itself ends there: check_settings finds it."""
    messages: list[CheckMessage] = []
    for rule in rules:
        try:
            messages += rule()
        except InvalidOption:
            continue
    return messages
