-- The lines that jobs wait in, and how the next one is picked: start-time fair queueing, once over the
-- model's classes and once over a class's tenants (Goyal, Vin, Cheng: "Start-time Fair Queuing", 1997).

local CLASS_WEIGHT = {interactive = 8, standard = 4, batch = 1}
-- A class that waits is served at least this often, whatever its last job cost. Among a class's tenants there is
-- no such bound: it would let the owner of the oldest backlog overtake everybody.
local CLASS_WAIT_AT_MOST_MS = {interactive = 1000, standard = 5000, batch = 30000}
local BUSY_PERIOD_ENDS_MS = 60000
local TICKET_TERM_MS = 5000
local PUMP_AT_MOST = 64

-- A flow that gets work again starts at the clock, but not before its own last finish tag: leaving the
-- line for a moment earns nothing.
local function activate(flows, member)
  if redis.call('ZSCORE', flows, member) then return false end
  local tags = flows .. ':tags'
  local known = redis.call('HMGET', tags, '', member)
  redis.call('ZADD', flows, math.max(tonumber(known[1] or 0), tonumber(known[2] or 0)), member)
  redis.call('PERSIST', tags)
  return true
end

local function deactivate(flows, member)
  local tag = redis.call('ZSCORE', flows, member)
  redis.call('ZREM', flows, member)
  if tag then redis.call('HSET', flows .. ':tags', member, tag) end
  -- What was taken last may still run: only after a while is the busy period over and virtual time starts anew.
  if redis.call('EXISTS', flows) == 0 then redis.call('PEXPIRE', flows .. ':tags', BUSY_PERIOD_ENDS_MS) end
end

-- Gives the busy period in which it was charged.
local function charge(flows, member, amount)
  local tags = flows .. ':tags'
  local known = redis.call('HMGET', tags, '', ' began')
  local clock = math.max(tonumber(known[1] or 0), tonumber(redis.call('ZSCORE', flows, member)))
  local began = known[2] or digits(NOW_US)
  redis.call('HSET', tags, '', clock, ' began', began)
  redis.call('ZINCRBY', flows, amount, member)
  return began
end

-- Gives back what was charged too much. After the busy period there is nothing left to correct.
local function correct(flows, member, amount, began)
  local tags = flows .. ':tags'
  if redis.call('HGET', tags, ' began') ~= began then return end
  if redis.call('ZSCORE', flows, member) then
    redis.call('ZINCRBY', flows, amount, member)
  else
    redis.call('HINCRBYFLOAT', tags, member, amount)
  end
end

-- A class waits from here on for its next turn; only of classes is this kept.
local function note_turn(model, class)
  redis.call('HSET', key('classes', model) .. ':tags', ' served ' .. class, digits(NOW_MS))
end

local function line_of(model, class, tenant) return key('line', model, class, tenant) end

local function enter_line(id, job)
  if is_suspect(job) and not may_get_under_way(id, job.model) then
    redis.call('ZADD', key('apart', job.model), job.order, id)
    return
  end
  redis.call('ZADD', line_of(job.model, job.class, job.tenant), job.order, id)
  redis.call('HINCRBY', key('model', job.model), 'waiting', 1)
  activate(key('tenants', job.model, job.class), job.tenant)
  if activate(key('classes', job.model), job.class) then note_turn(job.model, job.class) end
end

-- After a job was taken out of a line: flows without waiting jobs leave the race.
local function left_line(model, class, tenant)
  redis.call('HINCRBY', key('model', model), 'waiting', -1)
  if redis.call('EXISTS', line_of(model, class, tenant)) == 1 then return end
  local tenants = key('tenants', model, class)
  deactivate(tenants, tenant)
  if redis.call('EXISTS', tenants) == 0 then deactivate(key('classes', model), class) end
end

local JOB_FIELDS = {'state', 'tenant', 'model', 'class', 'weight', 'cost', 'order', 'seq', 'attempt', 'token', 'worker',
  'charged', 'lost', 'stalls'}

local function load_job(id)
  local values = redis.call('HMGET', key('job', id), unpack(JOB_FIELDS))
  if not values[1] then return nil end
  local job = {}
  for i, name in ipairs(JOB_FIELDS) do job[name] = values[i] end
  return job
end

local function begin_lease(id, job, worker, lease_ms)
  redis.call('ZADD', key('leases', job.model), digits(NOW_MS + lease_ms), id)
  redis.call('SADD', key('held', worker), id)
end

local function end_lease(id, job)
  redis.call('ZREM', key('leases', job.model), id)
  redis.call('SREM', key('held', job.worker), id)
end

-- Takes a queued job out of wherever it waits.
local function leave_line(id, job)
  redis.call('ZREM', key('due'), id)
  local is_elsewhere = redis.call('ZREM', key('tickets', job.model), id) == 1
    or redis.call('ZREM', key('delayed', job.model), id) == 1 or redis.call('ZREM', key('apart', job.model), id) == 1
  if not is_elsewhere then
    redis.call('ZREM', line_of(job.model, job.class, job.tenant), id)
    left_line(job.model, job.class, job.tenant)
  end
end

-- Back at its old place, which is the front, now or after a pause; its older tickets become stale.
local function return_to_line(id, job, pause_ms)
  free_worker(id, job)
  redis.call('HINCRBY', key('job', id), 'seq', 1)
  redis.call('HSET', key('job', id), 'state', 'queued')
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

local function take_next(model)
  local classes = key('classes', model)
  local class = next_class(model)
  if not class then return nil end
  local tenants = key('tenants', model, class)
  local tenant = redis.call('ZRANGE', tenants, 0, 0)[1]
  local id = redis.call('ZPOPMIN', line_of(model, class, tenant))[1]
  local terms = redis.call('HMGET', key('job', id), 'cost', 'weight', 'charged')
  local cost, weight = tonumber(terms[1] or 0), tonumber(terms[2] or 1)
  -- A job that was here before has paid.
  if terms[3] then cost = 0 end
  local began = charge(tenants, tenant, cost / weight) .. ' ' .. charge(classes, class, cost / CLASS_WEIGHT[class])
  if not terms[3] then redis.call('HSET', key('job', id), 'charged', began) end
  note_turn(model, class)
  left_line(model, class, tenant)
  return id
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
  return capacity - redis.call('ZCARD', key('tickets', model)) - redis.call('ZCARD', key('leases', model))
end

local function push_ticket(id, model)
  local seq = redis.call('HINCRBY', key('job', id), 'seq', 1)
  redis.call('ZADD', key('tickets', model), digits(NOW_MS + TICKET_TERM_MS), id)
  local blanks = {ID = id .. ':' .. seq, QUEUE = list_of(model)}
  redis.call('LPUSH', list_of(model), (string.gsub(TICKET, '%%(%u+)%%', blanks)))
end

-- Pushes one ticket a free slot. Answers whether it stopped at its bound with work left.
local function pump(model)
  local room = room_of(model)
  for _ = 1, math.min(room, PUMP_AT_MOST) do
    local id = take_next(model)
    if not id then return false end
    if redis.call('EXISTS', key('job', id)) == 1 then push_ticket(id, model) end
  end
  return room > PUMP_AT_MOST and redis.call('EXISTS', key('classes', model)) == 1
end
