-- Delete a tag unless a writer has marked it (R11), or it is no tag.
--
-- KEYS[1]   the tag
-- ARGV[1]   the length of a version, in bytes
--
-- Returns 1 where it was deleted.

if redis.call('TYPE', KEYS[1]).ok ~= 'string' or redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
return redis.call('DEL', KEYS[1])
