-- An attempt's output. Its worker numbers the pieces from 1 and the stream's ids are these numbers, so a piece that
-- is written again, because the reply to the first time was lost, changes nothing.

local function write_piece(id, attempt, number, piece)
  local written = redis.pcall('XADD', key('out', id, attempt), number .. '-0', 'chunk', piece)
  if type(written) == 'table' and written.err and not string.find(written.err, 'equal or smaller', 1, true) then
    error(written.err)
  end
end
