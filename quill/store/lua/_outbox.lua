-- What webhook endpoints are still to be told, and when. Each has an outbox of its own, and waits in `outbox` until the first
-- of its deliveries is due and its breaker lets it be tried: much to tell to one keeps no other waiting.

-- What arrived can be sent once more for a day, what never did for a week.
local DELIVERED_TTL_MS = 86400000
local DEAD_TTL_MS = 604800000
local ATTEMPTS_KEPT = 1000
-- For one endpoint.
local WAITING_AT_MOST = 10000
-- So many failures in a row break an endpoint: it rests, then gets a single probe, and every one that fails doubles the rest.
local BREAKS_AT = 5
local LONGEST_REST = 10
local BREAKER_TTL_MS = 86400000

local function load_delivery(id)
  local flat = redis.call('HGETALL', key('delivery', id))
  if #flat == 0 then return nil end
  local delivery = {id = id}
  for i = 1, #flat, 2 do delivery[flat[i]] = flat[i + 1] end
  return delivery
end

local function is_full(endpoint) return redis.call('ZCARD', key('outbox', endpoint)) >= WAITING_AT_MOST end

local function is_subscribed(tenant, endpoint) return redis.call('HEXISTS', key('hooks', tenant), endpoint) == 1 end

local function rests_until_ms(endpoint) return tonumber(redis.call('HGET', key('breaker', endpoint), 'until') or 0) end

local function log_attempt(delivery, outcome, status, reason, took_ms, retry_ms)
  local attempts = key('attempts', delivery.endpoint)
  redis.call('XADD', attempts, 'MAXLEN', '~', ATTEMPTS_KEPT, '*', 'id', delivery.id, 'type', delivery.type,
    'subject', delivery.subject, 'attempt', delivery.tries, 'outcome', outcome, 'status', status, 'reason', reason,
    'took_ms', took_ms, 'retry_ms', retry_ms)
  redis.call('PEXPIRE', attempts, DEAD_TTL_MS)
end

local function put_away(delivery, ttl_ms)
  redis.call('ZREM', key('outbox', delivery.endpoint), delivery.id)
  redis.call('ZREM', key('undelivered'), delivery.id)
  redis.call('PEXPIRE', key('delivery', delivery.id), ttl_ms)
end

-- Since it was last asked for; what an older release posted is not listed.
local function waits_since_ms(delivery)
  return tonumber(redis.call('ZSCORE', key('undelivered'), delivery.id) or delivery.at)
end

-- It only ever comes sooner: an endpoint in a long queue of due ones would lose its place with each new delivery.
local function enqueue(tenant, endpoint, id)
  redis.call('ZADD', key('outbox', endpoint), digits(NOW_MS), id)
  redis.call('ZADD', key('undelivered'), digits(NOW_MS), id)
  local from_ms = math.max(NOW_MS, rests_until_ms(endpoint))
  redis.call('ZADD', key('outbox'), 'LT', digits(from_ms), endpoint .. ' ' .. tenant)
end

-- After an endpoint was served: what else is due there comes behind all others that are due.
local function reschedule(tenant, endpoint)
  local first_ms = redis.call('ZRANGE', key('outbox', endpoint), 0, 0, 'WITHSCORES')[2]
  local member = endpoint .. ' ' .. tenant
  if not first_ms then return redis.call('ZREM', key('outbox'), member) end
  local from_ms = math.max(NOW_MS, tonumber(first_ms), rests_until_ms(endpoint))
  redis.call('ZADD', key('outbox'), digits(from_ms), member)
end

-- The same whoever posts the event and however often; receivers know repeats by it.
local function delivery_of(event, endpoint) return 'msg_' .. redis.sha1hex(event .. ' ' .. endpoint) end

-- What finds the outbox full is dead at once, and the log, which is trimmed, is all that tells of it: records would pile up
-- elsewhere.
local function post(tenant, endpoint, event, event_type, subject, trace)
  local id = delivery_of(event, endpoint)
  if redis.call('EXISTS', key('delivery', id)) == 1 then return id end
  if is_full(endpoint) then
    local unsent = {id = id, endpoint = endpoint, type = event_type, subject = subject, tries = 0}
    return log_attempt(unsent, 'dead', '', 'outbox_full', 0, '')
  end
  redis.call('HSET', key('delivery', id), 'tenant', tenant, 'endpoint', endpoint, 'event', event, 'type', event_type,
    'subject', subject, 'at', digits(NOW_MS), 'tries', 0, 'earlier', 0, 'trace', trace)
  enqueue(tenant, endpoint, id)
  return id
end

-- A job's end, for each endpoint that wants to hear of it. An id may come back after its job was forgotten, so the event is
-- told from others by when the job was admitted.
local function notify(id, tenant, created, state, trace)
  local hooks = redis.call('HGETALL', key('hooks', tenant))
  if #hooks == 0 then return end
  local event_type = 'job.' .. state
  local event = 'evt_' .. redis.sha1hex(id .. ' ' .. created .. ' ' .. state)
  for i = 1, #hooks, 2 do
    if hooks[i + 1] == '*' or string.find(',' .. hooks[i + 1] .. ',', ',' .. event_type .. ',', 1, true) then
      post(tenant, hooks[i], event, event_type, id, trace)
    end
  end
end

local function note_failure(endpoint, id, rest_ms)
  local breaker = key('breaker', endpoint)
  local rest = redis.call('HMGET', breaker, 'until', 'probe')
  -- What was under way when it broke says nothing new.
  if tonumber(rest[1] or 0) > NOW_MS and rest[2] ~= id then return end
  local failures = redis.call('HINCRBY', breaker, 'failures', 1)
  if failures >= BREAKS_AT then
    local times = math.min(2 ^ (failures - BREAKS_AT), LONGEST_REST)
    redis.call('HSET', breaker, 'until', digits(NOW_MS + rest_ms * times))
    redis.call('HDEL', breaker, 'probe')
  end
  redis.call('PEXPIRE', breaker, BREAKER_TTL_MS)
end
