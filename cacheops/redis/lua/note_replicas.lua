-- Name the replicas whose link stands: one that is promoted is known (R23). After identity.lua.
--
-- ARGV[1]   the replication ID that they follow
-- ARGV[2..] their run_ids
--
-- Names of processes that are gone are removed where all replicas were named. Returns how many were new.

if not known or told('role') ~= 'master' or history ~= ARGV[1] then return 0 end
local linked, fresh = {['run:' .. run] = true}, 0
for at = 2, #ARGV do
    linked['run:' .. ARGV[at]] = true
    fresh = fresh + redis.call('HSET', KEYS[1], 'run:' .. ARGV[at], '1')
end
for field in pairs(#ARGV - 1 >= tonumber(told('connected_slaves') or '0') and record or {}) do
    if string.sub(field, 1, 4) == 'run:' and not linked[field] then redis.call('HDEL', KEYS[1], field) end
end
return fresh
