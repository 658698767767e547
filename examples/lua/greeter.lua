-- A process that greets, and counts whom it greeted. Load it with  .load greeter.lua  in `weft repl`.

Greeted = Greeted or {}

Handlers.add("greet", "Greet", function(msg)
  local name = msg.Tags.Name or "stranger"
  Greeted[name] = (Greeted[name] or 0) + 1
  print("greeted " .. name)
  msg.reply({ Action = "Greeting", Data = "Hello, " .. name .. "! Visit no. " .. Greeted[name] .. "." })
end)

-- A table as Data becomes JSON.
Handlers.add("greeted", "Greeted", function(msg) msg.reply({ Data = Greeted }) end)
