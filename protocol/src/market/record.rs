//! The record of one award: what was asked, answered and awarded, and why. Gossiped; anyone can replay it.

use serde::{Deserialize, Serialize};

use super::{Body, Decision, Inputs, Kind, MAX_ASKED, Need, QuoteInput, Refusal, award, refusal::MAX_REASON};
use crate::{Id, NodeKey};

/// What one provider answered to the request for a quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A binding quote.
    Quote {
        /// Its id.
        quote: Id,
        /// Its price, winston per 10^9 fuel.
        price_per_gfuel: u64,
    },
    /// A refusal.
    Refused(Refusal),
    /// No answer, or none that could be used; says which.
    Silent(String),
}

/// One provider that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who.
    pub provider: NodeKey,
    /// The payer's measurement, in milliseconds.
    pub latency_ms: Option<u64>,
    /// What came back.
    pub answer: Answer,
}

/// How an award ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Accepted: the lease's id.
    Accepted(Id),
    /// Refused, although quoted.
    Refused(Refusal),
    /// No usable answer; says which.
    Silent(String),
}

/// One award, in the order of the ranking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// To whom.
    pub provider: NodeKey,
    /// At which price, winston per 10^9 fuel.
    pub price_per_gfuel: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// Everything about one award.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwardRecord {
    /// The process that needed compute.
    pub process: Id,
    /// What it needed.
    pub need: Need,
    /// The payer's highest price, winston per 10^9 fuel.
    pub max_price_per_gfuel: u64,
    /// Scheduler and messenger of the process.
    pub avoid: Vec<NodeKey>,
    /// Who held the last lease.
    pub incumbent: Option<NodeKey>,
    /// Who was asked, and answered what.
    pub asked: Vec<Asked>,
    /// What the rule said.
    pub decision: Decision,
    /// The awards made, in order.
    pub attempts: Vec<Attempt>,
}

/// A record that contradicts the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The rule ranks the recorded quotes otherwise.
    #[error("the rule ranks these quotes otherwise: it puts {expected} first, the record {found}")]
    Decision {
        /// The rule's winner.
        expected: String,
        /// The record's.
        found: String,
    },
    /// An award did not go to the next of the ranking, at its price, after the ones before it had failed.
    #[error("award {index} did not follow the ranking: each goes to the next in it, at its price, after a failure")]
    Attempt {
        /// Which, counted from 0.
        index: usize,
    },
}

impl AwardRecord {
    /// What the rule looked at.
    pub fn inputs(&self) -> Inputs {
        let quote = |asked: &Asked| match asked.answer {
            Answer::Quote { quote, price_per_gfuel } => {
                Some(QuoteInput { provider: asked.provider, quote, price_per_gfuel, latency_ms: asked.latency_ms })
            }
            Answer::Refused(_) | Answer::Silent(_) => None,
        };
        Inputs {
            process: self.process,
            max_price_per_gfuel: self.max_price_per_gfuel,
            avoid: self.avoid.clone(),
            incumbent: self.incumbent,
            quotes: self.asked.iter().filter_map(quote).collect(),
        }
    }

    /// Who got the lease, at which price, and its id; `None` when nobody accepted.
    pub fn winner(&self) -> Option<(NodeKey, u64, Id)> {
        self.attempts.iter().find_map(|attempt| match attempt.outcome {
            Outcome::Accepted(lease) => Some((attempt.provider, attempt.price_per_gfuel, lease)),
            Outcome::Refused(_) | Outcome::Silent(_) => None,
        })
    }

    /// Decides again from the recorded inputs, and checks that the awards followed.
    ///
    /// # Errors
    /// Where record and rule differ.
    pub fn replay(&self) -> Result<Decision, ReplayError> {
        let decision = award::decide(&self.inputs());
        if decision != self.decision {
            let first = |d: &Decision| d.winner().map_or_else(|| "nobody".to_owned(), |w| w.provider.to_string());
            return Err(ReplayError::Decision { expected: first(&decision), found: first(&self.decision) });
        }
        let mut accepted = false;
        for (index, attempt) in self.attempts.iter().enumerate() {
            let placed = decision.ranking.get(index);
            let follows =
                placed.is_some_and(|p| p.provider == attempt.provider && p.pays_per_gfuel == attempt.price_per_gfuel);
            if !follows || accepted {
                return Err(ReplayError::Attempt { index });
            }
            accepted = matches!(attempt.outcome, Outcome::Accepted(_));
        }
        Ok(decision)
    }
}

impl Body for AwardRecord {
    const KIND: Kind = Kind::AwardRecord;

    fn check(&self) -> Result<(), String> {
        if self.asked.len() > MAX_ASKED || self.attempts.len() > MAX_ASKED || self.avoid.len() > 2 {
            return Err(format!("at most {MAX_ASKED} providers are asked and 2 avoided"));
        }
        let texts = self.asked.iter().map(|asked| match &asked.answer {
            Answer::Quote { .. } => 0,
            Answer::Refused(refusal) => refusal.reason.chars().count(),
            Answer::Silent(reason) => reason.chars().count(),
        });
        let texts = texts.chain(self.attempts.iter().map(|attempt| match &attempt.outcome {
            Outcome::Accepted(_) => 0,
            Outcome::Refused(refusal) => refusal.reason.chars().count(),
            Outcome::Silent(reason) => reason.chars().count(),
        }));
        if texts.max().unwrap_or(0) > MAX_REASON {
            return Err(format!("a reason is longer than {MAX_REASON} characters"));
        }
        Ok(())
    }
}
