-- Take a writer's mark off one table's tags: its commit, or its rollback, is visible now.
--
-- KEYS[1]   the table's registry
-- KEYS[2]   the table's generation
-- KEYS[3..] the tags that the writer has marked
-- ARGV[1]   the writer's name, 8 bytes
-- ARGV[2]   "1" where the writer has closed the table, which counts as one mark more
--
-- The last writer deletes the tag: the next lease gives it a version never used before. Returns how many of the marks
-- were still standing; fewer than asked means that the write took longer than its mark was allowed to, or that the mark
-- was lost. Readers may then have leased under conditions that the writer does not know of: no entry of the table lives on.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local standing = 0

local SLICE = 1000  -- keys in one command, as in mark.lua
for from = 3, #KEYS, SLICE do
    local to = math.min(from + SLICE - 1, #KEYS)
    local values = redis.call('MGET', unpack(KEYS, from, to))
    local gone = {}
    for at = from, to do
        local value = values[at - from + 1]
        local writers = ''
        for byte = 2, value and #value ~= 8 and #value or 0, 24 do
            local name = string.sub(value, byte, byte + 7)
            local alive = tonumber(string.sub(value, byte + 8, byte + 23)) > now
            if name == ARGV[1] then
                if alive then standing = standing + 1 end
            elseif alive then
                writers = writers .. string.sub(value, byte, byte + 23)
            end
        end
        if writers ~= '' then
            redis.call('SET', KEYS[at], 'p' .. writers)
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
    local generation = redis.call('GET', KEYS[2])
    if generation and #generation == 8 then redis.call('DEL', KEYS[2]) end
end
redis.call('HDEL', KEYS[1], 'w:' .. ARGV[1], 'x:' .. ARGV[1])
return standing
