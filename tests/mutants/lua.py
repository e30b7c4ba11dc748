"""The mutants of Lua scripts, made by hand: one a rule that a script keeps."""

from pathlib import Path

from tests.mutants.places import ROOT, Mutant

FOLDER = Path("cacheops/stores/lua")
# Of a script: what stands there once, and what takes its place.
BY_HAND = {
    "add_sums": [("'1', 'NX', 'EX'", "'1', 'EX'"), ("(sums[name] or 0) + count", "count"), ("HGET", "HVALS")],
    "buffer_append": [
        ("if policy then return 'evicts ' .. policy end", ""),
        ("== 0 then return 'idle'", "== 9 then return 'idle'"),
        ("+ count > tonumber", "> tonumber"),
        ("< ARGV[at] then", "<= '' then"),
    ],
    "buffer_done": [("redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 2))", "")],
    "buffer_leave": [
        ("found['pending'] == 0 and ", ""),
        ("found['name'] == ARGV[2] or ", ""),
        (" or found['idle'] > tonumber(ARGV[3])", ""),
        ("redis.call('HDEL', KEYS[2], ARGV[2])", ""),
    ],
    "buffer_stats": [
        ("if now - tonumber(seen) < tonumber(ARGV[2]) then workers", "do workers"),
        ("if found['name'] == ARGV[1] then taken", "do taken"),
    ],
    "buffer_take": [
        (" * 2 ^ math.min(entry[4] - 1, MOST_DOUBLINGS)", ""),
        ("entry[4] - 1, MOST_DOUBLINGS", "entry[4] - 1"),
        ("= entry[4] + 1", "= entry[4]"),
        ("group, '0')", "group, '$')"),
        ("'XLEN', stream) - pending", "'XLEN', stream)"),
        (" and not evicting_policy()", ""),
        ("#ids < count and entry[3]", "entry[3]"),
    ],
    "clear": [
        ("if others ~= '' then", "if false then"),
        ("if stands then standing = standing + 1 end", "standing = standing + 1"),
        ("if standing < expected then", "if false then"),
        ("and tonumber(deadline) > now ", ""),
        ("if is_clean(generation) then", "do"),
        ("'w:' .. ARGV[1], 'x:' .. ARGV[1]", "'w:' .. ARGV[1]"),
    ],
    "fill_many": [(", 'PX', ARGV[2 * at]", "")],
    "follow": [
        (" and held ~= ARGV[2] then return 0", " then return 0"),
        ("if missing then return schemes end", ""),
        ("if #registered == 0 and is_clean(read_tag(KEYS[4])) then", "if false then"),
        ("if is_clean(read_tag(KEYS[at])) then", "do"),
        ("    redis.call('DEL', KEYS[2])\nend\nreturn", "end\nreturn"),
        ("if left > 0 then", "if true then"),
        (", 'PX', left", ""),
    ],
    "invalidate": [("if is_clean(read_tag(KEYS[at])) then", "if read_tag(KEYS[at]) then")],
    "lease": [
        ("if is_pending(value) then return 'pending' end", ""),
        ("if closed and not tags[at] then return 'pending' end", ""),
        ("if foreign > 0 then return 'foreign' end", ""),
        ("if holder ~= ARGV[3] then return 'busy' end", ""),
        ("if holder ~= ARGV[3] then", "do"),
        ("if registry_is_new then tags[2] = nil end", ""),
    ],
    "lease_many": [
        ("if registry_is_new and is_clean(values[1]) then values[1] = false end", ""),
        ("closed or is_pending(value)", "is_pending(value)"),
        ("closed or is_pending(value)", "closed"),
    ],
    "leasing": [
        ("string.sub(ARGV[1], 1, 4) .. struct.pack('>I4', time[1] % 4000 * 1000000 + time[2])", "ARGV[1]"),
        ("<= now then", "<= 0 then"),
        ("if writers then return 'pending' end", ""),
        ("if count >= MAX_SCHEMES then return 'full' end", ""),
        ("if field ~= 's:' then count", "do count"),
        ("        count = count + 1\n    end\n    fresh", "    end\n    fresh"),
        (", unpack(fresh)) end", ") end"),
        ("< tonumber(ARGV[2]) - SLACK then", "< 0 then"),
        ("if redis.call('PTTL', key) < tonumber(ARGV[2]) - SLACK then", "do"),
        ("fresh_version, 'PX', ARGV[2])", "fresh_version)"),
    ],
    "mark": [
        ("if #registered == 0 then", "if false then"),
        ("if clean then changed[#changed + 1] = KEYS[at] end", "changed[#changed + 1] = KEYS[at]"),
        (".. mine .. other_marks(value, ARGV[1])", ".. mine"),
        ("(closes and 'x:' or 'w:')", "'w:'"),
        ("<= now then", "<= 0 then"),
        ("local generation = read_tag(KEYS[2])\n    if is_clean(generation) then", "do"),
        ("'NX', unpack(replaced", "unpack(replaced"),
        ("redis.call('ZREMRANGEBYSCORE', log, '-inf', now - remember)", ""),
        ("redis.call('PEXPIRE', log, remember)", ""),
    ],
    "note": [("math.max(held, tonumber(ARGV[1]))", "tonumber(ARGV[1])"), ("== 0 then return 0", "== 9 then return 0")],
    "outdated": [("if not since then return -1 end", "since = since or now"), ("math.max(age, ", "math.min(age, ")],
    "policy": [(" and string.sub(policy, 1, 9) ~= 'volatile-'", ""), ("policy ~= 'noeviction' and ", "")],
    "purge_tag": [(" or redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[1])", "")],
    "tag": [
        ("#value == VERSION_BYTES", "true"),
        ("~= 0 then return true end", "~= 0 then return false end"),
        ("'^%d+$') then return true end", "'^%d+$') then return false end"),
        ("redis.call('DEL', key)\n    foreign = foreign + 1\n    return false", "return false"),
        ("redis.call('DEL', key)\n    foreign = foreign + 1\n    return {}", "return {}"),
        ("at + MARK_BYTES - 1)) > now then", "at + MARK_BYTES - 1)) > 0 then"),
        ("stands = true", "stands = false"),
        ("others = others .. string", "others = string"),
    ],
}


def lua_mutants(beginning: str = "") -> list[Mutant]:
    return [
        at(FOLDER / f"{script}.lua", before, after)
        for script, pairs in BY_HAND.items()
        for before, after in pairs
        if str(FOLDER / script).startswith(beginning)
    ]


def at(path: Path, before: str, after: str) -> Mutant:
    """Return the mutant of a text that stands once in a file."""
    text = (ROOT / path).read_text()
    head, found, tail = text.partition(before)
    assert (bool(found), tail.count(before)) == (True, 0), f"{path}: {before!r} does not stand there once"
    line, end = head.count("\n") + 1, (head + before).count("\n") + 1
    column, end_column = (len(part.rpartition("\n")[2].encode()) for part in (head, head + before))
    return Mutant(path, line, column, end, end_column, path.stem, before, after)
