-- Add counts to the sums of one period of time, once: an increment that comes again, after a lost answer, changes nothing.
--
-- KEYS[1]   the sums: a hash, one field a series, each a MessagePack map of names and whole numbers
-- KEYS[2]   the increment, remembered for ARGV[2] seconds
-- ARGV[1]   how long the sums live, in seconds
-- ARGV[2]   how long an increment is remembered, in seconds
-- ARGV[3..] series and counts (such a map), by turns
--
-- Returns 1, or 0 for an increment that was added before.

if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[2]) then return 0 end

for at = 3, #ARGV, 2 do
    local held = redis.call('HGET', KEYS[1], ARGV[at])
    local sums = held and cmsgpack.unpack(held) or {}
    for name, count in pairs(cmsgpack.unpack(ARGV[at + 1])) do
        sums[name] = (sums[name] or 0) + count
    end
    redis.call('HSET', KEYS[1], ARGV[at], cmsgpack.pack(sums))
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
