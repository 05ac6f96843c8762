#!lua
-- admit: (nothing) -> QUEUED, all or nothing, and a ticket at once if a slot is free.
-- USES  keys, members, suspects, flows, caps, line, estimate
-- KEYS  namespace
-- ARGV  id, tenant, model, class, weight, cost, request, fingerprint, idem_digest, start_by_ms, ttl_ms, max_queued, stream, celery_id, max_running, replay_of
-- GIVES {OK, id, created_us, position|false, starts_in_ms|false} admitted | {REPLAY, id, created_us, false, false} admitted before | {CONFLICT} the key was used for another body | {FULL} the backlog is at its bound

local id, tenant, model, class, weight, cost, request, fingerprint = unpack(ARGV, 1, 8)
local idem_digest, start_by_ms, ttl_ms, max_queued, stream, celery_id, max_running, replay_of = unpack(ARGV, 9, 16)

local function created_us(known_id) return redis.call('HGET', key('job', known_id), 'created') end

local created = created_us(id)
if created then return {'REPLAY', id, created, false, false} end
local idem = idem_digest ~= '' and key('idem', tenant, idem_digest)
local earlier_id, earlier_print = string.match(idem and redis.call('GET', idem) or '', '^(%S+) (%S+)$')
-- A key whose job is gone stands for nothing: what comes with it now is a new request.
created = earlier_id and created_us(earlier_id)
if created then
  if earlier_print ~= fingerprint then return {'CONFLICT'} end
  return {'REPLAY', earlier_id, created, false, false}
end
if celery_id ~= '' and redis.call('EXISTS', key('reply', celery_id)) == 1 then return {'CONFLICT'} end

local facts = key('model', model)
if tonumber(redis.call('HGET', facts, 'waiting') or 0) >= tonumber(max_queued) then return {'FULL'} end

local order = redis.call('HINCRBY', facts, 'order', 1)
redis.call('HSET', key('job', id), 'state', 'queued', 'tenant', tenant, 'model', model, 'class', class,
  'weight', weight, 'cost', cost, 'order', order, 'seq', 0, 'attempt', 0, 'token', '', 'lost', 0, 'stalls', 0,
  'retries', 0,
  'created', digits(NOW_US), 'ttl', ttl_ms, 'stream', stream)
if max_running ~= '0' then redis.call('HSET', key('job', id), 'cap', max_running) end
redis.call('SET', key('request', id), request)
if idem then
  -- However long the job waits and runs, its key waits too; it gets its end together with the record.
  redis.call('HSET', key('job', id), 'idem', idem_digest)
  redis.call('SET', idem, id .. ' ' .. fingerprint)
end
if celery_id ~= '' then
  redis.call('HSET', key('job', id), 'reply', celery_id)
  redis.call('SET', key('reply', celery_id), id)
end
if replay_of ~= '' then
  redis.call('HSET', key('job', id), 'replay_of', replay_of)
  -- The letter is answered; whether this try ends better is the new job's story.
  if redis.call('ZREM', key('dead', tenant), replay_of) == 1 and redis.call('EXISTS', key('job', replay_of)) == 1 then
    redis.call('HSET', key('job', replay_of), 'replayed_as', id)
  end
end
if start_by_ms ~= '0' then
  local due_ms = digits(NOW_MS + tonumber(start_by_ms))
  redis.call('HSET', key('job', id), 'start_by', due_ms)
  redis.call('ZADD', key('due'), due_ms, id)
end
redis.call('ZADD', key('owned', tenant), digits(NOW_US), id)
enter_line(id, {model = model, class = class, tenant = tenant, order = order})
announce(id, 'queued', 0)
pump(model)
local rank = redis.call('ZRANK', line_of(model, class, tenant), id)
if not rank then return {'OK', id, digits(NOW_US), false, false} end
return {'OK', id, digits(NOW_US), rank + 1, starts_in_ms(model, class, rank + 1, tonumber(max_running))}
