-- Lease the versions of many tags of one table, for many queries at once: as lease.lua does, without a loader's lock.
-- After leasing.lua.
--
-- KEYS[3..] the tags of all queries
-- ARGV[3..] the schemes of all queries
--
-- Returns for each scheme "" where it is registered, "pending" or "full" where it can't be now; then, in one string, for
-- each of KEYS[2..] its version, or zero bytes where a writer is about to change it. A query may be filled where neither a
-- scheme nor a tag of its own is refused.

local NONE = string.rep('\0', VERSION_BYTES)

local answer = {}
for at = 3, #ARGV do
    answer[#answer + 1] = add_scheme(ARGV[at])
end

local values = redis.call('MGET', unpack(KEYS, 2))
if registry_is_new and is_clean(values[1]) then values[1] = false end
register()

for at = 1, #values do
    local value = values[at]
    if is_clean(value) then
        values[at] = lease(KEYS[at + 1], value)
    elseif closed or is_pending(value) then  -- R12
        values[at] = NONE
    else
        -- The marks of a dead writer are as good as absent.
        values[at] = lease(KEYS[at + 1], nil)
    end
end
answer[#answer + 1] = table.concat(values)
return answer
