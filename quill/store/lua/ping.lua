#!lua
-- ping: an event that tests an endpoint is posted to it.
-- USES  keys, outbox
-- KEYS  namespace
-- ARGV  tenant, endpoint, event
-- GIVES {OK, id} posted, now or before | {DISABLED} nothing is sent there

local tenant, endpoint, event = unpack(ARGV)

if not is_subscribed(tenant, endpoint) then return {'DISABLED'} end
return {'OK', post(tenant, endpoint, event, 'test', endpoint, '')}
