"""The two Lua scripts that make a change of the alert store atomic inside Redis.

Redis runs a script as one step and writes its effects to the append-only file as one transaction:
after a crash either all of it is there or nothing. Numbers and times travel as decimal strings.
"""

from __future__ import annotations

from typing import Final

PUBLISH: Final = """
-- KEYS: sequence, feed, alert, evidence, by_sequence, repeats
-- ARGV: id, revision, hit, received_us, jpeg
-- Returns {sequence, 1 if it was known}.
local known = redis.call('HGET', KEYS[3], 'sequence:' .. ARGV[2])
if known then
  -- A write, so that WAITAOF after a repetition also covers the first publication.
  redis.call('INCR', KEYS[6])
  return {known, 1}
end
local sequence = string.format('%.0f', redis.call('INCR', KEYS[1]))
redis.call('XADD', KEYS[2], sequence .. '-0', 'kind', 'hit', 'id', ARGV[1], 'hit', ARGV[3],
           'received_us', ARGV[4])
redis.call('HSET', KEYS[3], 'sequence:' .. ARGV[2], sequence)
local latest = redis.call('HGET', KEYS[3], 'revision')
if not latest or tonumber(latest) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[3], 'revision', ARGV[2], 'sequence', sequence, 'hit', ARGV[3],
             'received_us', ARGV[4])
  redis.call('ZADD', KEYS[5], sequence, ARGV[1])
end
if ARGV[5] ~= '' then
  redis.call('SET', KEYS[4], ARGV[5])
  local pictured = redis.call('HGET', KEYS[3], 'pictured')
  if not pictured or tonumber(pictured) < tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[3], 'pictured', ARGV[2])
  end
end
return {sequence, 0}
"""

REVIEW: Final = """
-- KEYS: sequence, feed, alert, reviews, repeats
-- ARGV: id, state, reviewer, note, reviewed_us, seen_revision or ''
-- Returns {outcome, state, reviewer, reviewed_us, revision}.
local field = redis.call('HMGET', KEYS[3], 'revision', 'review', 'reviewer', 'reviewed_us')
if not field[1] then return {'unknown', '', '', '', ''} end
if field[2] then
  redis.call('INCR', KEYS[5])
  if field[2] == ARGV[2] and field[3] == ARGV[3] then
    return {'done', field[2], field[3], field[4], field[1]}
  end
  return {'decided', field[2], field[3], field[4], field[1]}
end
if ARGV[6] ~= '' and ARGV[6] ~= field[1] then
  return {'amended', '', '', '', field[1]}
end
local sequence = string.format('%.0f', redis.call('INCR', KEYS[1]))
redis.call('HSET', KEYS[3], 'review', ARGV[2], 'reviewer', ARGV[3], 'review_note', ARGV[4],
           'reviewed_us', ARGV[5], 'reviewed_revision', field[1])
redis.call('XADD', KEYS[2], sequence .. '-0', 'kind', 'review', 'id', ARGV[1])
redis.call('XADD', KEYS[4], '*', 'state', ARGV[2], 'reviewer', ARGV[3], 'note', ARGV[4],
           'reviewed_us', ARGV[5], 'revision', field[1])
return {'done', ARGV[2], ARGV[3], ARGV[5], field[1]}
"""
