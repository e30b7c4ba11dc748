-- Take a writer's mark off one table's tags: its commit, or its rollback, is visible now.
--
-- KEYS[1]   the table's registry
-- KEYS[2]   the table's generation
-- KEYS[3..] the tags that the writer has marked
-- ARGV[1]   the writer's name, 8 bytes
--
-- The last writer deletes the tag: the next lease gives it a version never used before. Returns how many of the marks
-- were still standing; fewer than asked means that the write took longer than its mark was allowed to, or that the mark
-- was lost. Readers may then have leased under conditions that the writer does not know of: no entry of the table lives on.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local standing = 0

for at = 3, #KEYS do
    local value = redis.call('GET', KEYS[at])
    if value and #value ~= 8 then
        local writers = ''
        for from = 2, #value, 24 do
            local name = string.sub(value, from, from + 7)
            local alive = tonumber(string.sub(value, from + 8, from + 23)) > now
            if name == ARGV[1] then
                if alive then standing = standing + 1 end
            elseif alive then
                writers = writers .. string.sub(value, from, from + 23)
            end
        end
        if writers == '' then
            redis.call('DEL', KEYS[at])
        else
            redis.call('SET', KEYS[at], 'p' .. writers)
        end
    elseif value then
        redis.call('DEL', KEYS[at])
    end
end
if standing < #KEYS - 2 then
    local generation = redis.call('GET', KEYS[2])
    if generation and #generation == 8 then redis.call('DEL', KEYS[2]) end
end
redis.call('HDEL', KEYS[1], 'w:' .. ARGV[1])
return standing
