#!lua flags=allow-oom
-- settle: what became of a delivery that was lent. It has arrived, is due again after a pause, or is dead, as it is if after
--         that pause it would have waited for too long; the endpoint's breaker and its log hear of it.
-- USES  keys, outbox
-- KEYS  namespace
-- ARGV  id, tries, outcome (delivered | retrying | dead), pause_ms, life_ms, rest_ms, status, reason, took_ms; the first
--       rest of an endpoint that breaks
-- GIVES {OK} recorded, now or before | {FENCED} it was lent again, or is gone

local id, tries, outcome, pause_ms, life_ms, rest_ms, status, reason, took_ms = unpack(ARGV)

local delivery = load_delivery(id)
if not delivery or delivery.tries ~= tries then return {'FENCED'} end
if delivery.settled == tries then return {'OK'} end
redis.call('HSET', key('delivery', id), 'settled', tries)
local endpoint, retry_ms = delivery.endpoint, ''
if outcome == 'retrying' and NOW_MS + pause_ms > waits_since_ms(delivery) + life_ms then outcome = 'dead' end
if outcome == 'retrying' then
  retry_ms = digits(NOW_MS + pause_ms)
  redis.call('PERSIST', key('delivery', id))
  redis.call('ZADD', key('outbox', endpoint), retry_ms, id)
else
  put_away(delivery, outcome == 'delivered' and DELIVERED_TTL_MS or DEAD_TTL_MS)
end
if outcome == 'delivered' then
  redis.call('DEL', key('breaker', endpoint))
else
  note_failure(endpoint, id, tonumber(rest_ms))
end
log_attempt(delivery, outcome, status, reason, took_ms, retry_ms)
reschedule(delivery.tenant, endpoint)
return {'OK'}
