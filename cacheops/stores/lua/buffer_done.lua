-- Forget writes that are in the database: both at once, as half of it would leave what nobody is given again.
--
-- KEYS[1]   the stream
-- ARGV[1]   the consumer group
-- ARGV[2..] the writes' ids
--
-- Returns how many there were.

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 2))
return redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
