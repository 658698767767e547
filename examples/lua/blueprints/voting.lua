-- Voting with what was staked (staking.lua): a vote names somebody to be slashed; after VoteLength blocks, more yays than
-- nays take the stake.

local bint = require(".bint")(256)

Stakers = Stakers or {}
Votes = Votes or {}
VoteLength = VoteLength or 5

Handlers.append("Vote", { Action = "Vote", Side = { "yay", "nay" }, ["Vote-For"] = "_" }, function(msg)
  local weight = bint(Stakers[msg.From] or "0")
  assert(bint.ispos(weight), "No stake to vote")
  local vote = Votes[msg["Vote-For"]] or { yay = "0", nay = "0", voters = {}, deadline = msg["Block-Height"] + VoteLength }
  assert(not vote.voters[msg.From], "Already voted")
  vote.voters[msg.From] = true
  vote[msg.Side] = tostring(bint(vote[msg.Side]) + weight)
  Votes[msg["Vote-For"]] = vote
  msg.reply({ Action = "Voted", Yay = vote.yay, Nay = vote.nay, Deadline = tostring(vote.deadline) })
end)

Handlers.prepend("Count-Votes", function() return 1 end, function(msg)
  for _, about in ipairs(Utils.keys(Votes)) do
    local vote = Votes[about]
    if msg["Block-Height"] >= vote.deadline then
      if bint(vote.yay) > bint(vote.nay) then Stakers[about] = nil end
      Votes[about] = nil
      Send({ Target = about, Action = "Vote-Result", Yay = vote.yay, Nay = vote.nay })
    end
  end
end)
