#!lua flags=no-writes
-- attempts: the log of an endpoint's deliveries, newest first, from just below a cursor.
-- USES  keys
-- KEYS  namespace
-- ARGV  endpoint, before, limit; empty for the newest
-- GIVES {OK, {entry, {field, value, ...}}, ...}

local endpoint, before, limit = unpack(ARGV)

local below = before == '' and '+' or '(' .. before
return {'OK', unpack(redis.call('XREVRANGE', key('attempts', endpoint), below, '-', 'COUNT', limit))}
