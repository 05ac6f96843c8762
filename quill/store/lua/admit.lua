#!lua
-- admit: (nothing) -> QUEUED, all or nothing, and a ticket at once if a slot is free.
-- USES  keys, members, suspects, flows, caps, limits, line, estimate
-- KEYS  namespace
-- ARGV  id, tenant, model, class, weight, cost, request, fingerprint, idem_digest, start_by_ms, ttl_ms, max_queued, stream, celery_id, max_running, replay_of, is_first_try, trace, limits, metadata
-- GIVES {OK, id, created_us, position|false, starts_in_ms|false, and for each limit: left, full_in_ms} admitted | {REPLAY, id, created_us, false, false} admitted before | {CONFLICT} the key was used for another body | {FULL} the backlog is at its bound | {LATE, late_ms} it would start too late | {LIMITED, place, fits_in_ms, ...} these limits, from 1, are reached

local id, tenant, model, class, weight, cost, request, fingerprint = unpack(ARGV, 1, 8)
local idem_digest, start_by_ms, ttl_ms, max_queued, stream, celery_id, max_running, replay_of, is_first_try, trace, limits, metadata = unpack(ARGV, 9)

local function created_us(known_id) return redis.call('HGET', key('job', known_id), 'created') end

local created = created_us(id)
if created then return {'REPLAY', id, created, false, false} end
local idem = idem_digest ~= '' and key('idem', tenant, idem_digest)
local earlier_id, earlier_print = string.match(idem and is_first_try == '0' and redis.call('GET', idem) or '', '^(%S+) (%S+)$')
-- A key whose job is gone stands for nothing: what comes with it now is a new request.
created = earlier_id and created_us(earlier_id)
if created then
  if earlier_print ~= fingerprint then return {'CONFLICT'} end
  return {'REPLAY', earlier_id, created, false, false}
end
if celery_id ~= '' and redis.call('EXISTS', key('reply', celery_id)) == 1 then return {'CONFLICT'} end

local facts = key('model', model)
if tonumber(redis.call('HGET', facts, 'waiting') or 0) >= tonumber(max_queued) then return {'FULL'} end

if start_by_ms ~= '0' then
  local rank = redis.call('ZCARD', line_of(model, class, tenant)) + 1
  local late_ms = (starts_in_ms(model, class, rank, tonumber(max_running)) or 0) - tonumber(start_by_ms)
  if late_ms > 0 then return {'LATE', late_ms} end
end

-- All are looked at before any is taken: who is refused has spent nothing.
local AMOUNT = {requests = 1, tokens = tonumber(cost), concurrent_jobs = 1, queued_jobs = 1, queued_bytes = #request}
local bounds, reached, left = bounds_of(limits), {'LIMITED'}, {}
for place, bound in ipairs(bounds) do
  local left_over, in_ms = left_after(bound, AMOUNT[bound.dimension])
  if left_over < 0 then
    reached[#reached + 1], reached[#reached + 2] = place, in_ms
  end
  left[#left + 1], left[#left + 2] = left_over, in_ms
end
if #reached > 1 then return reached end

local order = redis.call('HINCRBY', facts, 'order', 1)
local record = {'state', 'queued', 'tenant', tenant, 'model', model, 'class', class, 'weight', weight, 'cost', cost,
  'order', order, 'seq', 0, 'attempt', 0, 'token', '', 'lost', 0, 'stalls', 0, 'retries', 0,
  'created', digits(NOW_US), 'ttl', ttl_ms, 'stream', stream}
local function note(field, value) record[#record + 1], record[#record + 2] = field, value end

redis.call('SET', key('request', id), request)
if max_running ~= '0' then note('cap', max_running) end
if idem then
  -- However long the job waits and runs, its key waits too; it gets its end together with the record.
  note('idem', idem_digest)
  redis.call('SET', idem, id .. ' ' .. fingerprint)
end
if celery_id ~= '' then
  note('reply', celery_id)
  redis.call('SET', key('reply', celery_id), id)
end
if trace ~= '' then note('trace', trace) end
if metadata ~= '' then note('metadata', metadata) end
if replay_of ~= '' then
  note('replay_of', replay_of)
  -- The letter is answered; whether this try ends better is the new job's story.
  if redis.call('ZREM', key('dead', tenant), replay_of) == 1 and redis.call('EXISTS', key('job', replay_of)) == 1 then
    redis.call('HSET', key('job', replay_of), 'replayed_as', id)
  end
end
if start_by_ms ~= '0' then
  local due_ms = digits(NOW_MS + tonumber(start_by_ms))
  note('start_by', due_ms)
  redis.call('ZADD', key('due'), due_ms, id)
end
if limits ~= '' then
  note('limits', limits)
  note('bytes', #request)
end
redis.call('HSET', key('job', id), unpack(record))
redis.call('ZADD', key('owned', tenant), digits(NOW_US), id)
take_share(id, {bytes = #request}, bounds)
enter_line(id, {model = model, class = class, tenant = tenant, order = order})
pump(model)
local rank = redis.call('ZRANK', line_of(model, class, tenant), id)
local starts_in = rank and starts_in_ms(model, class, rank + 1, tonumber(max_running))
return {'OK', id, digits(NOW_US), rank and rank + 1, starts_in or false, unpack(left)}
