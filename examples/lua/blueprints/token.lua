-- A token: balances, transfers with notices, minting by the owner. Amounts are whole numbers of any size, as text.
-- Load it with  .load token.lua  (weft repl) and change Name, Ticker and Denomination as you like.

local bint = require(".bint")(256)
local json = require("json")

local function add(a, b) return tostring(bint(a) + bint(b)) end
local function subtract(a, b) return tostring(bint(a) - bint(b)) end
-- A positive whole number as text, or nil.
local function amount(text)
  local value = type(text) == "string" and text:match("^%d+$") and bint.tobint(text)
  return value and bint.ispos(value) and tostring(value) or nil
end

Denomination = Denomination or 12
Balances = Balances or { [ao.id] = tostring(bint(10000) * bint.ipow(10, Denomination)) }
TotalSupply = TotalSupply or Balances[ao.id]
TokenName = TokenName or "Points Coin"
Ticker = Ticker or "PNTS"
Logo = Logo or ""

local function refuse(msg, why)
  msg.reply({ Action = (msg.Action or "Token") .. "-Error", ["Message-Id"] = msg.Id, Error = why })
end

Handlers.add("Info", "Info", function(msg)
  msg.reply({ Name = TokenName, Ticker = Ticker, Logo = Logo, Denomination = tostring(Denomination) })
end)

Handlers.add("Balance", "Balance", function(msg)
  local account = msg.Tags.Recipient or msg.Tags.Target or msg.From
  local balance = Balances[account] or "0"
  msg.reply({ Balance = balance, Ticker = Ticker, Account = account, Data = balance })
end)

Handlers.add("Balances", "Balances", function(msg) msg.reply({ Data = json.encode(Balances) }) end)
Handlers.add("Total-Supply", "Total-Supply", function(msg)
  msg.reply({ Action = "Total-Supply", Data = TotalSupply, Ticker = Ticker })
end)

Handlers.add("Transfer", "Transfer", function(msg)
  local quantity, to = amount(msg.Quantity), msg.Recipient
  if type(to) ~= "string" or to == "" then return refuse(msg, "Recipient is required!") end
  if not quantity then return refuse(msg, "Quantity must be a whole number greater than 0") end
  local have = Balances[msg.From] or "0"
  if bint(have) < bint(quantity) then return refuse(msg, "Insufficient Balance!") end
  Balances[msg.From] = subtract(have, quantity)
  Balances[to] = add(Balances[to] or "0", quantity)
  if msg.Cast then return end
  local debit = { Action = "Debit-Notice", Recipient = to, Quantity = quantity, Data = "You transferred " .. quantity .. " to " .. to }
  local credit = { Target = to, Action = "Credit-Notice", Sender = msg.From, Quantity = quantity,
    Data = "You received " .. quantity .. " from " .. msg.From }
  -- Tags that begin with X- go along with the notices.
  for name, value in pairs(msg.Tags) do
    if name:sub(1, 2) == "X-" then debit[name], credit[name] = value, value end
  end
  msg.reply(debit)
  Send(credit)
end)

Handlers.add("Mint", "Mint", function(msg)
  local quantity = amount(msg.Quantity)
  if msg.From ~= Owner and msg.From ~= ao.id then return refuse(msg, "Only the owner can mint new " .. Ticker .. " tokens!") end
  if not quantity then return refuse(msg, "Quantity must be a whole number greater than 0") end
  Balances[msg.From] = add(Balances[msg.From] or "0", quantity)
  TotalSupply = add(TotalSupply, quantity)
  msg.reply({ Action = "Mint-Confirmation", Data = "Successfully minted " .. quantity })
end)
