#!lua flags=allow-oom
-- take: lends deliveries that are due to a sender, which must settle each before its lease ends; otherwise it is lent
--       again. What waits for an endpoint that is disabled or gone is dropped, some at a time.
-- USES  keys, outbox
-- KEYS  namespace
-- ARGV  limit, each, lease_ms, and for each endpoint that the sender is busy with: id, deliveries; of an endpoint's it
--       gets no more than `each` at once
-- GIVES {OK, now_ms, next_due_ms, {id, tries, tries of this round, event, type, subject, at_ms, document, trace}, ...} with the
--       time until there may be more

-- A sender that is busy with an endpoint comes back to it as soon as it settles a delivery; this is for the others.
local BUSY_MS = 1000
local IDLE_MS = 1000
local DROPPED_AT_MOST = 100

local limit, each, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local busy_with = {}
for i = 4, #ARGV, 2 do busy_with[ARGV[i]] = tonumber(ARGV[i + 1]) end

local lent = {}

local function room_of(endpoint, failures)
  local room = math.min(each - (busy_with[endpoint] or 0), limit - #lent)
  return failures >= BREAKS_AT and math.min(room, 1) or room
end

local function lend(endpoint, id, document)
  local delivery = load_delivery(id)
  -- Its record was lost; nobody knows what to say.
  if not delivery then return redis.call('ZREM', key('outbox', endpoint), id) end
  local tries = redis.call('HINCRBY', key('delivery', id), 'tries', 1)
  redis.call('ZADD', key('outbox', endpoint), digits(NOW_MS + lease_ms), id)
  lent[#lent + 1] = {id, tries, tries - delivery.earlier, delivery.event, delivery.type, delivery.subject,
    tonumber(delivery.at), document, delivery.trace or ''}
end

local function serve(tenant, endpoint)
  local failures = tonumber(redis.call('HGET', key('breaker', endpoint), 'failures') or 0)
  local room = room_of(endpoint, failures)
  if room <= 0 then
    redis.call('ZADD', key('outbox'), digits(NOW_MS + BUSY_MS), endpoint .. ' ' .. tenant)
    return
  end
  local document = redis.call('GET', key('endpoint', endpoint))
  local due = redis.call('ZRANGE', key('outbox', endpoint), '-inf', digits(NOW_MS), 'BYSCORE', 'LIMIT', 0, room)
  for _, id in ipairs(due) do lend(endpoint, id, document) end
  if failures >= BREAKS_AT and due[1] then
    redis.call('HSET', key('breaker', endpoint), 'until', digits(NOW_MS + lease_ms), 'probe', due[1])
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

local due = redis.call('ZRANGE', key('outbox'), '-inf', digits(NOW_MS), 'BYSCORE', 'LIMIT', 0, limit)
for _, member in ipairs(due) do
  if #lent >= limit then break end
  local endpoint, tenant = string.match(member, '^(%S+) (%S+)$')
  if is_subscribed(tenant, endpoint) then serve(tenant, endpoint) else drop(tenant, endpoint) end
end
local first_ms = redis.call('ZRANGE', key('outbox'), 0, 0, 'WITHSCORES')[2]
return {'OK', NOW_MS, first_ms and math.max(tonumber(first_ms) - NOW_MS, 0) or IDLE_MS, unpack(lent)}
