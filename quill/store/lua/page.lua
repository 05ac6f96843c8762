#!lua flags=no-writes
-- page: a tenant's jobs or dead letters, newest first, from just below a cursor.
-- USES  keys
-- KEYS  namespace
-- ARGV  listing (owned | dead), tenant, before_us, limit
-- GIVES {OK, id, admitted_us, ...}

local listing, tenant, before_us, limit = unpack(ARGV)

local reply = {'OK'}
local below = before_us == '' and '+inf' or '(' .. before_us
local found = redis.call('ZRANGE', key(listing, tenant), below, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, limit, 'WITHSCORES')
for i, value in ipairs(found) do reply[i + 1] = i % 2 == 0 and digits(tonumber(value)) or value end
return reply
