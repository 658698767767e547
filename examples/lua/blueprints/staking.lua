-- Staking on top of token.lua: a stake is taken from the balance, and comes back UnstakeDelay blocks after it was asked for.

local bint = require(".bint")(256)
local json = require("json")

Balances = Balances or {}
Stakers = Stakers or {}
Unstaking = Unstaking or {}
UnstakeDelay = UnstakeDelay or 10

local function whole(text) return type(text) == "string" and text:match("^%d+$") and bint.ispos(bint(text)) end

Handlers.prepend("Stake", { Action = "Stake", Quantity = "^%d+$" }, function(msg)
  local have = bint(Balances[msg.From] or "0")
  assert(whole(msg.Quantity) and have >= bint(msg.Quantity), "Insufficient Balance")
  Balances[msg.From] = tostring(have - bint(msg.Quantity))
  Stakers[msg.From] = tostring(bint(Stakers[msg.From] or "0") + bint(msg.Quantity))
  msg.reply({ Action = "Staked", Quantity = Stakers[msg.From] })
end)

Handlers.append("Unstake", { Action = "Unstake", Quantity = "^%d+$" }, function(msg)
  local staked = bint(Stakers[msg.From] or "0")
  assert(whole(msg.Quantity) and staked >= bint(msg.Quantity), "Insufficient staked amount")
  Stakers[msg.From] = tostring(staked - bint(msg.Quantity))
  Unstaking[msg.From] = {
    amount = tostring(bint((Unstaking[msg.From] or { amount = "0" }).amount) + bint(msg.Quantity)),
    release_at = msg["Block-Height"] + UnstakeDelay,
  }
  msg.reply({ Action = "Unstaking", Quantity = msg.Quantity, ["Release-At"] = tostring(Unstaking[msg.From].release_at) })
end)

Handlers.append("Stakers", "Stakers", function(msg) msg.reply({ Data = json.encode(Stakers) }) end)

-- With every message: what is due goes back. `continue` lets the handlers after it answer.
Handlers.prepend("Finalize", function() return "continue" end, function(msg)
  for _, address in ipairs(Utils.keys(Unstaking)) do
    local due = Unstaking[address]
    if msg["Block-Height"] >= due.release_at then
      Balances[address] = tostring(bint(Balances[address] or "0") + bint(due.amount))
      Unstaking[address] = nil
    end
  end
end)
