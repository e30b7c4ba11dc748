-- Return whether this server's memory may be believed (R19). After identity.lua.
--
-- ARGV[1..] the names of sets of keys
--
-- Returns "primary" or "replica"; the server's run_id ("" where it tells none) and replication ID; for how many
-- milliseconds more nothing may be leased; then the sets of keys that must be purged first.
-- A replica is known while its link stands and its primary is recognised: otherwise it may hold what it was started with.

local primary = told('role') == 'master'
if not primary then
    known = told('master_link_status') == 'up' and record.history == history
elseif known and record.history ~= history then
    redis.pcall('HSET', KEYS[1], 'history', history)  -- it was promoted; a full server is recognised all the same
end
local answer = {primary and 'primary' or 'replica', run or '', history or '',
                math.max(0, tonumber(record.grace or '0') - now())}
for at = 1, #ARGV do
    if not known or not (record.new or record['purged:' .. ARGV[at]]) then answer[#answer + 1] = ARGV[at] end
end
return answer
