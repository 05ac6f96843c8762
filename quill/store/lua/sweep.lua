#!lua flags=allow-oom
-- sweep: whatever is overdue goes on. RUNNING -> QUEUED when a lease ran out, RUNNING -> FAILED if the
--        job is poison, QUEUED -> EXPIRED past the time to start; lost tickets and failed tries
--        whose pause is over return to their line,
--        silent workers are forgotten, listings drop expired records, free slots get tickets.
-- USES  keys, members, suspects, flows, caps, limits, line, outbox, end, loss
-- KEYS  namespace
-- ARGV  limit, lease_ms, silent_ms, pause_ms, requeue_from, fail_from, expire_from, poison_fault, expired_fault
-- GIVES {OK, next_due_ms, moved} with the time until there may be work again

local limit, lease_ms, silent_ms, pause_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local requeue_from, fail_from, expire_from, poison_fault, expired_fault = unpack(ARGV, 5, 9)

local moved = 0
local function overdue(index)
  return redis.call('ZRANGE', index, '-inf', digits(NOW_MS), 'BYSCORE', 'LIMIT', 0, limit - moved)
end

-- Nobody swept for a while: Redis was away or everything was down, so no silence since then is evidence.
-- Sparing every lease for one term is the same as renewing each, and costs one write.
local book = key('sweep')
local last = redis.call('HMGET', book, 'at', 'spared_until')
local spared_until = tonumber(last[2] or 0)
if last[1] and NOW_MS - tonumber(last[1]) > pause_ms then
  spared_until = NOW_MS + lease_ms
end
redis.call('HSET', book, 'at', digits(NOW_MS), 'spared_until', digits(spared_until))
local is_spared = NOW_MS < spared_until

local function forget_silent_workers()
  local since = digits(NOW_MS - silent_ms)
  for _, worker in ipairs(redis.call('ZRANGE', key('seen'), '-inf', since, 'BYSCORE', 'LIMIT', 0, limit)) do
    forget_worker(worker)
    moved = moved + 1
  end
end

local function reclaim_leases(model)
  local leases = key('leases', model)
  for _, id in ipairs(overdue(leases)) do
    local job = load_job(id)
    moved = moved + 1
    if job then
      lose(id, job, false, requeue_from, fail_from, poison_fault)
    else
      redis.call('ZREM', leases, id)
    end
  end
end

-- When the oldest ticket on the list was pushed: what was pushed before it is there no more.
local function oldest_pushed_us(model)
  local entry = redis.call('LINDEX', list_of(model), -1)
  if not entry then return NOW_US + 1 end
  local id = string.match(entry, '"id":"([^":]+):%d+"')
  return tonumber(id and redis.call('HGET', key('job', id), 'pushed') or 0)
end

local function reclaim_tickets(model)
  local tickets = key('tickets', model)
  local oldest_us = oldest_pushed_us(model)
  for _, id in ipairs(overdue(tickets)) do
    local job = load_job(id)
    if not job or tonumber(redis.call('HGET', key('job', id), 'pushed') or 0) < oldest_us then
      redis.call('ZREM', tickets, id)
      if job and job.state == 'queued' then return_to_line(id, job) end
    else
      redis.call('ZADD', tickets, digits(NOW_MS + TICKET_TERM_MS), id)
    end
    moved = moved + 1
  end
end

local function end_pauses(model)
  for _, id in ipairs(overdue(key('delayed', model))) do
    local job = load_job(id)
    redis.call('ZREM', key('delayed', model), id)
    moved = moved + 1
    if job and job.state == 'queued' then enter_line(id, job) end
  end
end

local function expire_unstarted()
  for _, id in ipairs(overdue(key('due'))) do
    local job = load_job(id)
    redis.call('ZREM', key('due'), id)
    moved = moved + 1
    if job and is_allowed(job.state, expire_from) then
      leave_line(id, job)
      redis.call('HINCRBY', key('job', id), 'seq', 1)
      retire(id, job, 'expired', expired_fault)
    end
  end
end

-- Nobody waits for it, and a great many may be due at once: it has a budget of its own.
local function drop_listings()
  local entries = redis.call('ZRANGE', key('expiry'), '-inf', digits(NOW_MS), 'BYSCORE', 'LIMIT', 0, limit)
  for _, entry in ipairs(entries) do
    local id, tenant = string.match(entry, '^(%S+) (%S+)$')
    redis.call('ZREM', key('owned', tenant), id)
    redis.call('ZREM', key('dead', tenant), id)
    redis.call('ZREM', key('expiry'), entry)
  end
  return #entries
end

local soonest = NOW_MS + 1000
local function consider(index, delay_ms)
  local first = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  if first then soonest = math.min(soonest, tonumber(first) + delay_ms) end
end

local models = redis.call('SMEMBERS', key('models'))
if not is_spared then forget_silent_workers() end
for _, model in ipairs(models) do
  if not is_spared then reclaim_leases(model) end
  reclaim_tickets(model)
  end_pauses(model)
  admit_suspects(model, limit)
end
expire_unstarted()
local dropped = drop_listings()
local has_more = dropped >= limit
for _, model in ipairs(models) do
  has_more = pump(model) or has_more
  if not is_spared then consider(key('leases', model), 0) end
  consider(key('tickets', model), 0)
  consider(key('delayed', model), 0)
end
if has_more or moved >= limit then return {'OK', 0, moved + dropped} end
if is_spared then soonest = math.min(soonest, spared_until) else consider(key('seen'), silent_ms) end
consider(key('due'), 0)
return {'OK', math.max(soonest - NOW_MS, 1), moved + dropped}
