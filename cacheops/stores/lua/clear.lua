-- Take a writer's mark off one table's tags: its commit, or its rollback, is visible now. After tag.lua.
--
-- KEYS[1]   the table's registry
-- KEYS[2]   the table's generation
-- KEYS[3..] the tags that the writer has marked
-- ARGV[1]   the writer's name, 8 bytes
-- ARGV[2]   "1" where the writer has closed the table, which counts as one mark more
--
-- Marks of other writers stay (R11). The last writer deletes the tag: the next lease gives it a version never used before. Returns how many of the marks
-- were still standing; fewer than asked means that the write took longer than its mark was allowed to, or that the mark
-- was lost. Readers may then have leased under conditions that the writer does not know of: no entry of the table lives on.

local standing = 0

local SLICE = 1000  -- keys in one command, as in mark.lua
for from = 3, #KEYS, SLICE do
    local to = math.min(from + SLICE - 1, #KEYS)
    local values = redis.call('MGET', unpack(KEYS, from, to))
    local gone = {}
    for at = from, to do
        local value = values[at - from + 1]
        local others, stands = other_marks(value, ARGV[1])
        if stands then standing = standing + 1 end
        if others ~= '' then
            redis.call('SET', KEYS[at], 'p' .. others)
        elseif value then
            gone[#gone + 1] = KEYS[at]
        end
    end
    if #gone > 0 then redis.call('DEL', unpack(gone)) end
end
local expected = #KEYS - 2
if ARGV[2] == '1' then
    expected = expected + 1
    local deadline = redis.call('HGET', KEYS[1], 'x:' .. ARGV[1])
    if deadline and tonumber(deadline) > now then standing = standing + 1 end
end
if standing < expected then
    local generation = read_tag(KEYS[2])
    if is_clean(generation) then redis.call('DEL', KEYS[2]) end
end
redis.call('HDEL', KEYS[1], 'w:' .. ARGV[1], 'x:' .. ARGV[1])
return standing
