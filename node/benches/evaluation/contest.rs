//! Contestants take turns on the same messages in one run; their answers are compared.

use serde_json::Value;

use crate::workload::Work;

/// Time for a number of messages, in milliseconds.
#[derive(Default, Clone, Copy)]
pub struct Spent {
    pub messages: usize,
    pub wall: f64,
    pub processor: f64,
}

/// Somebody who evaluates messages.
pub trait Contestant {
    fn name(&self) -> &str;
    fn run(&mut self, messages: &[String]) -> (Spent, Vec<Value>);
    /// Fuel for one message, if it is counted.
    fn fuel(&self) -> Option<u64> {
        None
    }
}

/// What one contestant did: its turns, and their answers.
pub struct Score {
    pub name: String,
    pub turns: Vec<Spent>,
    pub answers: Vec<Value>,
    pub fuel: Option<u64>,
}

impl Score {
    /// Processor milliseconds of a message: the median of the turns, which a machine that does other things too
    /// disturbs less than the mean.
    pub fn each(&self) -> f64 {
        let mut each: Vec<f64> = self.turns.iter().map(|turn| turn.processor / turn.messages as f64).collect();
        each.sort_by(f64::total_cmp);
        each[each.len() / 2]
    }

    /// The same by the clock.
    pub fn wall(&self) -> f64 {
        let mut each: Vec<f64> = self.turns.iter().map(|turn| turn.wall / turn.messages as f64).collect();
        each.sort_by(f64::total_cmp);
        each[each.len() / 2]
    }
}

/// One with its number of messages of a turn.
pub type Entry = (Box<dyn Contestant>, usize);

/// Lets all evaluate in turns; the first turn is for warming up.
pub fn run(work: &Work, entries: Vec<Entry>, turns: usize) -> Vec<Score> {
    let mut all: Vec<(Entry, usize, Score)> = entries
        .into_iter()
        .map(|entry| {
            let name = entry.0.name().to_owned();
            (entry, 0, Score { name, turns: Vec::new(), answers: Vec::new(), fuel: None })
        })
        .collect();
    for turn in 0..=turns {
        for ((contestant, count), sent, score) in &mut all {
            let messages = work.timed(*sent, *count);
            *sent += *count;
            let (spent, answers) = contestant.run(&messages);
            if turn > 0 {
                score.turns.push(spent);
            }
            score.answers.extend(answers);
        }
    }
    all.into_iter()
        .map(|((contestant, _), _, mut score)| {
            score.fuel = contestant.fuel();
            score
        })
        .collect()
}

/// Processor time of this thread in milliseconds.
pub fn processor() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}
