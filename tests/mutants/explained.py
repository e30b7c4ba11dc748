"""Mutants that no test can kill, and why: these do what the code does, or what nobody is promised.

By a mutant's name (`Mutant.name`). A test holds that each is still one.
"""

EXPLAINED: dict[str, str] = {
    "cacheops/backends/memory.py pttl: 0 -> (1)": "of a key that is not there, a moment of 1970 is as much over as 0.",
    "cacheops/fragments.py arguments_of: not takes_context -> (takes_context)": "Django 5.2 does not come to it.",
    "cacheops/monitoring/recorder.py start: 0 -> (1)": "at a process's end both come before its children are joined.",
    "cacheops/orm/fingerprint.py _lookup: "
    "return (name_of(type(node)), left, ('L', *[self._node(item) for item in items]), extra) "
    "-> return None": "Django 5.2.19 gives a list with expressions in it as one expression.",
    "cacheops/orm/fastpath/queryset.py _answer: fast is not None and conditions is not None -> "
    "(fast is not None or conditions is not None)": "a known kind has conditions; without a plan nothing reads them.",
    "cacheops/relay/stream.py receive: length < 0 -> (length <= 0)": "0 has been dealt with above.",
    "cacheops/redis/cluster.py infos: self.client.known_for > LAYOUT_SECONDS -> "
    "(self.client.known_for >= LAYOUT_SECONDS)": "no clock shows just the moment at which they differ.",
    "cacheops/regions/hotkeys.py record: time.monotonic() - self._sent_at > SEND_SECONDS -> "
    "(time.monotonic() - self._sent_at >= SEND_SECONDS)": "no clock shows just the moment at which they differ.",
}
