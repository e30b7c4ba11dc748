-- What both leases (lease.lua, lease_many.lua) begin with, after tag.lua. Both take:
--
-- KEYS[1]   the table's registry: a hash of "s:SCHEME" = "1", "w:WRITER" = deadline in milliseconds, and "x:WRITER" = the
--           same of a writer that has closed the table (R12)
-- KEYS[2..] the generation, then tags
-- ARGV[1]   8 random bytes, for versions never used before
-- ARGV[2]   how long tags live at least, in milliseconds

-- R3: a call that is sent again, because its answer was lost, must not give its first version again: others may have
-- filled under it what was changed since. So half of a version is the moment, in microseconds.
local fresh_version = string.sub(ARGV[1], 1, 4) .. struct.pack('>I4', time[1] % 4000 * 1000000 + time[2])

local function is_pending(value)
    return other_marks(value, '') ~= ''
end

local MAX_SCHEMES = 64  -- each write computes a tag for every scheme; the scheme of the whole table, "", always has room
local registered = read_registry(KEYS[1])
local schemes, count, writers, closed = {}, 0, false, false
for at = 1, #registered, 2 do
    local field = registered[at]
    if string.sub(field, 1, 2) == 's:' then
        schemes[string.sub(field, 3)] = true
        if field ~= 's:' then count = count + 1 end
    elseif string.find(field, '^[wx]:') then
        if tonumber(registered[at + 1]) <= now then
            redis.call('HDEL', KEYS[1], field)
        else
            writers = true
            closed = closed or string.sub(field, 1, 1) == 'x'
        end
    end
end

-- Add a scheme to those to be registered (R4); return "", or why it can't be registered now. R5: a pending writer does not
-- know a new scheme, and would leave its tags unmarked.
local fresh = {}
local function add_scheme(scheme)
    if schemes[scheme] then return '' end
    if writers then return 'pending' end
    if scheme ~= '' then
        if count >= MAX_SCHEMES then return 'full' end
        count = count + 1
    end
    fresh[#fresh + 1] = 's:' .. scheme
    fresh[#fresh + 1] = '1'
    return ''
end

-- R6: the registry was lost, or never was. Entries of schemes that it no longer names must not live on, so the generation
-- counts as absent.
local registry_is_new = #registered == 0
local function register()
    if registry_is_new or #fresh > 0 then redis.call('HSET', KEYS[1], 'table', '1', unpack(fresh)) end
end

-- A tag in use is not prolonged with each lease: whoever is told of changes would take that for one (stores/near.py), and
-- replicas would be sent it. Tags outlive their entries by twice as much (TAG_MARGIN).
local SLACK = 30000  -- milliseconds

-- Return a tag's version, a new one where it has none (R3), and prolong its life where too little is left.
local function lease(key, version)
    if not version then
        redis.call('SET', key, fresh_version, 'PX', ARGV[2])
        return fresh_version
    end
    if redis.call('PTTL', key) < tonumber(ARGV[2]) - SLACK then redis.call('PEXPIRE', key, ARGV[2]) end
    return version
end

