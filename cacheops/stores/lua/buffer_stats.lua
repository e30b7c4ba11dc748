-- Tell how much a buffer holds.
--
-- KEYS[1]   the stream
-- KEYS[2]   the workers that live
-- ARGV[1]   the consumer group
-- ARGV[2]   how long ago a worker that lives has come last, in milliseconds
--
-- Returns how many writes; the age of the oldest, in milliseconds; how many of them workers have; how many workers live.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local workers = 0
for _, seen in ipairs(redis.call('HVALS', KEYS[2])) do
    if now - tonumber(seen) < tonumber(ARGV[2]) then workers = workers + 1 end
end
local depth = redis.call('XLEN', KEYS[1])
if depth == 0 then return {0, 0, 0, workers} end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local taken = 0
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local found = {}
    for at = 1, #info, 2 do found[info[at]] = info[at + 1] end
    if found['name'] == ARGV[1] then taken = found['pending'] end
end
return {depth, math.max(0, now - tonumber(string.match(first[1], '^%d+'))), taken, workers}
