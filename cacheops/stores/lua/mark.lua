-- Announce a writer to one table (R7), and mark tags: until it clears them, no entry that depends on them is a hit. After
-- tag.lua.
--
-- KEYS[1]   the table's registry
-- KEYS[2]   the table's generation
-- KEYS[3..] the tags to mark (the generation among them, where the whole table is)
-- ARGV[1]   the writer's name, 8 bytes
-- ARGV[2]   how long the mark may stand, in milliseconds
-- ARGV[3]   "1" to close the table instead: the tags are deleted, and no absent tag is leased until the writer clears (R12).
--           It costs two fields less a tag that exists, and nothing a tag that does not: for writes of many rows.
--
-- Where readers take outdated entries (note.lua), the versions that this mark replaces are noted in a sorted set beside the
-- registry, in the same slot. One version may stand in several tags: the first moment counts.
--
-- Returns the table's schemes. Pending tags and the registry carry no time to live, so that no volatile eviction
-- policy takes them while a writer counts on them; a dead writer's mark ends at its deadline.

local mine = ARGV[1] .. string.format('%016d', now + tonumber(ARGV[2]))

local registered = read_registry(KEYS[1])
local schemes, remember, replaced = {}, nil, {}
local closes = ARGV[3] == '1'
for at = 1, #registered, 2 do
    local field = registered[at]
    if string.sub(field, 1, 2) == 's:' then
        schemes[#schemes + 1] = string.sub(field, 3)
    elseif string.find(field, '^[wx]:') and tonumber(registered[at + 1]) <= now then
        redis.call('HDEL', KEYS[1], field)
    elseif field == 'o' then
        remember = tonumber(registered[at + 1])
    end
end
redis.call('HSET', KEYS[1], 'table', '1', (closes and 'x:' or 'w:') .. ARGV[1], now + tonumber(ARGV[2]))

if #registered == 0 then
    -- R6: the registry was lost. This writer cannot know which tags to mark, so no entry may live on. A generation that
    -- another writer has marked stays pending.
    local generation = read_tag(KEYS[2])
    if is_clean(generation) then redis.call('DEL', KEYS[2]) end
end

local SLICE = 1000  -- keys in one command: Lua's stack holds a few thousand values
for from = 3, #KEYS, SLICE do
    local to = math.min(from + SLICE - 1, #KEYS)
    local values = redis.call('MGET', unpack(KEYS, from, to))
    local changed = {}
    for at = from, to do
        local value = values[at - from + 1]
        local clean = is_clean(value)
        if clean and remember then
            replaced[#replaced + 1] = now
            replaced[#replaced + 1] = value
        end
        if closes then
            -- R13: another writer's mark stays, as that writer may be done later than this one.
            if clean then changed[#changed + 1] = KEYS[at] end
        else
            changed[#changed + 1] = KEYS[at]
            changed[#changed + 1] = 'p' .. mine .. other_marks(value, ARGV[1])
        end
    end
    if #changed > 0 then redis.call(closes and 'DEL' or 'MSET', unpack(changed)) end
end
if #replaced > 0 then
    local log = string.sub(KEYS[1], 1, -2) .. 'o'
    for at = 1, #replaced, 1000 do
        redis.call('ZADD', log, 'NX', unpack(replaced, at, math.min(at + 999, #replaced)))
    end
    redis.call('ZREMRANGEBYSCORE', log, '-inf', now - remember)
    redis.call('PEXPIRE', log, remember)
end
return schemes
