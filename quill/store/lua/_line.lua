-- The lines that jobs wait in, and the tickets of those who are next.

-- A ticket that is not claimed by then may be lost. The first one's term is short, the later ones' long enough for the
-- slowest of claims, which would be stale each time otherwise.
local FIRST_TICKET_TERM_MS = 1500
local TICKET_TERM_MS = 5000
local PUMP_AT_MOST = 10

local function line_of(model, class, tenant) return key('line', model, class, tenant) end

local function enter_line(id, job)
  if is_suspect(job) and not may_get_under_way(id, job.model) then
    redis.call('ZADD', key('apart', job.model), job.order, id)
    return
  end
  redis.call('ZADD', line_of(job.model, job.class, job.tenant), job.order, id)
  redis.call('HINCRBY', key('model', job.model), 'waiting', 1)
  enter_race(job.model, job.class, job.tenant)
end

-- After a job was taken out of a line: flows without waiting jobs leave the race.
local function left_line(model, class, tenant)
  redis.call('HINCRBY', key('model', model), 'waiting', -1)
  if redis.call('EXISTS', line_of(model, class, tenant)) == 1 then return end
  leave_race(model, class, tenant)
end

local JOB_FIELDS = {'state', 'tenant', 'model', 'class', 'weight', 'cost', 'order', 'seq', 'attempt', 'token', 'worker',
  'charged', 'lost', 'stalls', 'cap', 'started', 'limits', 'bytes'}

local function load_job(id)
  local values = redis.call('HMGET', key('job', id), unpack(JOB_FIELDS))
  if not values[1] then return nil end
  local job = {}
  for i, name in ipairs(JOB_FIELDS) do job[name] = values[i] end
  return job
end

local function begin_lease(id, job, worker, lease_ms)
  redis.call('ZADD', key('leases', job.model), digits(NOW_MS + lease_ms), id)
  board(worker, job.model, id)
end

local function end_lease(id, job)
  redis.call('ZREM', key('leases', job.model), id)
  redis.call('SREM', key('held', job.worker), id)
end

local function ticket_of(id, seq, model)
  return (string.gsub(TICKET, '%%(%u+)%%', {ID = id .. ':' .. seq, QUEUE = list_of(model)}))
end

-- Takes a queued job out of wherever it waits, and its ticket off the list unless a worker has that by now: whoever
-- submits and cancels in a loop would fill the list otherwise.
local function leave_line(id, job)
  redis.call('ZREM', key('due'), id)
  if redis.call('ZREM', key('tickets', job.model), id) == 1 then
    redis.call('LREM', list_of(job.model), 1, ticket_of(id, job.seq, job.model))
  elseif redis.call('ZREM', key('delayed', job.model), id) == 0 and redis.call('ZREM', key('apart', job.model), id) == 0 then
    redis.call('ZREM', line_of(job.model, job.class, job.tenant), id)
    left_line(job.model, job.class, job.tenant)
  end
end

-- Back at its old place, which is the front, now or after a pause; its older tickets become stale.
local function return_to_line(id, job, pause_ms)
  free_worker(id, job)
  make_room(id, job)
  if job.state ~= 'queued' then begin_wait(id, job, bounds_of(job.limits)) end
  redis.call('HSET', key('job', id), 'state', 'queued', 'seq', tonumber(job.seq) + 1)
  if (pause_ms or 0) > 0 then
    redis.call('ZADD', key('delayed', job.model), digits(NOW_MS + pause_ms), id)
  else
    enter_line(id, job)
  end
end

-- While there is room for them, suspects go on from where they wait apart.
local function admit_suspects(model, at_most)
  for _ = 1, at_most do
    if not has_room_for_suspects(model) then return end
    local id = redis.call('ZPOPMIN', key('apart', model))[1]
    if not id then return end
    local job = load_job(id)
    if job then enter_line(id, job) end
  end
end

local function next_class(model)
  local classes = key('classes', model)
  local waiting = redis.call('ZRANGE', classes, 0, -1)
  if #waiting < 2 then return waiting[1] end
  for _, class in ipairs(waiting) do
    local served_ms = tonumber(redis.call('HGET', classes .. ':tags', ' served ' .. class) or NOW_MS)
    if NOW_MS - served_ms > CLASS_WAIT_AT_MOST_MS[class] then return class end
  end
  return waiting[1]
end

-- A job that was here before has paid.
local function pay(id, model, class, tenant, terms)
  local cost, weight, has_paid = tonumber(terms[1] or 0), tonumber(terms[2] or 1), terms[3]
  if has_paid then return end
  local tenants_began = charge(key('tenants', model, class), tenant, cost / weight)
  local classes_began = charge(key('classes', model), class, cost / CLASS_WEIGHT[class])
  redis.call('HSET', key('job', id), 'charged', tenants_began .. ' ' .. classes_began)
end

-- Takes the next job out of its line, and gives the number of its last ticket, if there still is such a job: nil if
-- nobody is next, false if its tenant is at its cap.
local function take_next(model)
  local class = next_class(model)
  if not class then return nil end
  local tenant = redis.call('ZRANGE', key('tenants', model, class), 0, 0)[1]
  local id, order = unpack(redis.call('ZPOPMIN', line_of(model, class, tenant)))
  local terms = redis.call('HMGET', key('job', id), 'cost', 'weight', 'charged', 'cap', 'seq')
  if not take_place(id, tenant, tonumber(terms[4] or 0)) then
    redis.call('ZADD', line_of(model, class, tenant), order, id)
    sit_out(model, class, tenant)
    return false
  end
  pay(id, model, class, tenant, terms)
  note_turn(model, class)
  left_line(model, class, tenant)
  return id, terms[5]
end

-- The share is of tokens really used; only until a job ends does what it reserved stand for them.
local function settle(job, used_tokens)
  local tenants_began, classes_began = string.match(job.charged or '', '^(%d+) (%d+)$')
  if not tenants_began then return end
  local unused = used_tokens - job.cost
  correct(key('tenants', job.model, job.class), job.tenant, unused / job.weight, tenants_began)
  correct(key('classes', job.model), job.class, unused / CLASS_WEIGHT[job.class], classes_began)
end

local function room_of(model)
  local capacity = tonumber(redis.call('HGET', key('model', model), 'capacity') or 0)
  local inside = redis.call('ZCARD', key('leases', model)) - count_outside(model)
  return capacity - redis.call('ZCARD', key('tickets', model)) - inside
end

local function push_ticket(id, seq, model)
  redis.call('HSET', key('job', id), 'seq', seq, 'pushed', digits(NOW_US))
  local term_ms = seq == 1 and FIRST_TICKET_TERM_MS or TICKET_TERM_MS
  redis.call('ZADD', key('tickets', model), digits(NOW_MS + term_ms), id)
  redis.call('LPUSH', list_of(model), ticket_of(id, seq, model))
end

-- Pushes one ticket a free slot. Answers whether it stopped at its bound with work left.
local function pump(model)
  local room = room_of(model)
  for _ = 1, PUMP_AT_MOST do
    if room <= 0 then return false end
    local id, last_seq = take_next(model)
    if id == nil then return false end
    if last_seq then
      push_ticket(id, tonumber(last_seq) + 1, model)
      room = room - 1
    end
  end
  return room > 0 and redis.call('EXISTS', key('classes', model)) == 1
end
