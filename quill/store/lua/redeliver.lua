#!lua
-- redeliver: a delivery is due now, under its old id and with all its tries before it: one that arrived, is dead, or waits for
--            its next try. One that is on its way stays so.
-- USES  keys, limits, outbox, by_hand
-- KEYS  namespace
-- ARGV  tenant, endpoint, id, limit (of the tenant's repeats, in the words of _limits.lua)
-- GIVES {OK} it is due, now or before | {DISABLED} nothing is sent there | {ABSENT} the endpoint has no such delivery |
--       {LIMITED, fits_in_ms, policy} too many repeats, or the outbox is full

local tenant, endpoint, id, limit = unpack(ARGV)

local delivery = load_delivery(id)
if not delivery or delivery.tenant ~= tenant or delivery.endpoint ~= endpoint then return {'ABSENT'} end
if not is_subscribed(tenant, endpoint) then return {'DISABLED'} end
local is_waiting = redis.call('ZSCORE', key('outbox', endpoint), id)
if is_waiting and delivery.settled ~= delivery.tries then return {'OK'} end
local refusal = refused_by_hand(endpoint, limit)
if refusal then return refusal end
redis.call('HSET', key('delivery', id), 'earlier', delivery.tries)
redis.call('PERSIST', key('delivery', id))
enqueue(tenant, endpoint, id)
return {'OK'}
