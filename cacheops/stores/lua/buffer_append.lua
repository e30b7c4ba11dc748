-- Add writes to a buffer, all or none, and remember the newest of each name. After policy.lua.
--
-- KEYS[1]   the stream
-- KEYS[2]   the workers that live: a hash that ends when none has come for a while
-- KEYS[3..] where the newest write of a name is kept, as ORDER NUL PAYLOAD
-- ARGV[1]   how many writes the buffer holds at most
-- ARGV[2]   how long the newest ones are kept, in milliseconds
-- ARGV[3]   how many payloads follow
-- ARGV[4..] the payloads; then an order and a payload for each of KEYS[3..]
--
-- Returns "ok"; "full" where there would be too many; "idle" where no worker lives that would take them; "evicts" and the
-- policy where the server may evict them.

local FIRST = 4
local count = tonumber(ARGV[3])
local policy = evicting_policy()
if policy then return 'evicts ' .. policy end
if redis.call('EXISTS', KEYS[2]) == 0 then return 'idle' end
if redis.call('XLEN', KEYS[1]) + count > tonumber(ARGV[1]) then return 'full' end
for at = FIRST, FIRST + count - 1 do
    redis.call('XADD', KEYS[1], '*', 'p', ARGV[at])
end
for place = 3, #KEYS do
    local at = FIRST + count + 2 * (place - 3)
    local known = redis.call('GET', KEYS[place])
    -- Whoever is last to write, the newest stays.
    if not known or string.match(known, '^[^%z]*') < ARGV[at] then
        redis.call('SET', KEYS[place], ARGV[at] .. '\0' .. ARGV[at + 1], 'PX', ARGV[2])
    end
end
return 'ok'
