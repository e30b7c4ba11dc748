-- Forget a worker that ends, and those that have long been gone. One that has writes stays: they would be lost with it.
--
-- KEYS[1]   the stream
-- KEYS[2]   the workers that live
-- ARGV[1]   the consumer group
-- ARGV[2]   the worker's name
-- ARGV[3]   how long another must have been gone, in milliseconds
--
-- Returns how many were forgotten.

redis.call('HDEL', KEYS[2], ARGV[2])
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if consumers['err'] then return 0 end  -- no stream, no group
local forgotten = 0
for _, info in ipairs(consumers) do
    local found = {}
    for at = 1, #info, 2 do found[info[at]] = info[at + 1] end
    if found['pending'] == 0 and (found['name'] == ARGV[2] or found['idle'] > tonumber(ARGV[3])) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], found['name'])
        forgotten = forgotten + 1
    end
end
return forgotten
