-- What becomes of a worker that is gone, and of the jobs that it ran.

-- Its jobs go back a few at a time, so how many were aboard is noted before the first does.
local function forget_worker(worker)
  local record = key('worker', worker)
  local model = redis.call('HGET', record, 'model')
  if model then withdraw_slots(worker, model) end
  redis.call('ZREM', key('seen'), worker)
  redis.call('HSETNX', record, 'aboard', redis.call('SCARD', key('held', worker)))
  redis.call('PEXPIRE', record, WORKER_TTL_MS)
  return model
end

local function was_alone_aboard(job)
  local aboard = redis.call('HGET', key('worker', job.worker), 'aboard')
  return tonumber(aboard or redis.call('SCARD', key('held', job.worker))) == 1
end

local function lose(id, job, is_crash, requeue_from, fail_from, poison_fault)
  local count = (is_crash or is_suspect(job)) and 'stalls' or 'lost'
  local was_alone = count == 'stalls' and was_alone_aboard(job)
  end_lease(id, job)
  if not is_allowed(job.state, requeue_from) then return end
  job[count] = redis.call('HINCRBY', key('job', id), count, 1)
  if count == 'stalls' and job.stalls >= POISON_FROM_STALLS and was_alone and is_allowed(job.state, fail_from) then
    retire(id, job, 'failed', poison_fault)
  else
    return_to_line(id, job)
    announce(id, 'queued', job.attempt)
  end
end
