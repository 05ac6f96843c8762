#!lua flags=allow-oom
-- take: lends deliveries that are due to a sender, which must settle each before its lease ends; otherwise it is lent
--       again. What has waited for too long is dead, due or not, and so is what waits for an endpoint that is disabled;
--       for one that is gone it is dropped. Each some at a time.
-- USES  keys, outbox
-- KEYS  namespace
-- ARGV  limit, each, of_tenant, lease_ms, life_ms, and for each endpoint that the sender is busy with: "<endpoint> <tenant>",
--       deliveries; it holds no more than `each` of an endpoint's and `of_tenant` of a tenant's
-- GIVES {OK, now_ms, next_due_ms, {id, tries, tries of this round, event, type, subject, at_ms, document, trace}, ...} with the
--       time until there may be more

-- A sender that is busy with an endpoint comes back to it as soon as it settles a delivery; this is for the others, and for the
-- tenant's other endpoints.
local BUSY_MS = 1000
local IDLE_MS = 1000
local DROPPED_AT_MOST = 100

local limit, each, of_tenant = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local lease_ms, life_ms = tonumber(ARGV[4]), tonumber(ARGV[5])

local function endpoint_and_tenant(member) return string.match(member, '^(%S+) (%S+)$') end

-- Deliveries that the sender has.
local of_endpoint_held, of_tenant_held = {}, {}
local function hold(tenant, endpoint, deliveries)
  of_endpoint_held[endpoint] = (of_endpoint_held[endpoint] or 0) + deliveries
  of_tenant_held[tenant] = (of_tenant_held[tenant] or 0) + deliveries
end

local lent = {}

local function room_of(tenant, endpoint, failures)
  local room = math.min(each - (of_endpoint_held[endpoint] or 0), of_tenant - (of_tenant_held[tenant] or 0), limit - #lent)
  return failures >= BREAKS_AT and math.min(room, 1) or room
end

local function give_up(delivery)
  log_attempt(delivery, 'dead', '', 'expired', 0, '')
  -- Nor does a sender that is late with it bring it back.
  redis.call('HSET', key('delivery', delivery.id), 'settled', delivery.tries)
  put_away(delivery, DEAD_TTL_MS)
end

-- Gives true if it did.
local function lend(endpoint, id, document)
  local delivery = load_delivery(id)
  if not delivery then
    -- Its record was lost; nobody knows what to say.
    put_away({id = id, endpoint = endpoint}, 0)
    return false
  end
  if waits_since_ms(delivery) + life_ms < NOW_MS then
    give_up(delivery)
    return false
  end
  local tries = redis.call('HINCRBY', key('delivery', id), 'tries', 1)
  redis.call('ZADD', key('outbox', endpoint), digits(NOW_MS + lease_ms), id)
  hold(delivery.tenant, endpoint, 1)
  lent[#lent + 1] = {id, tries, tries - delivery.earlier, delivery.event, delivery.type, delivery.subject,
    tonumber(delivery.at), document, delivery.trace or ''}
  return true
end

local function serve(tenant, endpoint)
  local failures = tonumber(redis.call('HGET', key('breaker', endpoint), 'failures') or 0)
  local room = room_of(tenant, endpoint, failures)
  if room <= 0 then
    redis.call('ZADD', key('outbox'), digits(NOW_MS + BUSY_MS), endpoint .. ' ' .. tenant)
    return
  end
  local document = redis.call('GET', key('endpoint', endpoint))
  local due = redis.call('ZRANGE', key('outbox', endpoint), '-inf', digits(NOW_MS), 'BYSCORE', 'LIMIT', 0, room)
  for _, id in ipairs(due) do
    if lend(endpoint, id, document) and failures >= BREAKS_AT then
      redis.call('HSET', key('breaker', endpoint), 'until', digits(NOW_MS + lease_ms), 'probe', id)
    end
  end
  reschedule(tenant, endpoint)
end

local function drop(tenant, endpoint)
  local is_known = redis.call('EXISTS', key('endpoint', endpoint)) == 1
  for _, id in ipairs(redis.call('ZRANGE', key('outbox', endpoint), 0, DROPPED_AT_MOST - 1)) do
    local delivery = load_delivery(id) or {id = id, endpoint = endpoint}
    if is_known and delivery.type then log_attempt(delivery, 'dead', '', 'disabled', 0, '') end
    put_away(delivery, is_known and DEAD_TTL_MS or 0)
  end
  reschedule(tenant, endpoint)
end

local function look_at_age(id)
  local delivery = load_delivery(id)
  local due_ms = delivery and tonumber(redis.call('ZSCORE', key('outbox', delivery.endpoint), id) or nil)
  if not due_ms then return redis.call('ZREM', key('undelivered'), id) end
  -- Its sender has the last word, as long as its lease goes.
  local is_on_its_way = delivery.tries ~= '0' and delivery.settled ~= delivery.tries and due_ms > NOW_MS
  if is_on_its_way then return redis.call('ZADD', key('undelivered'), digits(due_ms - life_ms), id) end
  give_up(delivery)
end

-- Also what is not due: an endpoint that rests gets one try a rest, however much waits for it.
local function give_up_the_oldest()
  local since = digits(NOW_MS - life_ms)
  local old = redis.call('ZRANGE', key('undelivered'), '-inf', since, 'BYSCORE', 'LIMIT', 0, DROPPED_AT_MOST)
  for _, id in ipairs(old) do look_at_age(id) end
end

for i = 6, #ARGV, 2 do
  local endpoint, tenant = endpoint_and_tenant(ARGV[i])
  hold(tenant, endpoint, tonumber(ARGV[i + 1]))
end
give_up_the_oldest()
local due = redis.call('ZRANGE', key('outbox'), '-inf', digits(NOW_MS), 'BYSCORE', 'LIMIT', 0, limit)
for _, member in ipairs(due) do
  if #lent >= limit then break end
  local endpoint, tenant = endpoint_and_tenant(member)
  if is_subscribed(tenant, endpoint) then serve(tenant, endpoint) else drop(tenant, endpoint) end
end
local first_ms = redis.call('ZRANGE', key('outbox'), 0, 0, 'WITHSCORES')[2]
return {'OK', NOW_MS, first_ms and math.max(tonumber(first_ms) - NOW_MS, 0) or IDLE_MS, unpack(lent)}
