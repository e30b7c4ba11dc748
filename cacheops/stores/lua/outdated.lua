-- Return for how long an entry has been outdated, by one table's tags.
--
-- KEYS[1]   the versions that were replaced, a sorted set by the moment in milliseconds
-- KEYS[2..] the tags that the entry depends on
-- ARGV[1..] the version of each when the entry was loaded
--
-- Returns milliseconds, 0 where all versions still stand, -1 where it is not known.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local age = 0
for at = 2, #KEYS do
    if redis.pcall('GET', KEYS[at]) ~= ARGV[at - 1] then
        local since = redis.call('ZSCORE', KEYS[1], ARGV[at - 1])
        if not since then return -1 end
        age = math.max(age, now - tonumber(since))
    end
end
return age
