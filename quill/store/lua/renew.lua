#!lua flags=allow-oom
-- renew: one heartbeat for a worker and all its jobs; extends leases, takes progress and the health report.
-- USES  keys, members, suspects, flows, caps, limits, line, outbox, end
-- KEYS  namespace
-- ARGV  worker, lease_ms, report, and for each job: id, attempt, token, produced
-- GIVES {OK, place, ...} of the attempts that this worker must stop, among those named, from 1 | {UNKNOWN} the worker has to join again

local worker, lease_ms, report = unpack(ARGV, 1, 3)
local record = key('worker', worker)

if not is_seen(worker) or redis.call('HEXISTS', record, 'model') == 0 then return {'UNKNOWN'} end
redis.call('ZADD', key('seen'), digits(NOW_MS), worker)
redis.call('HSET', record, 'report', report, 'seen', digits(NOW_MS))

local reply = {'OK'}
for i = 4, #ARGV, 4 do
  local id, attempt, token, produced = unpack(ARGV, i, i + 3)
  local job = load_job(id)
  if not job or not holds(job, attempt, token) then
    reply[#reply + 1] = (i - 4) / 4 + 1
  elseif job.state == 'running' then
    redis.call('ZADD', key('leases', job.model), digits(NOW_MS + tonumber(lease_ms)), id)
    redis.call('HSET', key('job', id), 'produced', produced)
  end
end
return reply
