#!lua
-- ping: an event that tests an endpoint is posted to it.
-- USES  keys, limits, outbox, by_hand
-- KEYS  namespace
-- ARGV  tenant, endpoint, event, limit (of the tenant's tests, in the words of _limits.lua)
-- GIVES {OK, id} posted, now or before | {DISABLED} nothing is sent there | {LIMITED, fits_in_ms, policy} too many tests, or the
--       outbox is full

local tenant, endpoint, event, limit = unpack(ARGV)

if not is_subscribed(tenant, endpoint) then return {'DISABLED'} end
local id = delivery_of(event, endpoint)
if redis.call('EXISTS', key('delivery', id)) == 1 then return {'OK', id} end
return refused_by_hand(endpoint, limit) or {'OK', post(tenant, endpoint, event, 'test', endpoint, '')}
