-- Assignments: messages that were written to somebody else and given to this process. It takes only what it asked for.

local utils = require ".utils"
local assignment = { _version = "weft" }

function assignment.init(ao)
  ao.assignables = ao.assignables or {}

  function ao.isAssignment(message) return message.Target ~= ao.id end

  -- addAssignable(pattern) or addAssignable(name, pattern)
  function ao.addAssignable(...)
    local name, pattern = ...
    if select("#", ...) == 1 then name, pattern = nil, ... end
    local kind = type(pattern)
    assert(kind == "string" or kind == "table" or kind == "function", "addAssignable: the pattern has to be a string, a table or a function")
    assert(name == nil or type(name) == "string", "addAssignable: the name has to be a string")
    for _, known in ipairs(ao.assignables) do
      if name and known.name == name then
        known.pattern = pattern
        return
      end
    end
    ao.assignables[#ao.assignables + 1] = { name = name, pattern = pattern }
  end

  -- By name, or by place in the list.
  function ao.removeAssignable(which)
    if type(which) == "number" then
      table.remove(ao.assignables, which)
      return
    end
    assert(type(which) == "string", "removeAssignable: give a name or a number")
    for index, known in ipairs(ao.assignables) do
      if known.name == which then
        table.remove(ao.assignables, index)
        return
      end
    end
  end

  function ao.isAssignable(message)
    for _, known in ipairs(ao.assignables) do
      local answer = utils.matchesSpec(message, known.pattern)
      if answer and answer ~= 0 and answer ~= "skip" then return true end
    end
    return false
  end
end

return assignment
