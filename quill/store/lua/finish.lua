#!lua flags=allow-oom
-- finish: RUNNING -> SUCCEEDED | FAILED | CANCELLED | EXPIRED, by the attempt that holds the job; also
--         QUEUED -> SUCCEEDED, the last attempt's late success while nobody has claimed the job since.
-- USES  keys, members, suspects, flows, caps, limits, line, estimate, outbox, end, output
-- KEYS  namespace
-- ARGV  id, attempt, token, to_state, allowed_from, outcome, produced, used_tokens, measures, and for each last piece of output: number, chunk
-- GIVES {OK, state} done | {REPLAY, state} this attempt had ended it so before | {FENCED} another attempt owns or ended it | {ILLEGAL} no such edge | {MISSING} no such job

local RECENT_TTL_MS = 86400000
local RECENT_AT_MOST = 100
-- Trimmed only now and then.
local RECENT_SLACK = 20

local id, attempt, token, to_state, allowed_from, outcome, produced, used_tokens, measures = unpack(ARGV, 1, 9)

local job = load_job(id)
if not job then return {'MISSING'} end
if job.attempt ~= attempt or job.token ~= token then return {'FENCED'} end
if job.state == to_state and to_state ~= 'queued' and to_state ~= 'running' then return {'REPLAY', to_state} end
if not holds(job, attempt, token) then return {'FENCED'} end
if not is_allowed(job.state, allowed_from) then return {'ILLEGAL'} end

if job.state == 'queued' then
  leave_line(id, job)
  redis.call('HINCRBY', key('job', id), 'seq', 1)
else
  end_lease(id, job)
end
for i = 10, #ARGV, 2 do write_piece(id, attempt, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', key('job', id), 'produced', produced)
retire(id, job, to_state, outcome, tonumber(used_tokens))
note_run(job)
local recent = key('recent', job.model)
local kept = redis.call('LPUSH', recent, measures)
if kept == 1 or kept > RECENT_AT_MOST + RECENT_SLACK then
  redis.call('LTRIM', recent, 0, RECENT_AT_MOST - 1)
  redis.call('PEXPIRE', recent, RECENT_TTL_MS)
end
pump(job.model)
return {'OK', to_state}
