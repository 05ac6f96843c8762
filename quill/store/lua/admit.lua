#!lua
-- admit: (nothing) -> QUEUED, all or nothing, and a ticket at once if a slot is free.
-- USES  keys, members, suspects, flows, caps, limits, line, estimate
-- KEYS  namespace
-- ARGV  id, tenant, model, class, weight, cost, request, fingerprint, idem_digest, start_by_ms, ttl_ms, max_queued, stream, celery_id, max_running, replay_of, is_first_try, idem_ttl_ms, trace, limits, prompt_tokens, metadata
-- GIVES {OK, id, created_us, position|false, starts_in_ms|false, and for each limit: left, full_in_ms} admitted | {REPLAY, id, created_us, false, false} admitted before | {CONFLICT} the key was used for another body | {FULL} the backlog is at its bound | {LATE, late_ms} it would start too late | {BEYOND, place, amount} no waiting would make it fit this limit, from 1 | {LIMITED, and for each limit: left, full_in_ms, fits_in_ms} some are reached; -1 for those that are not

local id, tenant, model, class, weight, cost, request, fingerprint = unpack(ARGV, 1, 8)
local idem_digest, start_by_ms, ttl_ms, max_queued, stream, celery_id, max_running, replay_of, is_first_try, idem_ttl_ms, trace, limits, prompt_tokens, metadata = unpack(ARGV, 9)

local function created_us(known_id) return redis.call('HGET', key('job', known_id), 'created') end

local created = created_us(id)
if created then return {'REPLAY', id, created, false, false} end
local idem = idem_digest ~= '' and key('idem', tenant, idem_digest)
local earlier_id, earlier_print = string.match(idem and redis.call('GET', idem) or '', '^(%S+) (%S+)$')
-- A key whose job is gone stands for nothing: what comes with it now is a new request.
created = earlier_id and created_us(earlier_id)
if created and is_first_try == '1' then
  -- It means no job before it. Should it be refused, its next try must find none that has ended long ago.
  if redis.call('HEXISTS', key('job', earlier_id), 'finished') == 1 then redis.call('DEL', idem) end
elseif created then
  if earlier_print ~= fingerprint then return {'CONFLICT'} end
  if idem_ttl_ms ~= '0' then redis.call('PEXPIRE', idem, idem_ttl_ms) end
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
local amounts = {requests = 1, tokens = tonumber(cost), concurrent_jobs = 1, queued_jobs = 1, queued_bytes = #request}
local bounds, over, is_limited = bounds_of(limits), {}, false
for place, bound in ipairs(bounds) do
  local amount = amounts[bound.dimension]
  if amount > bound.capacity then return {'BEYOND', place, amount} end
  over[place] = excess(bound, amount)
  is_limited = is_limited or over[place] > 0
end
local rooms = {}
for place, bound in ipairs(bounds) do
  local left, full_in_ms = room_after(bound, is_limited and 0 or amounts[bound.dimension])
  rooms[#rooms + 1], rooms[#rooms + 2] = left, full_in_ms
  if is_limited then rooms[#rooms + 1] = fits_in_ms(bound, over[place]) end
end
if is_limited then return {'LIMITED', unpack(rooms)} end

local order = redis.call('HINCRBY', facts, 'order', 1)
local record = {'state', 'queued', 'tenant', tenant, 'model', model, 'class', class, 'weight', weight, 'cost', cost,
  'order', order, 'seq', 0, 'attempt', 0, 'token', '', 'lost', 0, 'stalls', 0, 'retries', 0,
  'created', digits(NOW_US), 'ttl', ttl_ms, 'stream', stream}
local function note(field, value) record[#record + 1], record[#record + 2] = field, value end

redis.call('SET', key('request', id), request)
if max_running ~= '0' then note('cap', max_running) end
if idem then
  redis.call('SET', idem, id .. ' ' .. fingerprint)
  -- However long the job waits and runs, its key waits too; it gets its end together with the record.
  if idem_ttl_ms == '0' then note('idem', idem_digest) else redis.call('PEXPIRE', idem, idem_ttl_ms) end
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
if prompt_tokens ~= '0' then note('prompt', prompt_tokens) end
if limits ~= '' then
  note('limits', limits)
  note('bytes', #request)
  local marks = take_share(id, amounts, bounds)
  if marks ~= '' then note('marks', marks) end
end
redis.call('HSET', key('job', id), unpack(record))
redis.call('ZADD', key('owned', tenant), digits(NOW_US), id)
enter_line(id, {model = model, class = class, tenant = tenant, order = order})
pump(model)
local rank = redis.call('ZRANK', line_of(model, class, tenant), id)
local starts_in = rank and starts_in_ms(model, class, rank + 1, tonumber(max_running))
return {'OK', id, digits(NOW_US), rank and rank + 1, starts_in or false, unpack(rooms)}
