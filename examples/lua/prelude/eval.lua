-- Eval: the owner's Lua, and its values as text.

local pretty = require ".pretty"

-- What a console shows of a value.
local function show(value)
  if type(value) == "string" then return value end
  if type(value) == "table" then return pretty.tprint(value) end
  return tostring(value)
end

local function compile(code)
  local expression = load("return " .. code, "=eval", "t")
  if expression then return expression end
  local chunk, problem = load(code, "=eval", "t")
  if not chunk then error(problem, 0) end
  return chunk
end

return function(message)
  local code = message.Data
  if type(code) ~= "string" then error("Eval needs Lua in the message's Data", 0) end
  local values = table.pack(compile(code)())
  -- Lua's custom for "it did not work".
  if not values[1] and type(values[2]) == "string" then error(values[2], 0) end
  for index = 1, values.n do
    if values[index] ~= nil then Output[#Output + 1] = show(values[index]) end
  end
end
