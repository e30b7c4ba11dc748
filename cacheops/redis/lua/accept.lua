-- Record that an unknown server's keys are purged: from here on its memory is believed (R21). After identity.lua.
--
-- ARGV[1]   the run_id of the server whose keys were purged
-- ARGV[2]   its replication ID
-- ARGV[3]   for how many milliseconds nothing is leased (R22): marks may have been lost
-- ARGV[4..] the names of the sets of keys
--
-- Returns 1; 0 where another server answers by now, or this one has taken over another's memory.

if run ~= ARGV[1] or history ~= ARGV[2] then return 0 end
if not known then
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'history', history, 'run:' .. run, '1', 'grace', now() + tonumber(ARGV[3]))
end
for at = 4, #ARGV do redis.call('HSET', KEYS[1], 'purged:' .. ARGV[at], '1') end
return 1
