-- Record that a server is new: it is empty, and nothing was lost with it. After identity.lua.
--
-- Returns 1; 0 for a server that holds other keys than this record, or is a replica.

if told('role') ~= 'master' or redis.call('DBSIZE') > redis.call('EXISTS', KEYS[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'history', history, 'run:' .. run, '1', 'new', '1')
return 1
