-- What scripts on a buffer begin with: whether the server may evict it.

-- Return maxmemory-policy where under it a key without a time to live may be evicted, else nil. From INFO, as scripts can't
-- ask CONFIG: some 0.05 ms. A user who may not ask gets an error, so that nothing is taken for safe.
local function evicting_policy()
    local policy = string.match(redis.call('INFO', 'memory'), 'maxmemory_policy:([%w-]+)') or 'unknown'
    if policy ~= 'noeviction' and string.sub(policy, 1, 9) ~= 'volatile-' then return policy end
end

