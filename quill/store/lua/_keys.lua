-- The layout of the store. KEYS[1] is the namespace; every key below starts with it and a colon.
--
--   job:<id>                          HASH    the truth about a job, small fields only
--   request:<id>  result:<id>         STRING  JSON that Lua never parses
--   out:<id>:<attempt>                STREAM  one attempt's output
--   events                            STREAM  every change of a job's state once it is admitted, every flush of output;
--                                             trimmed
--   idem:<tenant>:<digest>            STRING  "<id> <fingerprint of the body>"; lives as long as job:<id>,
--                                             or shorter if a client only counts its tries
--   reply:<celery id>                 STRING  the job whose outcome goes to this Celery result
--   owned:<tenant>                    ZSET    the tenant's jobs by time of admission (us)
--   dead:<tenant>                     ZSET    the tenant's dead letters, jobs that failed, by time of admission (us)
--   expiry                            ZSET    "<id> <tenant>" by when the record is gone (ms)
--   due                               ZSET    queued jobs by the time they must have started (ms)
--   models                            SET     every model that was ever served
--   model:<model>                     HASH    facts its workers published, capacity, last order number
--   members:<model>                   HASH    worker -> slots, of the workers that may get tickets
--   outside:<model>                   SET     workers that run jobs on slots which they do not offer
--   seen                              ZSET    workers by when they were last heard of (ms)
--   worker:<worker>                   HASH    a worker's model, slots, last health report, the job it is kept for,
--                                             how many were aboard when it fell silent; expires once it did
--   classes:<model>                   ZSET    classes with waiting jobs by virtual start (fair share)
--   tenants:<model>:<class>           ZSET    tenants with waiting jobs by virtual start (fair share)
--   <either of the two>:tags          HASH    of the busy period: virtual clock, last finish tags, when it began,
--                                             when each class was last served
--   line:<model>:<class>:<tenant>     ZSET    waiting jobs by order of admission
--   busy:<tenant>                     SET     jobs of a capped tenant that are ticketed or running
--   capped:<tenant>                   SET     "<model> <class>" of its lines that sit out until one of those ends
--   budget:<dimension>:<period>:<scope> STRING  a leaky bucket: level, at when, not empty since when, and since then put
--                                             in, given back, reserved; gone once it is empty
--   concurrent_jobs:<scope>           SET     jobs of a limited scope that have not ended
--   queued_jobs:<scope>               SET     those of them that wait
--   queued_bytes:<scope>              STRING  bytes of what waits, only where they are limited
--   tenant:<tenant>  apikey:<key>     STRING  JSON documents: who may ask, and for what
--   listed:<kind>:<owner>             SET     ids of an owner's documents of a kind; tenants have no owner
--   endpoint:<endpoint>               STRING  JSON document: where a tenant's webhooks go
--   hooks:<tenant>                    HASH    its enabled endpoints -> types of events that each wants, or *
--   outbox                            ZSET    "<endpoint> <tenant>" by when it may next be served (ms)
--   outbox:<endpoint>                 ZSET    deliveries by when they are due, or their lease ends (ms)
--   undelivered                       ZSET    deliveries that are in an outbox by when they were last asked for (ms)
--   delivery:<delivery>               HASH    an event for one endpoint, its tries; expires once it left the outbox
--   breaker:<endpoint>                HASH    failures in a row, until when it rests (ms), its probe; expires
--   attempts:<endpoint>               STREAM  what became of its deliveries; trimmed, expires
--   delayed:<model>                   ZSET    jobs that wait for their next try by when it is due (ms)
--   tickets:<model>                   ZSET    jobs with a ticket on the model's list by when it is overdue (ms)
--   leases:<model>                    ZSET    running jobs by the end of their lease (ms)
--   held:<worker>                     SET     jobs that the worker runs
--   suspects:<model>                  SET     suspects that are in line, ticketed, delayed or running
--   apart:<model>                     ZSET    suspects that wait until one of those has ended, by order of admission
--   stops:<worker>                    LIST    jobs that the worker must stop at once; expires
--   tokenizer:<digest>                STRING  a tokenizer.json, compressed by zlib
--   recent:<model>                    LIST    the last 100 ends: JSON of times and tokens; expires after a day
--   sweep                             HASH    when it last ran, until when leases are spared (ms)
--
-- The model's Celery list is <namespace>.run.<model>.

local NS = KEYS[1]
-- One concatenation: `table.concat({...}, ':')` takes four times as long, and a script makes dozens of keys.
local function key(kind, first, second, third)
  if not first then return NS .. ':' .. kind end
  if not second then return NS .. ':' .. kind .. ':' .. first end
  if not third then return NS .. ':' .. kind .. ':' .. first .. ':' .. second end
  return NS .. ':' .. kind .. ':' .. first .. ':' .. second .. ':' .. third
end
local function list_of(model) return NS .. '.run.' .. model end

local time = redis.call('TIME')
local NOW_US = tonumber(time[1]) * 1000000 + tonumber(time[2])
local NOW_MS = math.floor(NOW_US / 1000)

-- Lua would write large numbers as 1.7e+15; Redis wants digits.
local function digits(number) return string.format('%.0f', number) end

-- Not that it was admitted: nobody waits for a job that has no name yet, and each of these wakes every gateway.
local function announce(id, state, attempt)
  redis.call('XADD', key('events'), 'MAXLEN', '~', 20000, '*', 'job', id, 'state', state, 'attempt', attempt)
end
