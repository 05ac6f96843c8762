-- What becomes of a worker that is gone, and of the jobs that it ran.

local function forget_worker(worker)
  local model = redis.call('HGET', key('worker', worker), 'model')
  if model then withdraw_slots(worker, model) end
  redis.call('ZREM', key('seen'), worker)
  return model
end

-- Nobody knows whose fault it was, so it is counted as a loss; only very many of them end a job.
local function lose(id, job, lost_at_most, requeue_from, fail_from, lost_fault)
  end_lease(id, job)
  if not is_allowed(job.state, requeue_from) then return end
  local lost = redis.call('HINCRBY', key('job', id), 'lost', 1)
  if lost > lost_at_most and is_allowed(job.state, fail_from) then
    retire(id, job, 'failed', lost_fault)
  else
    return_to_line(id, job)
    announce(id, 'queued', job.attempt)
  end
end
