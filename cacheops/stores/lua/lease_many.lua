-- Lease the versions of many tags of one table, for many queries at once: what lease.lua does, without a loader's lock.
--
-- KEYS[1]   the table's registry, as in lease.lua
-- KEYS[2..] the generation, then the tags of all queries
-- ARGV[1]   8 random bytes, for versions never used before
-- ARGV[2]   how long tags live at least, in milliseconds
-- ARGV[3..] the schemes of all queries
--
-- Returns for each scheme "" where it is registered, "pending" or "full" where it can't be now; then, in one string, for
-- each of KEYS[2..] its version, or 8 zero bytes where a writer is about to change it. A query may be filled where none of
-- its own says no.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A call that is sent again, because its answer was lost, must not give its first version again: others may have filled
-- under it what was changed since. So half of a version is the moment, in microseconds.
local fresh_version = string.sub(ARGV[1], 1, 4) .. struct.pack('>I4', time[1] % 4000 * 1000000 + time[2])

-- A tag is absent, a clean version of 8 bytes, or "p" and 24 bytes a writer: its name of 8, its deadline in 16 digits.
local function pending(value)
    for at = 2, #value, 24 do
        if tonumber(string.sub(value, at + 8, at + 23)) > now then return true end
    end
    return false
end

local MAX_SCHEMES = 64  -- as in lease.lua
local NONE = string.rep('\0', 8)

local registered = redis.call('HGETALL', KEYS[1])
local schemes, count, writers, closed = {}, 0, false, false
for at = 1, #registered, 2 do
    local field = registered[at]
    if string.sub(field, 1, 2) == 's:' then
        schemes[string.sub(field, 3)] = true
        count = count + 1
    elseif string.find(field, '^[wx]:') then
        if tonumber(registered[at + 1]) <= now then
            redis.call('HDEL', KEYS[1], field)
        else
            writers = true
            closed = closed or string.sub(field, 1, 1) == 'x'
        end
    end
end

local answer, fresh = {}, {}
for at = 3, #ARGV do
    local verdict = ''
    if not schemes[ARGV[at]] then
        if writers then
            verdict = 'pending'
        elseif count >= MAX_SCHEMES then
            verdict = 'full'
        else
            count = count + 1
            fresh[#fresh + 1] = 's:' .. ARGV[at]
            fresh[#fresh + 1] = '1'
        end
    end
    answer[#answer + 1] = verdict
end

local values = redis.call('MGET', unpack(KEYS, 2))
if #registered == 0 and values[1] and #values[1] == 8 then
    -- The registry was lost, or never was: entries of schemes that it no longer names must not live on.
    values[1] = false
end
if #registered == 0 or #fresh > 0 then
    redis.call('HSET', KEYS[1], 'table', '1', unpack(fresh))
end

for at = 1, #values do
    local value, key = values[at], KEYS[at + 1]
    if value and #value == 8 then
        if redis.call('PTTL', key) < tonumber(ARGV[2]) then redis.call('PEXPIRE', key, ARGV[2]) end
    elseif closed or (value and pending(value)) then
        value = NONE
    else
        -- What a dead writer has left behind is as good as absent.
        redis.call('SET', key, fresh_version, 'PX', ARGV[2])
        value = fresh_version
    end
    values[at] = value
end
answer[#answer + 1] = table.concat(values)
return answer
