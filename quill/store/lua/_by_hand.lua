-- What a tenant has sent by hand, tests and repeats: at a rate, and only where there is room. Events are not asked.

-- Some of what waits for a full outbox is sent or given up by then.
local FULL_MS = 60000

-- The refusal, or nothing if it may be sent, which then is noted.
local function refused_by_hand(endpoint, limit)
  if is_full(endpoint) then return {'LIMITED', FULL_MS, 'webhook-outbox'} end
  local bound = bounds_of(limit)[1]
  local over = excess(bound, 1)
  if over > 0 then return {'LIMITED', fits_in_ms(bound, over), string.match(bound.scope, '^[^/]+')} end
  pour(bound, 1)
  write_bucket(bound)
end
