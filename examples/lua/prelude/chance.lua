-- Random numbers that every node draws alike. They follow from the process and its first message, so whoever knows the
-- log knows them: nothing secret or of value may depend on them.

local native = ...
local state, counter = "", 0

local function bits()
  counter = counter + 1
  return (string.unpack("<I8", native.sha256(state .. string.pack("<I8", counter))))
end

local chance = {}

function chance.seed(value)
  state, counter = native.sha256(tostring(value)), 0
end

-- A float in [0, 1).
function chance.random() return (bits() >> 11) * 2.0 ^ -53 end

-- An integer from least to most, each with the same chance: values beyond the last whole multiple are drawn again.
function chance.integer(least, most)
  local span = most - least + 1 -- wraps around below zero for more than half of all integers, to zero for all
  if span > 0 then
    local top = math.maxinteger - (math.maxinteger % span + 1) % span
    local value
    repeat value = bits() >> 1 until value <= top
    return least + value % span
  end
  local value
  repeat value = bits() until span == 0 or (value >= least and value <= most)
  return value
end

function math.random(...)
  local n, least, most = select("#", ...), ...
  if n == 0 then return chance.random() end
  if n == 1 then least, most = 1, least end
  if n > 2 then error("wrong number of arguments", 2) end
  least, most = math.tointeger(least), math.tointeger(most)
  if not least or not most then error("bad argument to 'random' (number has no integer representation)", 2) end
  if least > most then error("bad argument to 'random' (interval is empty)", 2) end
  return chance.integer(least, most)
end

-- The sequence is the log's, not the handler's, to choose.
function math.randomseed() end

return chance
