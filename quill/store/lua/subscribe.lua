#!lua
-- subscribe: a webhook endpoint's document is written, changed or removed, if it is still what its writer read, together
--            with what it hears of: a job that ends looks there, and reads no JSON.
-- USES  keys, document, outbox
-- KEYS  namespace
-- ARGV  tenant, id, before, after, event types (`a,b` or `*`; empty for none, and what waits is dropped), at_most,
--       is_mended: 1 if whatever broke it may be what was changed
-- GIVES {OK} done, now or before | {CHANGED} somebody else changed it meanwhile | {CROWDED} the tenant has its number

local tenant, id, before, after, event_types, at_most, is_mended = unpack(ARGV)

local listed = key('listed', 'endpoint', tenant)
local is_new = before == '' and redis.call('SISMEMBER', listed, id) == 0
if is_new and redis.call('SCARD', listed) >= tonumber(at_most) then return {'CROWDED'} end
if not write_document('endpoint', tenant, id, before, after) then return {'CHANGED'} end
if is_mended == '1' then redis.call('DEL', key('breaker', id)) end
if event_types == '' then
  redis.call('HDEL', key('hooks', tenant), id)
  redis.call('ZADD', key('outbox'), 'XX', digits(NOW_MS), id .. ' ' .. tenant)
else
  redis.call('HSET', key('hooks', tenant), id, event_types)
  reschedule(tenant, id)
end
if after == '' then redis.call('DEL', key('attempts', id)) end
return {'OK'}
