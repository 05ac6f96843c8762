#!lua flags=allow-oom
-- retry: RUNNING -> QUEUED after a pause, because this attempt failed for a reason that the next may not meet.
--        The pause is drawn evenly from 0 to base * 2^retries ("full jitter": Brooker, AWS Architecture Blog, 2015).
-- USES  keys, members, suspects, flows, caps, limits, line, outbox, end
-- KEYS  namespace
-- ARGV  id, attempt, token, allowed_from, retries_at_most, base_ms, pause_at_most_ms, draw (from 0 to 1)
-- GIVES {OK, pause_ms} it waits, now or before | {SPENT} no retry is left | {FENCED} another attempt owns it | {ILLEGAL} it has ended | {MISSING} no such job

local id, attempt, token, allowed_from = unpack(ARGV, 1, 4)
local retries_at_most, base_ms, pause_at_most_ms, draw = tonumber(ARGV[5]), tonumber(ARGV[6]),
  tonumber(ARGV[7]), tonumber(ARGV[8])

local job = load_job(id)
if not job then return {'MISSING'} end
if job.attempt ~= attempt or job.token ~= token then return {'FENCED'} end
if job.state == 'queued' then
  local until_ms = redis.call('ZSCORE', key('delayed', job.model), id)
  return {'OK', math.max(tonumber(until_ms or 0) - NOW_MS, 0)}
end
if not is_allowed(job.state, allowed_from) then return {'ILLEGAL'} end

local retries = tonumber(redis.call('HGET', key('job', id), 'retries') or 0)
if retries >= retries_at_most then return {'SPENT'} end

local pause_ms = math.floor(draw * math.min(pause_at_most_ms, base_ms * 2 ^ retries))
redis.call('HSET', key('job', id), 'retries', retries + 1)
end_lease(id, job)
return_to_line(id, job, pause_ms)
announce(id, 'queued', attempt)
pump(job.model)
return {'OK', pause_ms}
