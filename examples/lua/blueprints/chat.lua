-- A chat room: register, and what one says is sent to all.

Members = Members or {}

local function place_of(address)
  for index, member in ipairs(Members) do
    if member == address then return index end
  end
end

Handlers.add("Register", "Register", function(msg)
  if place_of(msg.From) then return msg.reply({ Action = "Registered", Data = "already registered" }) end
  Members[#Members + 1] = msg.From
  msg.reply({ Action = "Registered", Data = "registered" })
end)

Handlers.add("Unregister", "Unregister", function(msg)
  local place = place_of(msg.From)
  if place then table.remove(Members, place) end
  msg.reply({ Action = "Unregistered", Data = place and "unregistered" or "was not registered" })
end)

Handlers.add("Broadcast", Handlers.utils.hasMatchingTag("Action", "Broadcast"), function(msg)
  if not place_of(msg.From) then
    return Handlers.utils.reply({ Action = "Not-Registered", Data = "register first" })(msg)
  end
  for _, member in ipairs(Members) do
    ao.send({ Target = member, Action = "Broadcasted", Broadcaster = msg.From, Data = msg.Data })
  end
  msg.reply({ Action = "Broadcast-Done", Data = "to " .. #Members })
end)
