-- Add writes to a buffer, all or none.
--
-- KEYS[1]   the stream
-- KEYS[2]   the workers that live: a hash that ends when none has come for a while
-- ARGV[1]   how many writes the buffer holds at most
-- ARGV[2..] the payloads
--
-- Returns "ok"; "full" where there would be too many; "idle" where no worker lives that would take them.

if redis.call('EXISTS', KEYS[2]) == 0 then return 'idle' end
if redis.call('XLEN', KEYS[1]) + #ARGV - 1 > tonumber(ARGV[1]) then return 'full' end
for at = 2, #ARGV do
    redis.call('XADD', KEYS[1], '*', 'p', ARGV[at])
end
return 'ok'
