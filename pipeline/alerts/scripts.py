"""The Lua scripts that make a change of the alert store atomic inside Redis.

Redis runs a script as one step and writes its effects to the append-only file as one transaction:
after a crash either all of it is there or nothing. Numbers and times travel as decimal strings.
"""

from __future__ import annotations

from typing import Final

PUBLISH: Final = """
-- KEYS: sequence, feed, by_sequence, repeats; then for each hit: alert, evidence
-- ARGV: for each hit: id, revision, hit, received_us, jpeg
-- Returns for each hit {sequence, 1 if it was known, then records.STANDING_FIELDS of its alert}.
local answers = {}
for number = 0, (#KEYS - 4) / 2 - 1 do
  local alert, evidence = KEYS[5 + 2 * number], KEYS[6 + 2 * number]
  local at = 5 * number
  local id, revision, hit, received = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local field = redis.call('HMGET', alert, 'sequence:' .. revision, 'revision', 'pictured',
                           'review', 'reviewer', 'review_note', 'reviewed_us',
                           'reviewer_named_by', 'outcome', 'escalated_by', 'escalation_note',
                           'escalated_us', 'escalation_named_by')
  local sequence, known = field[1], 1
  if sequence then
    -- A write, so that WAITAOF after a repetition also covers the first publication.
    redis.call('INCR', KEYS[4])
  else
    known = 0
    sequence = string.format('%.0f', redis.call('INCR', KEYS[1]))
    redis.call('XADD', KEYS[2], sequence .. '-0', 'kind', 'hit', 'id', id, 'hit', hit,
               'received_us', received)
    local change = {'sequence:' .. revision, sequence}
    if not field[2] or tonumber(field[2]) < tonumber(revision) then
      for _, word in ipairs({'revision', revision, 'sequence', sequence, 'hit', hit,
                             'received_us', received}) do
        change[#change + 1] = word
      end
      redis.call('ZADD', KEYS[3], sequence, id)
    end
    if ARGV[at + 5] ~= '' then
      redis.call('SET', evidence, ARGV[at + 5])
      if not field[3] or tonumber(field[3]) < tonumber(revision) then
        change[#change + 1] = 'pictured'
        change[#change + 1] = revision
      end
    end
    redis.call('HSET', alert, unpack(change))
  end
  answers[number + 1] = {sequence, known, unpack(field, 4, 13)}
end
return answers
"""

REVIEW: Final = """
-- KEYS: sequence, feed, alert, reviews, repeats
-- ARGV: id, state, reviewer, note, reviewed_us, seen_revision or '', outcome, named_by
-- Returns {result, state, reviewer, reviewed_us, revision}.
local field = redis.call('HMGET', KEYS[3], 'revision', 'review', 'reviewer', 'reviewed_us',
                         'reviewer_named_by', 'review_note', 'outcome')
if not field[1] then return {'unknown', '', '', '', ''} end
local act = 'review'
if field[2] then
  redis.call('INCR', KEYS[5])
  local named_by = field[5] or ARGV[8]
  if field[2] ~= ARGV[2] or field[3] ~= ARGV[3] or named_by ~= ARGV[8] then
    return {'decided', field[2], field[3], field[4], field[1]}
  end
  local other_note = ARGV[4] ~= '' and ARGV[4] ~= field[6]
  local other_outcome = ARGV[7] ~= '' and ARGV[7] ~= field[7]
  if not other_note and not other_outcome then
    return {'done', field[2], field[3], field[4], field[1]}
  end
  act = 'document'
elseif ARGV[6] ~= '' and ARGV[6] ~= field[1] then
  return {'amended', '', '', '', field[1]}
end
local sequence = string.format('%.0f', redis.call('INCR', KEYS[1]))
local change = {'event:' .. sequence, sequence}
local function set(name, value) change[#change + 1] = name; change[#change + 1] = value end
if ARGV[4] ~= '' or act == 'review' then set('review_note', ARGV[4]) end
if ARGV[7] ~= '' then set('outcome', ARGV[7]) end
if act == 'review' then
  set('review', ARGV[2])
  set('reviewer', ARGV[3])
  set('reviewer_named_by', ARGV[8])
  set('reviewed_us', ARGV[5])
  set('reviewed_revision', field[1])
end
redis.call('HSET', KEYS[3], unpack(change))
redis.call('XADD', KEYS[2], sequence .. '-0', 'kind', 'review', 'id', ARGV[1])
redis.call('XADD', KEYS[4], '*', 'act', act, 'state', ARGV[2], 'reviewer', ARGV[3], 'note', ARGV[4],
           'outcome', ARGV[7], 'named_by', ARGV[8], 'reviewed_us', ARGV[5], 'revision', field[1],
           'sequence', sequence)
return {'done', ARGV[2], ARGV[3], act == 'review' and ARGV[5] or field[4], field[1]}
"""

WITHDRAW: Final = """
-- KEYS: sequence, feed, alert, reviews, repeats
-- ARGV: id, reviewer, note, withdrawn_us, within_us, named_by
-- Returns {result, state, reviewer, reviewed_us, revision}.
local field = redis.call('HMGET', KEYS[3], 'revision', 'review', 'reviewer', 'reviewed_us',
                         'reviewer_named_by')
if not field[1] then return {'unknown', '', '', '', ''} end
if not field[2] then
  redis.call('INCR', KEYS[5])
  return {'done', '', '', '', field[1]}
end
local mine = field[3] == ARGV[2] and (field[5] or ARGV[6]) == ARGV[6]
if not mine or tonumber(ARGV[4]) - tonumber(field[4]) > tonumber(ARGV[5]) then
  redis.call('INCR', KEYS[5])
  return {'decided', field[2], field[3], field[4], field[1]}
end
local sequence = string.format('%.0f', redis.call('INCR', KEYS[1]))
redis.call('HDEL', KEYS[3], 'review', 'reviewer', 'review_note', 'reviewed_us',
           'reviewer_named_by', 'reviewed_revision', 'outcome')
redis.call('HSET', KEYS[3], 'event:' .. sequence, sequence)
redis.call('XADD', KEYS[2], sequence .. '-0', 'kind', 'review', 'id', ARGV[1])
redis.call('XADD', KEYS[4], '*', 'act', 'withdrawal', 'state', 'unverified', 'reviewer', ARGV[2],
           'note', ARGV[3], 'outcome', '', 'named_by', ARGV[6], 'reviewed_us', ARGV[4],
           'revision', field[1], 'sequence', sequence)
return {'done', '', '', '', field[1]}
"""

ESCALATE: Final = """
-- KEYS: sequence, feed, alert, reviews, repeats
-- ARGV: id, person, note, escalated_us, named_by
-- Returns {result, state, who, when, revision}.
local field = redis.call('HMGET', KEYS[3], 'revision', 'review', 'reviewer', 'reviewed_us',
                         'escalated_by', 'escalated_us', 'escalation_named_by')
if not field[1] then return {'unknown', '', '', '', ''} end
if field[5] then
  redis.call('INCR', KEYS[5])
  local same = field[5] == ARGV[2] and field[7] == ARGV[5]
  return {same and 'done' or 'escalated', '', field[5], field[6], field[1]}
end
if field[2] then return {'decided', field[2], field[3], field[4], field[1]} end
local sequence = string.format('%.0f', redis.call('INCR', KEYS[1]))
redis.call('HSET', KEYS[3], 'escalated_by', ARGV[2], 'escalated_us', ARGV[4],
           'escalation_note', ARGV[3], 'escalation_named_by', ARGV[5],
           'event:' .. sequence, sequence)
redis.call('XADD', KEYS[2], sequence .. '-0', 'kind', 'escalation', 'id', ARGV[1])
redis.call('XADD', KEYS[4], '*', 'act', 'escalation', 'state', '', 'reviewer', ARGV[2],
           'note', ARGV[3], 'outcome', '', 'named_by', ARGV[5], 'reviewed_us', ARGV[4],
           'revision', field[1], 'sequence', sequence)
return {'done', '', ARGV[2], ARGV[4], field[1]}
"""

FORGET: Final = """
-- KEYS: alert, by_sequence, feed, reviews, evidence of each revision
-- ARGV: id, reviewed_us that it was reviewed at
-- Returns 1 if it is gone. The numbers of its events are not given out again.
if redis.call('HGET', KEYS[1], 'reviewed_us') ~= ARGV[2] then return 0 end
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  local name = fields[at]
  if string.sub(name, 1, 6) == 'event:' or string.sub(name, 1, 9) == 'sequence:' then
    redis.call('XDEL', KEYS[3], fields[at + 1] .. '-0')
  end
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1], KEYS[4], unpack(KEYS, 5))
return 1
"""
