-- Lease the versions of one table's tags, and register the schemes of the query that reads them.
--
-- KEYS[1]   the table's registry: a hash of "s:SCHEME" = "1", "w:WRITER" = deadline in milliseconds, and "x:WRITER" = the
--           same of a writer that has closed the table
-- KEYS[2..] the generation, then the tags; last the loader's lock, where one is taken (ARGV[4] is not 0)
-- ARGV[1]   8 random bytes, for versions never used before
-- ARGV[2]   how long tags live at least, in milliseconds
-- ARGV[3]   the loader's name
-- ARGV[4]   how long the loader's lock lives, in milliseconds; 0 takes no lock
-- ARGV[5..] the schemes
--
-- Returns the versions joined to one string; "pending" where a writer is about to change what the query reads;
-- "busy" where another reader is loading it; "full" where the table has no room for another scheme.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A call that is sent again, because its answer was lost, must not give its first version again: others may have filled
-- under it what was changed since. So half of a version is the moment, in microseconds.
local fresh_version = string.sub(ARGV[1], 1, 4) .. struct.pack('>I4', time[1] % 4000 * 1000000 + time[2])

-- A tag is absent, a clean version of 8 bytes, or "p" and 24 bytes a writer: its name of 8, its deadline in 16 digits.
local function pending(value)
    if not value or #value == 8 then return false end
    for at = 2, #value, 24 do
        if tonumber(string.sub(value, at + 8, at + 23)) > now then return true end
    end
    return false
end

local MAX_SCHEMES = 64  -- each write computes a tag for every scheme
local locks = tonumber(ARGV[4]) > 0
local last = locks and #KEYS - 1 or #KEYS

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

local tags = {}
for at = 2, last do
    local value = redis.call('GET', KEYS[at])
    if pending(value) then return 'pending' end
    -- What a dead writer has left behind is as good as absent.
    tags[at] = value and #value == 8 and value or nil
    if closed and not tags[at] then return 'pending' end
end

local fresh = {}
for at = 5, #ARGV do
    if not schemes[ARGV[at]] then
        -- A writer that is under way does not know this scheme: it would leave our tag unmarked.
        if writers then return 'pending' end
        if count >= MAX_SCHEMES then return 'full' end
        count = count + 1
        fresh[#fresh + 1] = 's:' .. ARGV[at]
        fresh[#fresh + 1] = '1'
    end
end

if locks and not redis.call('SET', KEYS[#KEYS], ARGV[3], 'NX', 'PX', ARGV[4]) then
    -- Its own lock, where this call is sent again because the answer was lost.
    if redis.call('GET', KEYS[#KEYS]) ~= ARGV[3] then return 'busy' end
end

if #registered == 0 then
    -- The registry was lost, or never was: entries of schemes that it no longer names must not live on.
    tags[2] = nil
end
if #registered == 0 or #fresh > 0 then
    redis.call('HSET', KEYS[1], 'table', '1', unpack(fresh))
end

local versions = {}
for at = 2, last do
    if tags[at] then
        if redis.call('PTTL', KEYS[at]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[at], ARGV[2]) end
    else
        redis.call('SET', KEYS[at], fresh_version, 'PX', ARGV[2])
        tags[at] = fresh_version
    end
    versions[#versions + 1] = tags[at]
end
return table.concat(versions)
