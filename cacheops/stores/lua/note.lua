-- Have marks note which versions they replace: a table has readers that take outdated entries for some time.
--
-- KEYS[1]   the table's registry
-- ARGV[1]   for how long a replaced version must be remembered, in milliseconds
--
-- Returns 1, or 0 where there is no registry: one must not be made here, as its absence says that writers were missed.

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local held = tonumber(redis.call('HGET', KEYS[1], 'o') or '0')
redis.call('HSET', KEYS[1], 'o', math.max(held, tonumber(ARGV[1])))
return 1
