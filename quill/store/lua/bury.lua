#!lua flags=allow-oom
-- bury: a supervisor saw its worker die. Its jobs need not wait for the end of their leases: RUNNING -> QUEUED at the
--       front of their line, or RUNNING -> FAILED if the job is poison; its slots are nobody's. It died of itself (a
--       crash) or was killed from outside.
-- USES  keys, members, suspects, flows, caps, limits, line, outbox, end, loss
-- KEYS  namespace
-- ARGV  worker, limit, is_crash, requeue_from, fail_from, poison_fault
-- GIVES {OK, left} with the jobs that it still holds, for the next call

local worker, limit, is_crash, requeue_from, fail_from, poison_fault = unpack(ARGV)

local held = key('held', worker)
local models = {}
local model = forget_worker(worker)
if model then models[model] = true end
for _, id in ipairs(redis.call('SRANDMEMBER', held, limit)) do
  local job = load_job(id)
  if job and job.worker == worker then
    lose(id, job, is_crash == '1', requeue_from, fail_from, poison_fault)
    models[job.model] = true
  else
    redis.call('SREM', held, id)
  end
end
for name in pairs(models) do pump(name) end
return {'OK', redis.call('SCARD', held)}
