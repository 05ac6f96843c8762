#!lua flags=no-writes
-- page: a tenant's jobs, newest first, from just below a cursor.
-- USES  keys
-- KEYS  namespace
-- ARGV  tenant, before_us, limit
-- GIVES {OK, id, admitted_us, ...}

local reply = {'OK'}
local below = ARGV[2] == '' and '+inf' or '(' .. ARGV[2]
local found = redis.call('ZRANGE', key('owned', ARGV[1]), below, '-inf', 'BYSCORE', 'REV',
  'LIMIT', 0, ARGV[3], 'WITHSCORES')
for i, value in ipairs(found) do reply[i + 1] = i % 2 == 0 and digits(tonumber(value)) or value end
return reply
