-- What all scripts about tags begin with: the moment, and the layout of a tag's value.
--
-- A tag is absent, a clean version of VERSION_BYTES, or "p" and MARK_BYTES for each writer that is about to change it: its
-- name, then its deadline in milliseconds as 16 digits. Python has the same constants (cacheops/stores/base.py).

local VERSION_BYTES = 8  -- of a writer's name, too
local MARK_BYTES = 24

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function is_clean(value)
    return value and #value == VERSION_BYTES
end

-- Return whether a value is none that this protocol writes: another program's, or a hand's.
local function is_foreign(value)
    if not value or is_clean(value) then return false end
    if string.sub(value, 1, 1) ~= 'p' or #value == 1 or (#value - 1) % MARK_BYTES ~= 0 then return true end
    for at = 2, #value, MARK_BYTES do
        if not string.find(string.sub(value, at + VERSION_BYTES, at + MARK_BYTES - 1), '^%d+$') then return true end
    end
    return false
end

-- Return a tag's value, false where it is absent; delete what is foreign (R30), of whatever type, and count it.
local foreign = 0
local function read_tag(key)
    local value = redis.pcall('GET', key)
    if type(value) ~= 'table' and not is_foreign(value) then return value end
    redis.call('DEL', key)
    foreign = foreign + 1
    return false
end

-- Return the fields of a table's registry, none where the key holds anything else.
local function read_registry(key)
    local fields = redis.pcall('HGETALL', key)
    if not fields.err then return fields end
    redis.call('DEL', key)
    foreign = foreign + 1
    return {}
end

-- Return the marks in a value that still stand, joined, without those of one writer; and whether that writer's stands.
local function other_marks(value, writer)
    local others, stands = '', false
    if not value or is_clean(value) or is_foreign(value) then return others, stands end
    for at = 2, #value, MARK_BYTES do
        if tonumber(string.sub(value, at + VERSION_BYTES, at + MARK_BYTES - 1)) > now then
            if string.sub(value, at, at + VERSION_BYTES - 1) == writer then
                stands = true
            else
                others = others .. string.sub(value, at, at + MARK_BYTES - 1)
            end
        end
    end
    return others, stands
end

