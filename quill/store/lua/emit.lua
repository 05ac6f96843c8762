#!lua flags=allow-oom
-- emit: appends one flush of output, each piece to its attempt's stream, if that attempt may still write.
-- USES  keys, members, suspects, flows, caps, limits, line, outbox, end, output
-- KEYS  namespace
-- ARGV  ttl_ms, and for each piece: id, attempt, token, number, chunk
-- GIVES {OK, place, ...} of the pieces that were refused, from 1: this worker must stop their attempts

local reply, grown = {'OK'}, {}
for i = 2, #ARGV, 5 do
  local id, attempt, token, number, chunk = unpack(ARGV, i, i + 4)
  local job = load_job(id)
  if not job or not holds(job, attempt, token) then
    reply[#reply + 1] = (i - 2) / 5 + 1
  else
    write_piece(id, attempt, number, chunk)
    redis.call('PEXPIRE', key('out', id, attempt), ARGV[1])
    grown[#grown + 1] = id
  end
end
if #grown > 0 then
  redis.call('XADD', key('events'), 'MAXLEN', '~', 20000, '*', 'grown', table.concat(grown, ' '))
end
return reply
