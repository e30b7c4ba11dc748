-- Bring one table of a follower region to a position: invalidate, and vouch for it, in one step (R24, R25). After tag.lua.
--
-- KEYS[1]   how far the table's relay is
-- KEYS[2]   the position that readers go by
-- KEYS[3]   the table's registry
-- KEYS[4]   the generation
-- KEYS[5..] the tags to invalidate (the generation among them, where the whole table is)
-- ARGV[1]   what KEYS[1] must hold: what this relay has written last, "" for nothing
-- ARGV[2]   what it is to hold
-- ARGV[3]   the position
-- ARGV[4]   until when it counts, in milliseconds of this server's clock (R35); 0: nobody may go by it
-- ARGV[5]   "1" where rows were changed, whose tags were made of the schemes that follow
-- ARGV[6..] schemes
--
-- Returns what this server's clock shows, in milliseconds, where it is done; 0 where KEYS[1] holds something else; the
-- table's schemes where some were not known, as their tags are missing.

local held = redis.pcall('GET', KEYS[1])
if type(held) == 'table' then
    redis.call('DEL', KEYS[1])
    held = false
end
held = held or ''
if held ~= ARGV[1] and held ~= ARGV[2] then return 0 end

if ARGV[5] == '1' then
    local known, missing, schemes = {}, false, {}
    for at = 6, #ARGV do known[ARGV[at]] = true end
    local registered = read_registry(KEYS[3])
    for at = 1, #registered, 2 do
        if string.sub(registered[at], 1, 2) == 's:' then
            local scheme = string.sub(registered[at], 3)
            schemes[#schemes + 1] = scheme
            missing = missing or not known[scheme]
        end
    end
    if missing then return schemes end
    -- R6: the registry was lost. Which tags are missing is not known, so no entry may live on.
    if #registered == 0 and is_clean(read_tag(KEYS[4])) then redis.call('DEL', KEYS[4]) end
end

for at = 5, #KEYS do
    if is_clean(read_tag(KEYS[at])) then redis.call('DEL', KEYS[at]) end  -- marks of writers stay (R11)
end

redis.call('SET', KEYS[1], ARGV[2])
local left = tonumber(ARGV[4]) - now
if left > 0 then
    redis.call('SET', KEYS[2], ARGV[3], 'PX', left)
else
    redis.call('DEL', KEYS[2])
end
return now
