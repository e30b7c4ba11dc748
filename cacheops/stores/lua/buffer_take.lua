-- Give a worker the writes that are due: those to be tried again first, else new ones. After policy.lua.
--
-- KEYS[1]   the stream
-- KEYS[2]   the workers that live: a hash of their names and when each came last, in milliseconds
-- ARGV[1]   the consumer group
-- ARGV[2]   the worker's name
-- ARGV[3]   how many writes at most
-- ARGV[4]   how old the oldest new one must be before fewer are given, in milliseconds; 0 while the server may evict them
-- ARGV[5]   after how long a write that is not done is given again, in milliseconds; it doubles with each time
-- ARGV[6]   how long a worker counts as living, in milliseconds
--
-- Returns id, payload, deliveries of each write, in one list.

local PAGE = 100  -- entries looked at in one command
local MOST_DOUBLINGS = 5  -- a write waits for 32 times the first pause at most

local stream, group, worker = KEYS[1], ARGV[1], ARGV[2]
local count, age, pause = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('HSET', KEYS[2], worker, now)
redis.call('PEXPIRE', KEYS[2], ARGV[6])
if redis.call('EXISTS', stream) == 0 then return {} end

local last, pending
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local found = {}
    for at = 1, #info, 2 do found[info[at]] = info[at + 1] end
    if found['name'] == group then last, pending = found['last-delivered-id'], found['pending'] end
end
if not last then
    -- From the very first: after a fail-over the group may be lost, and no write with it.
    redis.call('XGROUP', 'CREATE', stream, group, '0')
    last, pending = '0-0', 0
end

-- What another worker died with, or the database refused.
local ids, deliveries, from = {}, {}, '-'
while pending > 0 and #ids < count do
    local page = redis.call('XPENDING', stream, group, 'IDLE', pause, from, '+', PAGE)
    for _, entry in ipairs(page) do
        if #ids < count and entry[3] >= pause * 2 ^ math.min(entry[4] - 1, MOST_DOUBLINGS) then
            ids[#ids + 1] = entry[1]
            deliveries[entry[1]] = entry[4] + 1
        end
        from = '(' .. entry[1]
    end
    if #page < PAGE then break end
end
local answer = {}
if #ids > 0 then
    for _, entry in ipairs(redis.call('XCLAIM', stream, group, worker, 0, unpack(ids))) do
        if entry and entry[2] then
            answer[#answer + 1] = entry[1]
            answer[#answer + 1] = entry[2][2]
            answer[#answer + 1] = deliveries[entry[1]]
        end
    end
    return answer
end

local first = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1]
if not first then return {} end
-- What is done is deleted, so all that is not pending is new.
local waiting = redis.call('XLEN', stream) - pending
local oldest = now - tonumber(string.match(first[1], '^%d+'))
if waiting < count and oldest < age and not evicting_policy() then return {} end
local read = redis.call('XREADGROUP', 'GROUP', group, worker, 'COUNT', count, 'STREAMS', stream, '>')
for _, entry in ipairs(read and read[1][2] or {}) do
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = entry[2][2]
    answer[#answer + 1] = 1
end
return answer
