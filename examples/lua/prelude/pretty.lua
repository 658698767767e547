-- Values as text for people, coloured as consoles of AO colour them. Members are sorted; what contains itself and
-- what is nested too deeply is cut.

local utils = require ".utils"
local pretty = { _version = "weft" }
local DEPTH = 20

local function scalar(value)
  if type(value) == "string" then return Colors.green .. '"' .. value .. '"' .. Colors.reset end
  return Colors.blue .. tostring(value) .. Colors.reset
end

local function simple(value)
  for _, item in ipairs(value) do
    if type(item) == "table" then return false end
  end
  return utils.isList(value) and #value > 0
end

local function show(value, indent, above)
  if type(value) ~= "table" then return scalar(value) end
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then return tostring(value) end
  if above[value] then return "<circular reference>" end
  if indent > 2 * DEPTH then return "{ … }" end
  if next(value) == nil then return "{  }" end
  above[value] = true
  local parts = {}
  if simple(value) then
    for index, item in ipairs(value) do parts[index] = scalar(item) end
    above[value] = nil
    return "{ " .. table.concat(parts, ", ") .. " }"
  end
  local list = utils.isList(value)
  for _, key in ipairs(utils.keys(value)) do
    local label = list and "" or " " .. Colors.red .. tostring(key) .. Colors.reset .. " = "
    parts[#parts + 1] = (" "):rep(indent) .. "  " .. label .. show(value[key], indent + 2, above)
  end
  above[value] = nil
  return "{\n" .. table.concat(parts, ",\n") .. "\n" .. (" "):rep(indent) .. (list and " }" or "}")
end

-- A table, indented by `indent` spaces.
function pretty.tprint(value, indent) return show(value, indent or 0, {}) end

return pretty
