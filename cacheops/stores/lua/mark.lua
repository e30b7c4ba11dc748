-- Announce a writer to one table, and mark tags: until it clears them, no entry that depends on them is a hit.
--
-- KEYS[1]   the table's registry
-- KEYS[2]   the table's generation
-- KEYS[3..] the tags to mark (the generation among them, where the whole table is)
-- ARGV[1]   the writer's name, 8 bytes
-- ARGV[2]   how long the mark may stand, in milliseconds
--
-- Where readers take outdated entries (note.lua), the versions that this mark replaces are noted in a sorted set beside the
-- registry, in the same slot. One version may stand in several tags: the first moment counts.
--
-- Returns the table's schemes. Pending tags and the registry carry no time to live, so that no volatile eviction
-- policy takes them while a writer counts on them; a dead writer's mark ends at its deadline.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mine = ARGV[1] .. string.format('%016d', now + tonumber(ARGV[2]))

local registered = redis.call('HGETALL', KEYS[1])
local schemes, remember, replaced = {}, nil, {}
for at = 1, #registered, 2 do
    local field = registered[at]
    if string.sub(field, 1, 2) == 's:' then
        schemes[#schemes + 1] = string.sub(field, 3)
    elseif string.sub(field, 1, 2) == 'w:' and tonumber(registered[at + 1]) <= now then
        redis.call('HDEL', KEYS[1], field)
    elseif field == 'o' then
        remember = tonumber(registered[at + 1])
    end
end
redis.call('HSET', KEYS[1], 'table', '1', 'w:' .. ARGV[1], now + tonumber(ARGV[2]))

if #registered == 0 then
    -- The registry was lost: this writer cannot know which tags to mark, so no entry may live on. A generation that
    -- another writer has marked stays pending.
    local generation = redis.call('GET', KEYS[2])
    if generation and #generation == 8 then redis.call('DEL', KEYS[2]) end
end

for at = 3, #KEYS do
    local value = redis.call('GET', KEYS[at])
    local writers = mine
    if value and #value ~= 8 then
        for from = 2, #value, 24 do
            local name = string.sub(value, from, from + 7)
            if name ~= ARGV[1] and tonumber(string.sub(value, from + 8, from + 23)) > now then
                writers = writers .. string.sub(value, from, from + 23)
            end
        end
    elseif value and remember then
        replaced[#replaced + 1] = now
        replaced[#replaced + 1] = value
    end
    redis.call('SET', KEYS[at], 'p' .. writers)
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
