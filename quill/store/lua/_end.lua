-- How a job ends, and who may still write to it.

local EXCEPTION = {
  failed = '"FAILURE","result":{"exc_type":"JobFailed","exc_module":"quill.errors",',
  expired = '"FAILURE","result":{"exc_type":"JobExpired","exc_module":"quill.errors",',
  cancelled = '"REVOKED","result":{"exc_type":"TaskRevokedError","exc_module":"celery.exceptions",',
}

local function is_allowed(state, allowed_from)
  return string.find(',' .. allowed_from .. ',', ',' .. state .. ',', 1, true) ~= nil
end

-- The last claim keeps its right to write until somebody else claims the job or it ends.
local function holds(job, attempt, token)
  return attempt ~= '0' and job.attempt == attempt and job.token == token
    and (job.state == 'running' or job.state == 'queued')
end

-- What Celery's Redis result backend stores and publishes; `outcome` is JSON text already, so no prompt
-- and no answer passes through cjson.
local function reply_to_celery(celery_id, state, outcome)
  local body = state == 'succeeded' and '"SUCCESS","result":' .. outcome
    or EXCEPTION[state] .. '"exc_message":[' .. outcome .. ']}'
  local meta = '{"status":' .. body .. ',"traceback":null,"children":[],"date_done":null,"task_id":'
    .. cjson.encode(celery_id) .. '}'
  local name = 'celery-task-meta-' .. celery_id
  redis.call('SET', name, meta, 'EX', 86400)
  redis.call('PUBLISH', name, meta)
end

-- What a job without a last report is known to have used: whoever began it read its prompt.
local function known_tokens(job, prompt, produced)
  return (job.attempt ~= '0' and tonumber(prompt or 0) or 0) + tonumber(produced or 0)
end

-- Writes the terminal state; from here on every key of the job has an end. The job has left its line and
-- its lease before. Its tenant is charged what it used, or what it is known to have used.
local function retire(id, job, state, outcome, used_tokens)
  local record = key('job', id)
  free_worker(id, job)
  make_room(id, job)
  if is_suspect(job) and redis.call('SREM', key('suspects', job.model), id) == 1 then
    admit_suspects(job.model, 1)
  end
  local more = redis.call('HMGET', record, 'ttl', 'reply', 'idem', 'created', 'produced', 'trace', 'prompt', 'marks')
  used_tokens = used_tokens or known_tokens(job, more[7], more[5])
  settle(job, used_tokens)
  -- Nobody's budget pays for what failed.
  local paid_tokens = state == 'failed' and 0 or used_tokens
  give_back(id, job, paid_tokens, more[8])
  local ttl_ms = tonumber(more[1])
  redis.call('HSET', record, 'state', state, 'finished', digits(NOW_MS), 'paid', paid_tokens)
  redis.call('PEXPIRE', record, ttl_ms)
  -- In the same millisecond: a key that ends later replays nothing, one that ends sooner doubles its job.
  if more[3] then redis.call('PEXPIRE', key('idem', job.tenant, more[3]), ttl_ms) end
  redis.call('PEXPIRE', key('request', id), ttl_ms)
  redis.call('SET', key('result', id), outcome, 'PX', ttl_ms)
  redis.call('PEXPIRE', key('out', id, job.attempt), ttl_ms)
  redis.call('ZREM', key('due'), id)
  redis.call('ZADD', key('expiry'), digits(NOW_MS + ttl_ms), id .. ' ' .. job.tenant)
  if more[2] then
    reply_to_celery(more[2], state, outcome)
    redis.call('PEXPIRE', key('reply', more[2]), ttl_ms)
  end
  if state == 'failed' then redis.call('ZADD', key('dead', job.tenant), more[4], id) end
  notify(id, job.tenant, more[4], state, more[6] or '')
  announce(id, state, job.attempt)
end
