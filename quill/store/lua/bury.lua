#!lua flags=allow-oom
-- bury: a supervisor saw its worker die. Its jobs need not wait for the end of their leases: RUNNING -> QUEUED at the
--       front of their line, or RUNNING -> FAILED when that happened too often; its slots are nobody's.
-- USES  keys, line, end, members, loss
-- KEYS  namespace
-- ARGV  worker, limit, lost_at_most, requeue_from, fail_from, lost_fault
-- GIVES {OK, left} with the jobs that it still holds, for the next call

local worker, limit, lost_at_most, requeue_from, fail_from, lost_fault = unpack(ARGV)

local held = key('held', worker)
local models = {}
for _, id in ipairs(redis.call('SRANDMEMBER', held, limit)) do
  local job = load_job(id)
  if job and job.worker == worker then
    lose(id, job, tonumber(lost_at_most), requeue_from, fail_from, lost_fault)
    models[job.model] = true
  else
    redis.call('SREM', held, id)
  end
end
local model = forget_worker(worker)
if model then models[model] = true end
for name in pairs(models) do pump(name) end
return {'OK', redis.call('SCARD', held)}
