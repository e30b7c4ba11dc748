-- What the scripts about a server's identity begin with: which server this is, and whose memory it says that it holds.
--
-- KEYS[1]   the identity record, a hash:
--           "history"   the replication ID (master_replid) under which the memory was last recognised
--           "run:ID"    "1" for each process (run_id) that has held this memory since
--           "purged:NAME"  "1" for each set of keys of which none from before is left
--           "grace"     the moment until which nothing is leased, in milliseconds of the server's clock
--           "new"       "1" where the server began empty: nothing from before is left of any keys

local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
local function told(name) return string.match(info, '\n' .. name .. ':([^\r\n]+)') end
local run, history, before = told('run_id'), told('master_replid'), told('master_replid2')
local record, fields = {}, redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do record[fields[at]] = fields[at + 1] end

-- R20. A process that is named was named after it was started: no snapshot from before brings that. And its history says
-- whether it has taken over another server's memory since.
local known = run and record['run:' .. run] ~= nil and (record.history == history or record.history == before)

local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end
