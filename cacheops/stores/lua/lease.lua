-- Lease the versions of one table's tags, and register the schemes of the query that reads them. After leasing.lua.
--
-- KEYS[3..] the tags; last the loader's lock, where one is taken (ARGV[4] is not 0)
-- ARGV[3]   the loader's name
-- ARGV[4]   how long the loader's lock lives, in milliseconds; 0 takes no lock
-- ARGV[5..] the schemes
--
-- Returns the versions joined to one string; "pending" where a writer is about to change what the query reads;
-- "foreign" where a tag, or the registry, held what this protocol does not write, and was deleted: ask again;
-- "busy" where another reader is loading it; "full" where the table has no room for another scheme.

local locks = tonumber(ARGV[4]) > 0
local last = locks and #KEYS - 1 or #KEYS

local tags = {}
for at = 2, last do
    local value = read_tag(KEYS[at])
    if is_pending(value) then return 'pending' end
    -- The marks of a dead writer are as good as absent.
    tags[at] = is_clean(value) and value or nil
    if closed and not tags[at] then return 'pending' end  -- R12
end

if foreign > 0 then return 'foreign' end

for at = 5, #ARGV do
    local verdict = add_scheme(ARGV[at])
    if verdict ~= '' then return verdict end
end

if locks and not redis.call('SET', KEYS[#KEYS], ARGV[3], 'NX', 'PX', ARGV[4]) then
    -- The lock may be this loader's: the call is sent again where its answer was lost.
    local holder = redis.pcall('GET', KEYS[#KEYS])
    if type(holder) == 'table' then
        redis.call('DEL', KEYS[#KEYS])
        return 'foreign'
    end
    if holder ~= ARGV[3] then return 'busy' end
end

if registry_is_new then tags[2] = nil end
register()

local versions = {}
for at = 2, last do
    versions[#versions + 1] = lease(KEYS[at], tags[at])
end
return table.concat(versions)
